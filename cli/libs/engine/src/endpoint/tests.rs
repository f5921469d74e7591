use std::collections::HashMap;

use super::*;

fn decided(variables: &[(&str, &str)], files: &[(&str, &str)]) -> String {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    let files: HashMap<_, _> = files.iter().copied().collect();
    let variable = |name: &str| variables.get(name).map(ToString::to_string);
    let file = |path: &Path| {
        let text = path.to_str().and_then(|path| files.get(path));
        text.map(ToString::to_string).ok_or_else(|| io::ErrorKind::NotFound.into())
    };
    match wanted(&variable, &file) {
        Ok(Wanted::Named(endpoint @ EngineEndpoint::Tcp { tls: Some(_), .. })) => {
            format!("{endpoint} with TLS")
        }
        Ok(Wanted::Named(endpoint)) => endpoint.to_string(),
        Ok(Wanted::Anywhere(sockets)) => {
            sockets.iter().map(|socket| socket.display().to_string()).collect::<Vec<_>>().join(" ")
        }
        Err(error) => format!("no: {error}"),
    }
}

#[test]
fn a_host_that_is_named_goes_before_all() {
    let named = |host| decided(&[("DOCKER_HOST", host), ("DOCKER_CONTEXT", "far")], &[]);
    assert_eq!(named("unix:///run/d.sock"), "unix:///run/d.sock");
    assert_eq!(named("tcp://build:2375"), "tcp://build:2375");
    assert_eq!(named("tcp://build"), "tcp://build:2375");
    assert_eq!(named("ssh://chef@build"), "ssh://chef@build");
    for wrong in ["build:2375", "unix://run", "https://build", "carrier-pigeon://build", "tcp://"] {
        assert!(named(wrong).starts_with("no: DOCKER_HOST is `"), "{wrong}");
    }
}

#[test]
fn a_port_of_ssh_is_sent_to_where_ssh_knows_it() {
    let variable = |name: &str| (name == "DOCKER_HOST").then(|| "ssh://chef@build:2222".to_owned());
    let refused = wanted(&variable, &|_| Err(io::ErrorKind::NotFound.into())).unwrap_err();
    let reported = "DOCKER_HOST is `ssh://chef@build:2222`, but a port is not supported there";
    assert_eq!(refused.to_string(), reported);
    let hint = refused.hint().unwrap();
    assert!(hint.contains("~/.ssh/config, `Host build` with `Port 2222` below it"), "{hint}");
    let id = sha256_hex(b"far");
    let meta = format!("/h/.docker/contexts/meta/{id}/meta.json");
    let far = r#"{"Endpoints":{"docker":{"Host":"ssh://far:22"}}}"#;
    assert_eq!(
        decided(&[("HOME", "/h"), ("DOCKER_CONTEXT", "far")], &[(&meta, far)]),
        "no: the host of the context `far` is `ssh://far:22`, but a port is not supported there"
    );
}

#[test]
fn certificates_mean_tls() {
    let host = ("DOCKER_HOST", "tcp://build");
    assert_eq!(decided(&[host, ("DOCKER_CERT_PATH", "/c")], &[]), "tcp://build:2376 with TLS");
    let by_home = [host, ("DOCKER_TLS_VERIFY", "1"), ("HOME", "/h")];
    assert_eq!(decided(&by_home, &[]), "tcp://build:2376 with TLS");
}

#[test]
fn a_context_is_looked_up_where_docker_keeps_it() {
    let id = sha256_hex(b"far");
    let meta = format!("/h/.docker/contexts/meta/{id}/meta.json");
    let ca = format!("/h/.docker/contexts/tls/{id}/docker/ca.pem");
    let far = r#"{"Name":"far","Endpoints":{"docker":{"Host":"tcp://far:2376"}}}"#;
    let files = [(meta.as_str(), far), (ca.as_str(), "-----BEGIN")];
    assert_eq!(
        decided(&[("HOME", "/h"), ("DOCKER_CONTEXT", "far")], &files),
        "tcp://far:2376 with TLS"
    );
    let current = ("/h/.docker/config.json", r#"{"currentContext":"far"}"#);
    assert_eq!(decided(&[("HOME", "/h")], &[current, files[0]]), "tcp://far:2376");
    assert_eq!(
        decided(&[("HOME", "/h"), ("DOCKER_CONTEXT", "near")], &files),
        "no: there is no Docker context `near`"
    );
}

#[test]
fn without_a_name_the_usual_sockets_are_tried() {
    let damaged = [("/h/.docker/config.json", "{")];
    assert_eq!(
        decided(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/user/1")], &damaged),
        "/var/run/docker.sock /run/user/1/docker.sock /h/.docker/run/docker.sock /run/user/1/podman/podman.sock \
         /run/podman/podman.sock"
    );
    assert_eq!(
        decided(&[("DOCKER_CONTEXT", "default")], &[]),
        "/var/run/docker.sock /run/podman/podman.sock"
    );
}

#[test]
fn names_are_hashed_as_docker_hashes_them() {
    assert_eq!(
        sha256_hex(b"abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}
