//! The HTTP edge: a server with limits that ends gracefully, and extractors whose refusals are [`Problem`]s.

mod addresses;
mod bodies;
mod incoming_body;
mod lingering;
mod listening;
mod slow_reader;

use std::{
    convert::Infallible,
    error::Error,
    io,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    RequestExt as _, Router,
    body::{Body, Bytes, HttpBody as _, to_bytes},
    extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request},
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use contracts::{
    Timestamp,
    json::{self, JsonError},
};
use futures_util::FutureExt as _;
use http_body_util::LengthLimitError;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::fmt::rfc2822::DateTimePrinter;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::de::DeserializeOwned;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tower::Service as _;
use tracing::{Instrument as _, debug, warn};

pub use self::{
    addresses::network_of,
    bodies::{BODIES_BYTES_MAX, Bodies, BodiesFull, Reservation},
    listening::{BACKLOG, listen},
};
use self::{
    addresses::{Addresses, Counted},
    incoming_body::{BodyLate, bounded},
    lingering::Lingering,
};
use crate::{
    metrics::Metrics,
    problem::{PROBLEM_TYPE, Problem},
};

/// How much of a body that was not read is read after the answer, in bytes: that much comes with the head. With more, the connection
/// ends.
const DRAINED_MAX: u64 = 16 * 1024;

/// How many connections that are one too many of their address are heard out at once, so that their clients get the answer; or a
/// quarter of the connections that a server may have, if that is less. Others may lose the answer.
const REFUSED_HEARD_OUT_MAX: usize = 1_024;

/// The header of a request that names the service that it is for: at an address that was another's a moment ago, somebody
/// else may listen by now.
pub const FOR_SERVICE: HeaderName = HeaderName::from_static("x-chefcito-for");
/// The header of an answer that says that nothing was done and the same may be asked again, whatever it is.
pub const NOTHING_DONE: HeaderName = HeaderName::from_static("x-chefcito-nothing-done");

/// How long the body of a request may take to arrive: 1 MiB within that is a slow line.
pub const BODY_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a request may take in all. Whoever calls a service on behalf of a request has less: what is left of it after
/// [`BODY_WAIT_MAX`].
pub const REQUEST_MAX: Duration = Duration::from_secs(30);

/// What a server takes and for how long it waits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest body, in bytes.
    pub body_bytes_max: usize,
    /// How many bytes all bodies may have that are being received or answered; one that finds no room is answered 503.
    pub bodies_bytes_max: usize,
    /// How long a client may take to send the head of a request; also how long a connection may be idle.
    pub head_wait_max: Duration,
    /// How long the body of a request may take to arrive. It is the client that is late then: 408.
    pub body_wait_max: Duration,
    /// How long a request may take in all, its body included. Without an answer, the client can't know what was done: 504.
    pub request_max: Duration,
    /// The path of requests that read everything, and how long such a request may take instead.
    pub long_request: Option<(&'static str, Duration)>,
    /// How many connections are open at once, or half of the process's files if that is less; more wait to be accepted.
    pub connections_max: usize,
    /// How many of them one address may have. More are answered 503 and closed.
    pub connections_per_address_max: usize,
    /// How long a client may leave an answer unread that no buffer holds any more.
    pub write_wait_max: Duration,
    /// How long a client may go on sending after the answer that ends its connection.
    pub linger_max: Duration,
    /// How long requests under way may take to end when the server is stopped.
    pub drain_max: Duration,
}

impl Default for Limits {
    /// A thousand orders are some 40 kB; 1 MiB holds any menu. All requests to a service behind the gateway come from the few
    /// addresses of the gateway, so one address may have every connection.
    fn default() -> Self {
        Self {
            body_bytes_max: 1024 * 1024,
            bodies_bytes_max: BODIES_BYTES_MAX,
            head_wait_max: Duration::from_secs(30),
            body_wait_max: BODY_WAIT_MAX,
            request_max: REQUEST_MAX,
            long_request: None,
            connections_max: 4_096,
            connections_per_address_max: 4_096,
            write_wait_max: Duration::from_secs(30),
            // A client that is refused has as long to send its body as one that is served.
            linger_max: BODY_WAIT_MAX,
            // A process that is told to stop has 3 s in all.
            drain_max: Duration::from_secs(2),
        }
    }
}

/// Lets this process have as many open files as the system allows. Connections are files, and the usual limit of 1,024 is
/// only there for programs that are older than `poll`.
pub fn raise_open_files_max() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // A system that refuses what it says it allows leaves us with what we have.
    let _refused = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Returns how many of its open files this process may spend on the connections of one server: half of them, so that
/// databases and logs can be opened however many guests come.
fn connections_affordable() -> usize {
    getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |files| usize::try_from(files / 2).unwrap_or(usize::MAX).max(1))
}

/// The address of a request's client, which every request has among its extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// The place of a request's connection among those that a server may have, among the request's extensions. Who takes the connection
/// over, as a WebSocket does, keeps it until the end; clones are the same place.
#[derive(Clone)]
pub struct Place(
    #[expect(dead_code, reason = "it is kept, and dropped at the end")]
    Arc<(OwnedSemaphorePermit, Counted, TaskTrackerToken)>,
);

impl std::fmt::Debug for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Place")
    }
}

/// Serves until it is told to stop, then lets what is under way end.
///
/// # Panics
/// If the largest body would never find room.
pub async fn serve(
    listener: TcpListener,
    service: &'static str,
    router: Router,
    limits: Limits,
    metrics: Metrics,
    stop: CancellationToken,
) {
    assert!(limits.body_bytes_max <= limits.bodies_bytes_max, "the largest body never finds room");
    let (held, refused) = (metrics.bodies_bytes(service), metrics.bodies_refused(service));
    let bodies = Bodies::new(limits.bodies_bytes_max, held, refused);
    let router = router.layer(DefaultBodyLimit::max(limits.body_bytes_max)).with_state(());
    let one_too_many = one_too_many();
    let connections_refused = metrics.connections_refused(service);
    let addresses = Addresses::new(limits.connections_per_address_max);
    let connections_max = limits.connections_max.min(connections_affordable());
    let slots = Arc::new(Semaphore::new(connections_max));
    let refused_slots = REFUSED_HEARD_OUT_MAX.min(connections_max.div_ceil(4));
    let refused_slots = Arc::new(Semaphore::new(refused_slots));
    // Not hyper-util's `GracefulShutdown`: it takes no connection that may become a WebSocket.
    let connections = TaskTracker::new();
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // It panics while the clock is before 1970 or after 9999: `answer` says the date instead.
        .auto_date_header(false)
        .header_read_timeout(limits.head_wait_max)
        .max_buf_size(64 * 1024);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let (stream, peer, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: others must end first.
                warn!("Could not accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let mut stream =
            Lingering::new(stream, limits.write_wait_max, limits.linger_max, stop.clone());
        let Some(counted) = addresses.count(peer.ip()) else {
            connections_refused.inc();
            stream.try_answer(one_too_many.as_bytes());
            if let Ok(heard_out) = Arc::clone(&refused_slots).try_acquire_owned() {
                tokio::spawn(async move {
                    let _best_effort = stream.shutdown().await;
                    drop(heard_out);
                });
            }
            continue;
        };
        let place = Place(Arc::new((slot, counted, connections.token())));
        let (router, metrics, bodies) = (router.clone(), metrics.clone(), bodies.clone());
        let answer = service_fn(move |mut request: hyper::Request<Incoming>| {
            let (router, metrics) = (router.clone(), metrics.clone());
            request.extensions_mut().insert(place.clone());
            // One that says that it is larger is refused when that much of it has come.
            let said = request.body().size_hint().upper().unwrap_or(u64::MAX);
            let bytes_max = limits.body_bytes_max.min(usize::try_from(said).unwrap_or(usize::MAX));
            let room = bodies.room_for(bytes_max);
            answer(service, router, metrics, request.map(Body::new), room, peer, limits)
        });
        let connection = builder.serve_connection(TokioIo::new(stream), answer).with_upgrades();
        let stopped = stop.clone().cancelled_owned();
        let connection = async move {
            let mut connection = pin!(connection);
            // The connection first: at the moment of the stop, a request that is here already is answered.
            let ended = tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = stopped => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                debug!("A connection ended: {error}");
            }
        };
        connections.spawn(connection.in_current_span());
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.drain_max, connections.wait()).await.is_err() {
        warn!("Some requests did not end within {:?}", limits.drain_max);
    }
}

/// Returns the answer to a connection that is one too many of its address.
fn one_too_many() -> String {
    let problem = Problem::unavailable(
        "Too many connections of one address are open. Use fewer, or try again.",
    );
    let text = problem.text();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
         content-type: {PROBLEM_TYPE}\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    )
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer, slot))
}

async fn answer(
    service: &'static str,
    router: Router,
    metrics: Metrics,
    mut request: Request,
    room: Reservation,
    peer: SocketAddr,
    limits: Limits,
) -> Result<Response, Infallible> {
    let started = Instant::now();
    let method = request.method().clone();
    let is_large = request.body().size_hint().upper().is_none_or(|bytes| bytes > DRAINED_MAX);
    request.extensions_mut().insert(Peer(peer));
    let body_until = tokio::time::Instant::now() + limits.body_wait_max;
    let request = request.map(|body| bounded(body, body_until, room.clone()));
    let request_max = match limits.long_request {
        Some((path, long)) if request.uri().path() == path => long,
        _ => limits.request_max,
    };
    let mut response = match tokio::time::timeout(request_max, call(router, request)).await {
        Ok(response) => response,
        Err(_) => Problem::late(request_max).into_response(),
    };
    if let Some(date) = date_of(Timestamp::now()) {
        response.headers_mut().insert(header::DATE, date);
    }
    metrics.answered(service, &method, None, &mut response, started.elapsed());
    drop(room);
    if is_large && !response.status().is_success() {
        // What nobody has read stands before the next request, and hyper closes the connection without having said so.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Returns the answer of routes. A handler that panics is answered 500: without an answer, the connection would end, and the caller
/// could not tell that from a service that is being restarted. The panic hook logs the panic.
pub async fn call(mut router: Router, request: Request) -> Response {
    match AssertUnwindSafe(async { router.call(request).await }).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_panic) => Problem::internal().into_response(),
    }
}

/// Returns a moment as HTTP writes it; nothing if its year has no four digits (RFC 9110, 5.6.7).
fn date_of(moment: Timestamp) -> Option<HeaderValue> {
    let moment = jiff::Timestamp::from_microsecond(moment.as_micros()).ok()?;
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&moment).ok()?;
    HeaderValue::try_from(text).ok()
}

/// A JSON body, whatever its content type says. It is an object; an empty body is `{}`.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let body = read_body(request).await?;
        Self::read(&body).map(Self)
    }
}

impl<T: DeserializeOwned> Json<T> {
    /// Reads a body.
    pub(crate) fn read(body: &[u8]) -> Result<T, Problem> {
        let text = if body.is_empty() { b"{}" } else { body };
        match json::from_slice(text) {
            Ok(body) => Ok(body),
            Err(error @ JsonError::Shape { .. }) => Err(Problem::unprocessable(
                "invalid",
                "The request asks for what can't be",
                format!("The body can't be read: {error}."),
            )),
            Err(error @ JsonError::Syntax(_)) => {
                Err(Problem::bad_request(format!("The body is not JSON: {error}.")))
            }
        }
    }
}

/// Reads the whole body of a request, within the server's limits.
pub(crate) async fn read_body(request: Request) -> Result<Bytes, Problem> {
    let body = to_bytes(request.into_limited_body(), usize::MAX).await;
    body.map_err(|error| unreadable_body(&error))
}

/// Returns the answer to a request whose body can't be read, by the causes of the error: 413, 503, 408, or 400.
#[must_use]
pub fn unreadable_body(error: &(dyn Error + 'static)) -> Problem {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    if causes.clone().any(|cause| cause.is::<LengthLimitError>()) {
        return Problem::too_large();
    }
    if causes.clone().any(|cause| cause.is::<BodiesFull>()) {
        return Problem::busy(
            "The bodies of other requests leave no room for this one. Nothing was done; try again, or send less at a time.",
        );
    }
    if causes.any(|cause| cause.is::<BodyLate>()) {
        return Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "The body took too long")
            .detail(
                "It did not arrive in time, and nothing was done. Send it faster, or in parts.",
            );
    }
    Problem::bad_request("The body ended before its time.")
}

/// The query of a URL.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Problem::bad_request(format!("{}.", rejection.body_text()))),
        }
    }
}

/// The variable parts of a path.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(rejection) => Err(Problem::bad_request(format!("{}.", rejection.body_text()))),
        }
    }
}

/// Returns the answer to what no route is for.
pub async fn no_such_route(request: Request) -> Problem {
    Problem::not_found(format!("No route is called {} {}.", request.method(), request.uri().path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_said_as_http_writes_it_and_left_out_where_it_can_not() {
        let date = |micros| date_of(Timestamp::from_micros(micros));
        assert_eq!(date(784_111_777_000_000).unwrap(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(-1_000_000).unwrap(), "Wed, 31 Dec 1969 23:59:59 GMT");
        assert_eq!(date(i64::MIN), None);
        assert_eq!(date(i64::MAX), None);
    }
}
