//! The service as a process of its own.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// How long anything here may take on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Returns whether the service at this address says that it is ready.
fn is_ready(address: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(WAIT_MAX))?;
        write!(stream, "GET /ready HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
}

/// It neither reads nor writes events. Manifests of an earlier version name a file with the address of Redis, which it no longer gets.
#[test]
fn it_needs_no_redis() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let data = tempfile::tempdir().unwrap();
    let mut service = Command::new(env!("CARGO_BIN_EXE_market-sim"))
        .env_clear()
        .env("CHEFCITO_LISTEN", &address)
        .env("CHEFCITO_DATA", data.path())
        .env(concat!("CHEFCITO_REDIS_URL", "_FILE"), data.path().join("redis.url"))
        .env("CHEFCITO_SERVICE_TOKEN", "a-token-for-tests")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !is_ready(&address) {
        assert!(service.try_wait().unwrap().is_none(), "it ended");
        assert!(began.elapsed() < WAIT_MAX, "it is not ready");
        std::thread::sleep(Duration::from_millis(5));
    }
    service.kill().unwrap();
    service.wait().unwrap();
}
