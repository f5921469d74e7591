//! Roles and schemas, at a PostgreSQL that asks for passwords.

use std::{
    collections::BTreeMap,
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use contracts::services::{ALL, KITCHEN, ORDERS};
use test_support::{TestAuthority, TestServer, server};
use tokio_postgres::NoTls;

use crate::command::{bootstrap, stderr};

const DATABASE: &str = "chefcito";

fn passwords(suffix: &str) -> String {
    let all: BTreeMap<_, _> =
        ALL.into_iter().map(|service| (service, password(service, suffix))).collect();
    serde_json::to_string(&all).unwrap()
}

/// A password as it should never be; the server must bear it.
fn password(service: &str, suffix: &str) -> String {
    format!("{service}'s-\"{suffix}\"")
}

fn roles(server: &TestServer, passwords: &str) -> std::process::Command {
    let mut command = bootstrap(&["roles", "--within", "60s"]);
    command
        .env("CHEFCITO_ADMIN_DATABASE_URL", server.url())
        .env("CHEFCITO_ROLE_PASSWORDS", passwords)
        .stderr(Stdio::piped());
    command
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", stderr(output));
    assert!(stderr(output).ends_with("The roles and schemas of 7 services are there\n"));
}

/// Has a service's role run SQL; the error is the server's code.
async fn as_role(server: &TestServer, role: &str, password: &str, sql: &str) -> Result<(), String> {
    let mut config = server.url().parse::<tokio_postgres::Config>().unwrap();
    let config = config.user(role).password(password).dbname(DATABASE);
    run(config, sql).await
}

async fn run(config: &tokio_postgres::Config, sql: &str) -> Result<(), String> {
    let code = |error: tokio_postgres::Error| match error.code() {
        Some(code) => code.code().to_owned(),
        None => panic!("{error}"),
    };
    let (client, connection) = config.connect(NoTls).await.map_err(code)?;
    tokio::spawn(connection);
    client.batch_execute(sql).await.map_err(code)
}

#[tokio::test]
async fn each_role_has_a_schema_and_sees_no_other() {
    let Some(server) = server() else { return };
    done(&roles(&server, &passwords("1")).output().unwrap());
    for service in ALL {
        let mine = format!(
            "CREATE TABLE \"{service}\".secrets (text TEXT); INSERT INTO \"{service}\".secrets VALUES ('mine')"
        );
        assert_eq!(as_role(&server, service, &password(service, "1"), &mine).await, Ok(()));
    }
    const DENIED: &str = "42501";
    for service in ALL {
        let own = password(service, "1");
        let denied = async |sql: &str| {
            assert_eq!(
                as_role(&server, service, &own, sql).await,
                Err(DENIED.to_owned()),
                "{service}: {sql}"
            );
        };
        for other in ALL.into_iter().filter(|other| *other != service) {
            denied(&format!("SELECT * FROM \"{other}\".secrets")).await;
            denied(&format!("CREATE TABLE \"{other}\".mine (text TEXT)")).await;
            denied(&format!("DROP TABLE \"{other}\".secrets")).await;
            assert!(as_role(&server, other, &own, "SELECT 1").await.is_err());
        }
        denied("CREATE TABLE public.mine (text TEXT)").await;
        denied("CREATE SCHEMA mine").await;
        denied("CREATE ROLE mine").await;
        denied("CREATE TEMPORARY TABLE mine (text TEXT)").await;
        for other in ["postgres", "template1"] {
            let mut config = server.url().parse::<tokio_postgres::Config>().unwrap();
            let config = config.user(service).password(&own).dbname(other);
            assert_eq!(
                run(config, "SELECT 1").await,
                Err(DENIED.to_owned()),
                "{service} in {other}"
            );
        }
    }
}

#[tokio::test]
async fn again_and_at_once_is_as_once_and_a_changed_password_is_set() {
    let Some(server) = server() else { return };
    let at_once: Vec<_> =
        (0..3).map(|_| roles(&server, &passwords("1")).spawn().unwrap()).collect();
    for child in at_once {
        done(&child.wait_with_output().unwrap());
    }
    let keep = "CREATE TABLE orders.kept (text TEXT)";
    assert_eq!(as_role(&server, ORDERS, &password(ORDERS, "1"), keep).await, Ok(()));
    done(&roles(&server, &passwords("2")).output().unwrap());
    let look = "SELECT * FROM orders.kept";
    assert_eq!(as_role(&server, ORDERS, &password(ORDERS, "2"), look).await, Ok(()));
    let wrong_password = Err("28P01".to_owned());
    assert_eq!(as_role(&server, ORDERS, &password(ORDERS, "1"), look).await, wrong_password);
}

#[test]
fn a_server_that_comes_later_is_waited_for_and_one_that_never_comes_is_not() {
    let Some(mut server) = server() else { return };
    server.stop();
    let waits = roles(&server, &passwords("1")).spawn().unwrap();
    server.start();
    done(&waits.wait_with_output().unwrap());

    server.stop();
    let began = Instant::now();
    let late = bootstrap(&["roles", "--within", "300ms"])
        .env("CHEFCITO_ADMIN_DATABASE_URL", server.url())
        .env("CHEFCITO_ROLE_PASSWORDS", passwords("1"))
        .output()
        .unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(late.status.code(), Some(1));
    let said = stderr(&late);
    let [waits, late] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    assert!(waits.starts_with("Waits for PostgreSQL: ") && waits.contains("refused"), "{said}");
    assert!(late.starts_with("bootstrap: PostgreSQL was not there within 300ms: "), "{said}");
}

#[test]
fn what_cannot_come_right_is_said_at_once() {
    let Some(server) = server() else { return };
    let began = Instant::now();
    for (url, passwords, words) in [
        (
            server.url_of("postgres", "other", "postgres"),
            passwords("1"),
            "its data and the secrets belong together",
        ),
        ("postgres:5432".into(), passwords("1"), "CHEFCITO_ADMIN_DATABASE_URL should be like"),
        (server.url(), "{}".into(), "`gateway` has none"),
        (server.url(), "secret".into(), "not JSON"),
        (server.url(), passwords("1").replace("{", r#"{"boss":"x","#), "`boss` is no service"),
        (server.url(), String::new(), "CHEFCITO_ROLE_PASSWORDS is not set"),
    ] {
        let output = bootstrap(&["roles"])
            .env("CHEFCITO_ADMIN_DATABASE_URL", url)
            .env("CHEFCITO_ROLE_PASSWORDS", passwords)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn who_may_make_roles_and_databases_need_not_be_a_superuser() {
    let Some(server) = server() else { return };
    server.run("postgres", "CREATE ROLE manager LOGIN PASSWORD 'm' CREATEROLE CREATEDB").unwrap();
    let url = server.url_of("manager", "m", "postgres");
    for suffix in ["1", "2"] {
        let mut command = roles(&server, &passwords(suffix));
        done(&command.env("CHEFCITO_ADMIN_DATABASE_URL", &url).output().unwrap());
        for service in ALL {
            let mine = format!("CREATE TABLE \"{service}\".mine{suffix} (text TEXT)");
            let own = password(service, suffix);
            assert_eq!(as_role(&server, service, &own, &mine).await, Ok(()));
            let theirs = if service == ORDERS { KITCHEN } else { ORDERS };
            let theirs = format!("CREATE TABLE {theirs}.theirs (text TEXT)");
            assert_eq!(as_role(&server, service, &own, &theirs).await, Err("42501".into()));
        }
    }
}

#[test]
fn in_tls_only_whoever_proves_to_be_the_server_that_is_meant_is_spoken_to() {
    let Some(mut server) = server() else { return };
    let authority = TestAuthority::new();
    let url = |host: &str| server.url().replace("127.0.0.1", host) + "?sslmode=require";
    let (here, elsewhere) = (url("localhost"), url("127.0.0.1"));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name)
    };
    let (trusted, others) =
        (file("trusted.pem", authority.pem()), file("others.pem", TestAuthority::new().pem()));
    let asked = |url: &str, certificates: &std::path::Path| {
        let began = Instant::now();
        let output = bootstrap(&["roles"])
            .env("CHEFCITO_ADMIN_DATABASE_URL", url)
            .env("CHEFCITO_ROLE_PASSWORDS", passwords("1"))
            .env("CHEFCITO_TRUSTED_CERTIFICATES_FILE", certificates)
            .output()
            .unwrap();
        assert!(began.elapsed() < Duration::from_secs(20));
        output
    };
    let refused = |url: &str, certificates: &std::path::Path, words: &str| {
        let output = asked(url, certificates);
        assert_eq!(output.status.code(), Some(1));
        let said = stderr(&output);
        assert!(said.starts_with("bootstrap: ") && said.contains(words), "{said}");
    };
    refused(&here, &trusted, "it has no TLS; turn it on there");
    server.restart_with_tls(&authority.issue(&["localhost"]));
    refused(&here, &others, "an authority that is not trusted here; give that authority's");
    // As when nobody gave any.
    refused(&here, &folder.path().join("absent.pem"), "an authority that is not trusted here");
    refused(&elsewhere, &trusted, "its certificate is for another name");
    let garbage = file("garbage.pem", "-----BEGIN CERTIFICATE-----\nnone\n");
    refused(&here, &garbage, "CHEFCITO_TRUSTED_CERTIFICATES should have certificates in PEM, but");
    done(&asked(&here, &trusted));
}
