//! TLS to PostgreSQL: where the URL asks for it, it is spoken with whoever proves to be the one that is meant, and with nobody else.

use contracts::{OrderId, services::ORDERS};
use service::ServiceContext;
use store::{Clock, ConnectError, Database, Location, OpenError, Server, StoreError, tls::Trust};
use test_support::{TestAuthority, TestServer, server};

use crate::stage::{NOTEBOOK, announce, eventually};

const SPOKEN: &str = "SELECT version || ' ' || bits FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

/// A server that shows a certificate for `localhost`, and who issued it.
fn secured() -> Option<(TestServer, TestAuthority)> {
    let mut server = server()?;
    let authority = TestAuthority::new();
    server.restart_with_tls(&authority.issue(&["localhost"]));
    Some((server, authority))
}

fn url(server: &TestServer, host: &str, query: &str) -> String {
    format!("{}?{query}", server.url().replace("127.0.0.1", host))
}

async fn opened(url: String, trust: Trust) -> Result<(ServiceContext, Database), OpenError> {
    let location = Location::Postgres { url, trust, schema_prefix: String::new() };
    let context = ServiceContext::new(location, events::in_process(), Clock::System);
    let service = context.open(ORDERS, NOTEBOOK).await?;
    Ok((context, service.database().clone()))
}

async fn refused(url: String, trust: Trust) -> String {
    let Err(error) = opened(url, trust).await else { panic!("it was opened") };
    store::chain(&error)
}

/// Returns the TLS that a service's own questions are asked in; nothing if they are asked openly.
async fn spoken(database: &Database) -> Result<Option<String>, StoreError> {
    let asked = database.read(|tx| tx.query_one(SPOKEN, &[], |row| row.get(0)));
    asked.await.map(Option::flatten)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_works_in_tls_and_goes_on_when_the_server_was_away() {
    let Some((mut server, authority)) = secured() else { return };
    // The hash of the certificate is part of the proof of the password: nobody in between can pass it on.
    let url = url(&server, "localhost", "sslmode=require&channel_binding=require");
    let (context, database) = opened(url, authority.trust()).await.unwrap();
    assert!(spoken(&database).await.unwrap().unwrap().starts_with("TLSv1.3 "));
    announce(&database, vec![OrderId::new()]).await.unwrap();
    server.kill();
    // The process of a connection may outlive the server that was killed for a moment.
    eventually("the server is missed", || async {
        let lost = announce(&database, vec![OrderId::new()]).await.err();
        assert!(lost.as_ref().is_none_or(StoreError::is_transient), "{lost:?}");
        lost.is_some()
    })
    .await;
    server.start();
    eventually("it writes again", || async {
        announce(&database, vec![OrderId::new()]).await.is_ok()
    })
    .await;
    eventually("it asks again", || async { matches!(spoken(&database).await, Ok(Some(_))) }).await;
    context.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_known_or_called_otherwise_is_refused_with_the_reason() {
    let Some((server, authority)) = secured() else { return };
    let stranger = TestAuthority::new();
    for trust in [Trust::default(), stranger.trust()] {
        let said = refused(url(&server, "localhost", "sslmode=require"), trust).await;
        assert!(said.contains(&format!("{} is not trusted", localhost(&server))), "{said}");
        assert!(said.contains("an authority that is not trusted here"), "{said}");
        assert!(said.contains("CHEFCITO_TRUSTED_CERTIFICATES_FILE"), "{said}");
    }
    let said = refused(url(&server, "127.0.0.1", "sslmode=require"), authority.trust()).await;
    assert!(said.contains("its certificate is for another name"), "{said}");
    assert!(said.contains("127.0.0.1") && said.contains("localhost"), "{said}");
}

fn localhost(server: &TestServer) -> String {
    server.address().replace("127.0.0.1", "localhost")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_not_taken_where_tls_is_asked_for() {
    let Some(server) = server() else { return };
    let url = url(&server, "localhost", "sslmode=require");
    let read = Server::read(&url, "a test", &Trust::default()).unwrap();
    let Err(ConnectError::Distrusted { address, why }) = read.connect().await else {
        panic!("it was taken")
    };
    assert_eq!(address, localhost(&server));
    assert!(why.starts_with("it has no TLS; turn it on there"), "{why}");
    let said = refused(url, Trust::default()).await;
    assert!(said.contains(&why), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_ask_for_tls_is_spoken_to_openly_whatever_the_server_shows() {
    let Some((server, _)) = secured() else { return };
    for query in ["sslmode=prefer", "sslmode=disable", "connect_timeout=5"] {
        let (context, database) =
            opened(url(&server, "127.0.0.1", query), Trust::default()).await.unwrap();
        assert_eq!(spoken(&database).await.unwrap(), None, "{query}");
        context.close().await;
    }
}

#[test]
fn certificates_that_can_not_be_read_are_told_by_their_number() {
    let good = TestAuthority::new().pem().to_owned();
    let broken = good.replacen("MII", "M!I", 1);
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (pem, words) in [
        ("a secret".to_owned(), "there is none in it"),
        (format!("{good}{broken}"), "certificate 2 of it is broken"),
        (format!("{good}{good}{empty}"), "certificate 3 of it is none"),
        (good.replace("-----END", "-----END OF"), "certificate 1 of it is broken"),
    ] {
        let said = Trust::with(&pem).unwrap_err();
        assert!(said.starts_with(words), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
    assert!(Trust::with(&format!("# Two of them:\n{good}\n\n{good}")).is_ok());
}
