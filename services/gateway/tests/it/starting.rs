//! The program as it is started in an environment: what it refuses to start with, and what it tells while it opens.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use backends::Backends;
use contracts::services::{self, Call, GATEWAY, MARKET_SIM};
use gateway::{Gateway, OpenError};
use service::ServiceContext;
use store::{Clock, Durability, Location};

use crate::stage::{config, echoes};

/// How long anything here may take on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(30);
const TOKEN: &str = "a-token-for-tests";
const PEPPER: &str = "a pepper for tests";

/// The program at work. It is killed with this.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.env("CHEFCITO_SERVICE_TOKEN", TOKEN).env("CHEFCITO_KEY_PEPPER", PEPPER);
    command.envs(variables().map(|variable| (variable, "http://127.0.0.1:1")));
    command
}

/// Returns the variables with the services that there are in every environment.
fn variables() -> impl Iterator<Item = &'static str> {
    let is_needed = |call: &&Call| !services::Program::named(call.to).unwrap().development_only;
    let calls = services::Program::named(GATEWAY).unwrap().calls;
    calls.iter().filter(is_needed).map(|call| call.variable)
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(began.elapsed() < WAIT_MAX, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_gateway_does_not_start_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    for (secret, value, why) in [
        ("CHEFCITO_SERVICE_TOKEN", None, "CHEFCITO_SERVICE_TOKEN is not set"),
        ("CHEFCITO_SERVICE_TOKEN", Some("short"), "(5 bytes, not shown)"),
        ("CHEFCITO_KEY_PEPPER", None, "CHEFCITO_KEY_PEPPER is not set"),
        ("CHEFCITO_KEY_PEPPER", Some("short"), "(5 bytes, not shown)"),
        ("CHEFCITO_KEY_PEPPER_FILE", empty.to_str(), "(0 bytes, not shown)"),
    ] {
        let mut command = program();
        command.env("CHEFCITO_DATA", folder.path()).env_remove(secret.trim_end_matches("_FILE"));
        let mut started =
            Program(command.envs(value.map(|value| (secret, value))).spawn().unwrap());
        let status = until(secret, || started.0.try_wait().unwrap());
        let mut told = String::new();
        started.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(status.code(), Some(1), "{secret} {value:?}: {told}");
        assert!(told.contains(why), "{secret} {value:?}: {told}");
    }
}

#[test]
fn a_gateway_does_not_start_without_a_way_to_a_service_that_is_in_every_environment() {
    let folder = tempfile::tempdir().unwrap();
    assert!(variables().count() > 0);
    for variable in variables() {
        let mut command = program();
        command.env("CHEFCITO_DATA", folder.path()).env_remove(variable);
        let mut started = Program(command.spawn().unwrap());
        let status = until(variable, || started.0.try_wait().unwrap());
        let mut told = String::new();
        started.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(status.code(), Some(1), "{variable}: {told}");
        assert!(told.contains(&format!("{variable} is not set")), "{told}");
    }
}

#[tokio::test]
async fn a_gateway_in_this_process_opens_with_all_services_of_the_table_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let location =
        Location::Folder { folder: folder.path().to_owned(), durability: Durability::Process };
    let context = ServiceContext::new(location, events::in_process(), Clock::System);
    let admin = gateway::new_key().unwrap();
    let open = async |backends: Backends| Gateway::open(&context, config(&admin), backends).await;
    let all = echoes();
    for (name, _) in all.iter().filter(|(name, _)| *name != MARKET_SIM) {
        match open(echoes().without(name)).await {
            Err(OpenError::NoBackend { service }) => assert_eq!(service, name),
            other => panic!("without {name}: {other:?}"),
        }
    }
    open(echoes().without(MARKET_SIM)).await.unwrap();
    context.close().await;
}

#[test]
fn a_gateway_that_waits_for_its_database_tells_guests_no_cause() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let url = "postgres://gateway:secret@127.0.0.1:1/chefcito";
    let mut command = program();
    command.env("CHEFCITO_LISTEN", &address).env("CHEFCITO_DATABASE_URL", url);
    let _started = Program(command.spawn().unwrap());
    let ask = |path: &str| -> Option<String> {
        let mut stream = TcpStream::connect(&address).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    };
    until("it listens", || ask("/health"));
    for path in ["/ready", "/internal/status", "/metrics", "/v1/status"] {
        let answer = ask(path).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "{path}: {answer}");
        assert!(!answer.contains("refused") && !answer.contains("127.0.0.1"), "{path}: {answer}");
    }
}
