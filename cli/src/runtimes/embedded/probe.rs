//! Asks an environment whether it is ready: first the gateway's `/ready` over a plain socket, since this is frequent
//! and precedes everything else; then `/v1/status`, since `/ready` is about the gateway alone.

use std::{io, net::SocketAddr, time::Duration};

use contracts::api::gateway::Status;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use client::{Client, ClientError};

/// How long one request may take.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(2);
/// The most that is read of an answer.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

/// Why an environment is not ready.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotReady {
    /// Nothing listens at the address.
    #[error("nothing listens: {0}")]
    Gone(#[from] io::Error),
    /// It does not answer.
    #[error("it does not answer")]
    NoAnswer,
    /// It answered that it is not ready.
    #[error("{0}")]
    Said(String),
}

/// Asks once whether every service is ready. If the gateway refuses the key, or does not hold it, its own readiness is returned: another
/// check reports the key.
///
/// # Errors
/// [`NotReady`] with the gateway's answer, or with the services that are not ready and their reasons.
pub(super) async fn probe(address: SocketAddr, key: &str) -> Result<(), NotReady> {
    probe_gateway(address).await?;
    let Ok(client) = Client::new(address, key) else { return Ok(()) };
    let unready = match client.waiting(ANSWER_WAIT_MAX).get::<Status>("/v1/status").await {
        Ok(status) if status.ready => return Ok(()),
        Ok(status) => status.services.into_iter().filter(|(_, service)| !service.ready),
        Err(ClientError::Refused { .. } | ClientError::Unproven(_)) => return Ok(()),
        Err(ClientError::Late { .. }) => return Err(NotReady::NoAnswer),
        Err(_) => return Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
    };
    let reasons: Vec<String> = unready
        .map(|(name, service)| format!("{name}: {}", service.reason.unwrap_or_default()))
        .collect();
    Err(NotReady::Said(reasons.join("; ")))
}

/// Returns whether the gateway at an address says that it is ready. Needs no key.
pub(crate) async fn is_gateway_ready(address: SocketAddr) -> bool {
    probe_gateway(address).await.is_ok()
}

async fn probe_gateway(address: SocketAddr) -> Result<(), NotReady> {
    let answer = timeout(ANSWER_WAIT_MAX, ask(address)).await.map_err(|_| NotReady::NoAnswer)??;
    let answer = String::from_utf8_lossy(&answer);
    if answer.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).trim();
    let status = answer.lines().next().unwrap_or_default().trim_start_matches("HTTP/1.1 ");
    let (status, body) = (printable::line(status), printable::line(body));
    Err(NotReady::Said(if body.is_empty() { status.into() } else { format!("{status}: {body}") }))
}

async fn ask(address: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /ready HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    if answer.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
}
