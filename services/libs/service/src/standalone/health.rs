//! Asks the service that runs here how it is: what the health check of an image calls, which has no other program in it.
//! It is called every few seconds, so it starts no runtime.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// How long each step may take.
const STEP_MAX: Duration = Duration::from_secs(1);
const REQUEST: &[u8] = b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// Returns where a service that listens at this address is reached from here.
pub(super) const fn reached_at(listens: SocketAddr) -> SocketAddr {
    let here = match listens.ip() {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        named => named,
    };
    SocketAddr::new(here, listens.port())
}

/// Asks; the error says in a few words why the service is not well.
pub(super) fn ask(address: SocketAddr) -> Result<(), String> {
    let failed = |error: io::Error| format!("no answer at {address}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, STEP_MAX).map_err(failed)?;
    stream.set_read_timeout(Some(STEP_MAX)).map_err(failed)?;
    stream.set_write_timeout(Some(STEP_MAX)).map_err(failed)?;
    stream.write_all(REQUEST).map_err(failed)?;
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).map_err(failed)?;
    match answer.strip_prefix(b"HTTP/1.1 ") {
        Some([b'2', _, _, ..]) => Ok(()),
        _ => Err(format!("{address} answered {}", String::from_utf8_lossy(&answer).trim_end())),
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// Answers one request with this.
    fn answers(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; REQUEST.len()];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(answer).unwrap();
        });
        address
    }

    #[test]
    fn only_a_good_answer_is_good() {
        assert_eq!(ask(answers(b"HTTP/1.1 200 OK\r\n\r\n")), Ok(()));
        for bad in
            [&b"HTTP/1.1 503 Service Unavailable\r\n\r\n"[..], b"SSH-2.0-OpenSSH_9.2\r\n", b"HT"]
        {
            assert!(ask(answers(bad)).is_err());
        }
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(ask(nobody).unwrap_err().contains("refused"));
    }

    #[test]
    fn who_listens_everywhere_is_reached_on_loopback() {
        let reached = |text: &str| reached_at(text.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(reached("[::]:8080"), "[::1]:8080");
        assert_eq!(reached("127.0.0.2:8080"), "127.0.0.2:8080");
    }
}
