//! The cluster's address is not known, it does not answer, or credentials or certificates are refused.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    sync::Arc,
    time::Instant,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use test_support::{TestAuthority, TestIdentity};

use super::assert_reported;
use crate::{
    chefcito::{Home, PATIENCE, kill, wait_until},
    cluster::Cluster,
};

/// A home with a kubeconfig.
fn home_with(kubeconfig: &str) -> Home {
    let home = Home::new();
    fs::create_dir(home.path().join(".kube")).unwrap();
    fs::write(home.path().join(".kube/config"), kubeconfig).unwrap();
    home
}

fn kubeconfig(server: &str, cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
clusters:
- {{name: far, cluster: {{server: '{server}'{cluster}}}}}
users:
- {{name: cook, user: {{{user}}}}}
contexts:
- {{name: far, context: {{cluster: far, user: cook}}}}
- {{name: lost, context: {{cluster: sunk, user: cook}}}}
current-context: far
"
    )
}

const FAR: [&str; 5] = ["up", "--runtime", "kubernetes", "--context", "far"];

/// A server that gives every client the same answer, once for each connection.
fn server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for guest in listener.incoming() {
            let mut guest = guest.unwrap();
            let _asked = guest.read(&mut [0; 4096]);
            let _gone = guest.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

/// A server that gives its answers one after the other, and then the last one again and again.
fn starting_server(answers: Vec<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut answers = answers.into_iter();
        let mut now = "";
        for guest in listener.incoming() {
            now = answers.next().unwrap_or(now);
            let mut guest = guest.unwrap();
            let _asked = guest.read(&mut [0; 4096]);
            let _gone = guest.write_all(now.as_bytes());
        }
    });
    format!("http://{address}")
}

const BUSY: &str = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const UNAVAILABLE: &str =
    "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const BAD_GATEWAY: &str =
    "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const TOO_OLD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n\
    {\"major\":\"1\",\"minor\":\"16+\",\"gitVersion\":\"v1.16.4\",\"gitCommit\":\"\",\"gitTreeState\":\"\",\
    \"buildDate\":\"\",\"goVersion\":\"\",\"compiler\":\"\",\"platform\":\"\"}";

/// A server that sends its certificate, and reads no more.
fn tls_server(identity: &TestIdentity) -> String {
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for guest in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let _refused = StreamOwned::new(connection, guest.unwrap()).read(&mut [0; 4096]);
        }
    });
    format!("https://{address}")
}

#[test]
fn a_cluster_that_can_t_be_found_or_asked() {
    let home = Home::new();
    assert_reported(
        &home.run(&FAR),
        7,
        &["there is no kubeconfig at HOME/.kube/config", "KUBECONFIG"],
    );

    let mut named = home.command(&FAR);
    let ran = home.finish(&FAR, named.env("KUBECONFIG", "/nowhere/a:/nowhere/b").spawn().unwrap());
    assert_reported(&ran, 7, &["there is no kubeconfig at /nowhere/a, /nowhere/b"]);

    let broken = home_with("{ not: [yaml");
    let ran = broken.run(&FAR);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("HOME/.kube/config: it is not a kubeconfig"), "{ran}");

    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("https://{}", listener.local_addr().unwrap())
    };
    let home = home_with(&kubeconfig(&closed, "", ""));
    assert_reported(
        &home.run(&FAR),
        7,
        &["no cluster answers at https://127.0.0.1", "Connection refused"],
    );
    let other = ["up", "--runtime", "kubernetes", "--context", "near"];
    assert_reported(&home.run(&other), 7, &["there is no context `near`", "there are far, lost"]);
    let lost = ["up", "--runtime", "kubernetes", "--context", "lost"];
    assert_reported(
        &home.run(&lost),
        7,
        &["names the cluster `sunk`, which is not in the kubeconfig"],
    );

    let home = home_with(&kubeconfig(&closed, ", certificate-authority: /nowhere/ca.crt", ""));
    assert_reported(
        &home.run(&FAR),
        7,
        &["the certificate authority", "`/nowhere/ca.crt` can't be read"],
    );
    let home = home_with(&kubeconfig(
        &closed,
        "",
        "client-certificate: /nowhere/me.crt, client-key: /nowhere/me.key",
    ));
    assert_reported(&home.run(&FAR), 7, &["credentials of the context `far` are missing"]);

    let exec =
        "exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: ";
    let home = home_with(&kubeconfig(&closed, "", &format!("{exec}no-such-plugin}}")));
    assert_reported(
        &home.run(&FAR),
        7,
        &[
            "cannot log in to the cluster `far`",
            "`no-such-plugin`, which",
            "install `no-such-plugin`",
        ],
    );
    let hint = format!("{exec}no-such-plugin, installHint: brew install it}}");
    let home = home_with(&kubeconfig(&closed, "", &hint));
    assert_reported(&home.run(&FAR), 7, &["hint: brew install it"]);
    let variable = "env: [{name: SECRET, value: of-the-chef}], args: [--quietly]";
    let home = home_with(&kubeconfig(&closed, "", &format!("{exec}log-in, {variable}}}")));
    home.put_program("log-in", "echo 'no such user' >&2; exit 3");
    let ran = home.run(&FAR);
    assert_reported(
        &ran,
        7,
        &[
            "cannot log in to the cluster `far`",
            "`log-in`, which the kubeconfig logs in with, failed with exit status: 3: no such user",
            "`kubectl --context far version` must work",
        ],
    );
    assert!(!ran.stderr.contains("of-the-chef"), "it may be secret: {ran}");
}

#[test]
fn the_server_may_not_be_a_cluster_or_not_a_usable_one() {
    let teapot = server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello");
    let home = home_with(&kubeconfig(&teapot, "", ""));
    assert_reported(&home.run(&FAR), 7, &["is not a Kubernetes API server"]);
    let stranger = server(
        "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: 83\r\nconnection: close\r\n\r\n\
         {\"kind\":\"Status\",\"apiVersion\":\"v1\",\"code\":401,\"reason\":\"Unauthorized\",\"message\":\"\"}    ",
    );
    let home = home_with(&kubeconfig(&stranger, "", ""));
    assert_reported(
        &home.run(&FAR),
        7,
        &["refuses the credentials of the kubeconfig", "log in to it again"],
    );
    let shut = server(
        "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: 90\r\nconnection: close\r\n\r\n\
         {\"kind\":\"Status\",\"apiVersion\":\"v1\",\"code\":403,\"reason\":\"Forbidden\",\"message\":\"nobody may\"}",
    );
    let home = home_with(&kubeconfig(&shut, "", ""));
    assert_reported(&home.run(&FAR), 7, &["does not report its version: nobody may", "a role"]);
    let old = server(TOO_OLD);
    let home = home_with(&kubeconfig(&old, "", ""));
    assert_reported(&home.run(&FAR), 7, &["too old: it has v1.16.4", "v1.20 is the oldest"]);
    let home = home_with(&kubeconfig(&old.replace("http:", "https:"), "", ""));
    assert_reported(&home.run(&FAR), 7, &["do not trust each other"]);
}

#[test]
fn a_cluster_with_an_unknown_certificate() {
    let Some(cluster) = Cluster::open("stranger") else { return };
    let path = cluster.home.path().join(".kube/config");
    let text = fs::read_to_string(&path).unwrap();
    let authority = text.lines().find(|line| line.contains("certificate-authority")).unwrap();
    let server = authority.split('\'').nth(1).unwrap();
    let home = home_with(&kubeconfig(server, "", "token: owner"));
    assert_reported(&home.run(&FAR), 7, &["do not trust each other", "get it again"]);
}

#[test]
fn a_cluster_whose_certificate_has_expired() {
    let authority = TestAuthority::new();
    let server = tls_server(&authority.issue_expired(&["127.0.0.1"]));
    let home = Home::new();
    let path = home.path().join("ca.crt");
    fs::write(&path, authority.pem()).unwrap();
    let trusting = format!(", certificate-authority: '{}'", path.display());
    fs::create_dir(home.path().join(".kube")).unwrap();
    fs::write(home.path().join(".kube/config"), kubeconfig(&server, &trusting, "")).unwrap();
    assert_reported(
        &home.run(&FAR),
        7,
        &["a certificate of the cluster `far` has expired", "renew it"],
    );
}

#[test]
fn a_login_that_does_not_end_can_be_interrupted() {
    let exec = "exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, \
                command: slow-login}";
    let home = home_with(&kubeconfig("https://127.0.0.1:1", "", exec));
    let started = home.path().join("started");
    home.put_program("slow-login", &format!("touch '{}'; exec sleep 60", started.display()));
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let up = home.start(&FAR);
        wait_until("it logs in", || started.exists());
        let since = Instant::now();
        kill(signal, i32::try_from(up.id()).unwrap());
        let ran = home.finish(&FAR, up);
        assert_eq!(ran.code, Some(code), "{ran}");
        assert!(since.elapsed() < PATIENCE, "it waited for the login: {ran}");
        assert!(!home.environment().exists(), "it had not begun");
        fs::remove_file(&started).unwrap();
    }
}

#[test]
fn an_api_server_that_is_starting_is_waited_for() {
    // First nothing behind the proxy of its port, then a server that does not know its roles yet.
    let forbidden = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let starting = starting_server(vec![BAD_GATEWAY, UNAVAILABLE, forbidden, BUSY, TOO_OLD]);
    let home = home_with(&kubeconfig(&starting, "", ""));
    let ran = home.run(&FAR);
    assert_reported(&ran, 7, &["Waiting until the cluster `far` has started", "it has v1.16.4"]);

    let limited = [&FAR[..], &["--timeout", "2s"]].concat();
    for (answer, reported) in [
        (BUSY, "answers 429"),
        (UNAVAILABLE, "answers 503"),
        (BAD_GATEWAY, "answers 502"),
        ("", "closes each connection without an answer"),
    ] {
        let home = home_with(&kubeconfig(&server(answer), "", ""));
        let since = Instant::now();
        let ran = home.run(&limited);
        assert_reported(&ran, 7, &[reported, "try again in a moment"]);
        let took = since.elapsed();
        assert!((2..8).contains(&took.as_secs()), "{took:?}: {ran}");
    }
}

/// A proxy that itself plays the server that it is asked for, and notes how it is asked.
fn proxy(answer: &'static str) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, asked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for guest in listener.incoming() {
            let mut guest = guest.unwrap();
            let mut bytes = [0; 4096];
            let count = guest.read(&mut bytes).unwrap();
            let _heard = sender.send(String::from_utf8_lossy(&bytes[..count]).into_owned());
            guest.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let _asked = guest.read(&mut bytes);
            let _gone = guest.write_all(answer.as_bytes());
        }
    });
    (address.to_string(), asked)
}

#[test]
fn a_cluster_is_reached_through_a_proxy_as_kubectl_does() {
    let run = |home: &Home, variables: &[(&str, &str)]| {
        let mut command = home.command(&FAR);
        command.envs(variables.iter().copied());
        home.finish(&FAR, command.spawn().unwrap())
    };
    let far = "http://api.far.example:6443";
    let (address, asked) = proxy(TOO_OLD);
    let home = home_with(&kubeconfig(far, "", ""));
    let ran = run(&home, &[("HTTP_PROXY", &format!("http://cook:s%40lt@{address}"))]);
    assert_reported(&ran, 7, &["it has v1.16.4"]);
    let request = asked.recv().unwrap();
    assert!(request.starts_with("CONNECT api.far.example:6443 HTTP/1.1"), "{request}");
    assert!(
        request.to_lowercase().contains("proxy-authorization: basic y29vazpzqgx0"),
        "{request}"
    );

    let own = format!(", proxy-url: 'http://{address}'");
    let ran = run(&home_with(&kubeconfig(far, &own, "")), &[("NO_PROXY", "*")]);
    assert_reported(&ran, 7, &["it has v1.16.4"]);
    assert!(asked.recv().unwrap().starts_with("CONNECT api.far.example:6443"));

    // Nothing listens there; lists of other programs are read as far as they can be.
    let nowhere = ("HTTP_PROXY", "http://cook:secret@127.0.0.1:1");
    let ran = run(&home, &[nowhere, ("NO_PROXY", "<local>,,near.example")]);
    let through = "at http://api.far.example:6443 through the proxy http://127.0.0.1:1";
    assert_reported(&ran, 7, &["no cluster answers", through]);
    assert!(!ran.stderr.contains("secret"), "{ran}");
    let here = home_with(&kubeconfig(&server(TOO_OLD), "", ""));
    assert_reported(&run(&here, &[nowhere]), 7, &["it has v1.16.4"]);
    let excepted = run(&home, &[nowhere, ("no_proxy", "<local>,.far.example:6443")]);
    assert_reported(&excepted, 7, &["no cluster answers at http://api.far.example:6443 (context"]);
    let other = run(&home, &[("HTTP_PROXY", "ftp://cook:secret@proxy:21")]);
    assert_reported(&other, 7, &["can't be used: `ftp://proxy:21`", "of the scheme http"]);
}
