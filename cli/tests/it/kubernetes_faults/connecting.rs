//! The cluster's address is not known, it does not answer, or credentials or certificates are refused.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    sync::Arc,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use test_support::{TestAuthority, TestIdentity};

use super::assert_reported;
use crate::{chefcito::Home, cluster::Cluster};

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
    assert_reported(&ran, 7, &["KUBECONFIG names no file that exists: /nowhere/a, /nowhere/b"]);

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
        &["cannot log in to the cluster `far`", "can't be started", "install it"],
    );
    let home = home_with(&kubeconfig(&closed, "", &format!("{exec}/bin/false}}")));
    assert_reported(
        &home.run(&FAR),
        7,
        &["cannot log in to the cluster `far`", "/bin/false\"` failed"],
    );
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
    let starting =
        server("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let home = home_with(&kubeconfig(&starting, "", ""));
    assert_reported(&home.run(&FAR), 7, &["answers 502", "try again in a moment"]);
    let old = server(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n\
         {\"major\":\"1\",\"minor\":\"16+\",\"gitVersion\":\"v1.16.4\",\"gitCommit\":\"\",\"gitTreeState\":\"\",\
         \"buildDate\":\"\",\"goVersion\":\"\",\"compiler\":\"\",\"platform\":\"\"}",
    );
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
