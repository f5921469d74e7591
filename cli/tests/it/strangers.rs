//! Programs that listen where a gateway is recorded: they learn no API key.

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

use contracts::api::proof::ProofKey;

use crate::chefcito::{Home, kill, wait_until};

/// The secret of the admin key in these tests.
const SECRET: &str = "5ec4e7005ec4e7005ec4e7005ec4e7005ec4e7005ec4e7005ec4e7005ec4e700";
const ORDER: &str = "0192f3c4-5a6b-7c8d-9e0f-112233445566";

/// Every command that shows the gateway the admin key.
const COMMANDS: &[&[&str]] = &[
    &["order", "--timeout", "1s"],
    &["order", "--count", "9", "--rate", "9", "--no-wait", "--timeout", "1s"],
    &["cancel", ORDER],
    &["story", ORDER],
    &["seed"],
    &["market"],
    &["market", "set", "--outage", "on"],
    &["market", "reset"],
    &["keys", "list"],
    &["keys", "add", "anna", "--role", "viewer"],
    &["keys", "revoke", "anna"],
    &["dead-letters", "list"],
    &["dead-letters", "replay", "--all"],
    &["dead-letters", "drop", "kitchen", ORDER],
    &["audit"],
    &["audit", "--live"],
    &["status"],
    &["status", "--json"],
    &["board", "--json"],
];

/// How a stranger answers what it hears.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Hangs up.
    Silent,
    /// With this status and this body.
    Says(&'static str, &'static str),
    /// As a gateway that holds another key.
    OfAnother,
}

/// Listens on a port of its own, and notes every byte that it is sent.
struct Stranger {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Stranger {
    fn of(manner: Manner) -> Self {
        Self::listening(move |stream, heard| answer(manner, stream, heard))
    }

    /// Passes everything on to the gateway at an address, and its answers back.
    fn before(gateway: SocketAddr) -> Self {
        Self::listening(move |stream, heard| {
            let behind = TcpStream::connect(gateway)?;
            let (mut answers, mut back) = (behind.try_clone()?, stream.try_clone()?);
            thread::spawn(move || io::copy(&mut answers, &mut back));
            noting(stream, heard, |bytes| (&behind).write_all(bytes))
        })
    }

    fn listening(
        serve: impl Fn(TcpStream, &Mutex<Vec<u8>>) -> io::Result<()> + Copy + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let noted = Arc::clone(&heard);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let noted = Arc::clone(&noted);
                thread::spawn(move || serve(stream, &noted));
            }
        });
        Self { address, heard }
    }

    /// Checks that it was asked, and was sent no key.
    fn knows_nothing(&self) {
        let heard = String::from_utf8_lossy(&self.heard.lock().unwrap()).to_lowercase();
        assert!(heard.contains("get /proof?key=local&nonce="), "{heard}");
        for part in [SECRET, &SECRET[..8], "authorization", "bearer"] {
            assert!(!heard.contains(part), "{heard}");
        }
    }
}

/// Reads until the other side hangs up; notes the bytes and hands them on.
fn noting(
    mut stream: TcpStream,
    heard: &Mutex<Vec<u8>>,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => {
                heard.lock().unwrap().extend(&buffer[..length]);
                each(&buffer[..length])?;
            }
        }
    }
}

fn answer(manner: Manner, stream: TcpStream, heard: &Mutex<Vec<u8>>) -> io::Result<()> {
    let mut back = stream.try_clone()?;
    noting(stream, heard, |bytes| {
        let (status, body) = match manner {
            Manner::Silent => return Err(io::ErrorKind::ConnectionAborted.into()),
            Manner::Says(status, body) => (status, body.to_owned()),
            Manner::OfAnother => {
                let asked = String::from_utf8_lossy(bytes);
                let nonce = asked.split("nonce=").nth(1).and_then(|rest| rest.get(..64));
                let proof = nonce.and_then(|nonce| ProofKey::of("another").prove(nonce, None));
                ("200 OK", serde_json::to_string(&proof)?)
            }
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
        back.write_all(format!("{head}{body}").as_bytes())
    })
}

/// A home whose environment is recorded at an address, with nothing behind the record.
fn recorded(record: &str, address: SocketAddr) -> Home {
    let home = Home::new();
    fs::create_dir_all(home.environment()).unwrap();
    fs::set_permissions(home.environment(), fs::Permissions::from_mode(0o700)).unwrap();
    let key = format!("cfk_local_{SECRET}\n");
    fs::write(home.environment().join("admin.key"), key).unwrap();
    let (file, record) = match record {
        "containers" => (
            "containers.json",
            serde_json::json!({
                "address": address, "engine": "unix:///nowhere/docker.sock",
                "version": "1.0.0", "started_at": "2026-01-31T12:00:00Z",
            }),
        ),
        _ => (
            "cluster.json",
            serde_json::json!({
                "target": {"context": "gone", "kubeconfig": "/nowhere/kubeconfig"},
                "server": "https://127.0.0.1:1", "namespace": "chefcito", "port": address.port(),
                "is_forwarded": false, "version": "1.0.0", "started_at": "2026-01-31T12:00:00Z",
            }),
        ),
    };
    fs::write(home.environment().join(file), record.to_string()).unwrap();
    home
}

#[test]
fn no_command_sends_a_stranger_the_admin_key() {
    let strangers = [
        (Manner::Silent, "hung up"),
        (Manner::Says("200 OK", "{}"), "answered with something that is no proof"),
        (Manner::Says("401 Unauthorized", "{}"), "as gateways of earlier versions"),
        (Manner::OfAnother, "does not hold the local admin key"),
    ];
    for (manner, reason) in strangers {
        for record in ["containers", "cluster"] {
            let stranger = Stranger::of(manner);
            let home = recorded(record, stranger.address);
            for args in COMMANDS {
                let ran = home.run(args);
                assert!(matches!(ran.code, Some(1 | 3 | 4)), "{manner:?}: {ran}");
                assert!(ran.stdout.is_empty() || args[0] == "order", "{manner:?}: {ran}");
            }
            let ran = home.run(&["keys", "list"]);
            assert!(ran.code == Some(1) && ran.stderr.contains(reason), "{ran}");
            stranger.knows_nothing();
        }
    }
}

#[test]
fn the_error_about_a_stranger_says_what_happened_and_what_to_do() {
    let stranger = Stranger::of(Manner::OfAnother);
    let home = recorded("containers", stranger.address);
    for args in [&["keys", "list"][..], &["order"]] {
        let ran = home.run(args);
        assert_eq!(ran.code, Some(1), "{ran}");
        let error = format!(
            "error: what listens at {} did not prove that it is the environment's gateway: it does not hold the local admin \
             key; it was not sent the API key",
            stranger.address
        );
        assert!(ran.stderr.contains(&error), "{ran}");
        assert!(ran.stderr.contains("`chefcito up --port 0`"), "{ran}");
    }
}

#[test]
fn a_stranger_that_took_the_port_of_a_killed_environment_is_sent_nothing() {
    let home = Home::new();
    let up = home.must(&["up", "--port", "0", "--no-seed"]);
    let address: SocketAddr = up.stdout.trim().trim_start_matches("http://").parse().unwrap();
    kill("-KILL", home.embedded_pid());
    wait_until("the port is free", || TcpListener::bind(address).is_ok());
    let listener = TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    for args in COMMANDS {
        let ran = home.run(args);
        assert_eq!(ran.code, Some(3), "{ran}");
    }
    let called = listener.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(called, Err(io::ErrorKind::WouldBlock));
}

#[test]
fn a_stranger_that_passes_the_question_on_to_the_gateway_is_not_taken_for_it() {
    let home = Home::new();
    let up = home.must(&["up", "--port", "0"]);
    let gateway: SocketAddr = up.stdout.trim().trim_start_matches("http://").parse().unwrap();
    let stranger = Stranger::before(gateway);
    let other = recorded("containers", stranger.address);
    let key: PathBuf = home.environment().join("admin.key");
    fs::copy(&key, other.environment().join("admin.key")).unwrap();
    let ran = other.run(&["keys", "list"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    let passed_on = format!("it passed on the answer for port {}", gateway.port());
    assert!(ran.stderr.contains(&passed_on), "{ran}");
    let heard = String::from_utf8_lossy(&stranger.heard.lock().unwrap()).into_owned();
    let key = fs::read_to_string(key).unwrap();
    assert!(!heard.contains(key.trim()) && heard.contains("GET /proof"), "{heard}");

    // At the gateway itself, the same key is good.
    let direct = recorded("containers", gateway);
    fs::write(direct.environment().join("admin.key"), key).unwrap();
    let ran = direct.must(&["keys", "list"]);
    assert!(ran.stdout.contains("first admin"), "{ran}");
}

#[test]
fn a_look_at_what_is_recorded_nowhere_opens_no_connection_to_another_machine() {
    let home = Home::new();
    home.put_program("ssh", "touch \"$HOME/dialled\"; exit 255");
    // Not the loopback address that counts as this machine.
    let elsewhere = TcpListener::bind("127.0.0.2:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let tcp = format!("tcp://{}", elsewhere.local_addr().unwrap());
    for engine in ["ssh://cook@elsewhere.invalid", &tcp] {
        for (args, code) in [
            (&["status"][..], 3),
            (&["ls"], 0),
            (&["logs"], 3),
            (&["stop"], 0),
            (&["start"], 3),
            (&["restart", "kitchen"], 3),
            (&["scale", "kitchen=2"], 3),
            (&["exec", "kitchen", "true"], 3),
            (&["order"], 3),
            (&["keys", "list"], 3),
            (&["down"], 0),
        ] {
            let ran = home.command(args).env("DOCKER_HOST", engine).output().unwrap();
            let said = String::from_utf8_lossy(&ran.stderr);
            assert_eq!(ran.status.code(), Some(code), "{args:?} with {engine}: {said}");
            let nothing = ["is running", "no environment"].map(|words| said.contains(words));
            assert!(nothing.contains(&true), "{args:?} with {engine}: {said}");
        }
    }
    assert!(!home.path().join("dialled").exists(), "ssh was started");
    // The commands have ended: a connection would be in the queue.
    assert!(elsewhere.accept().is_err(), "a connection was opened");
}
