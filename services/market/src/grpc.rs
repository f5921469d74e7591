//! The gRPC server: how many connections it has, and how many bytes of requests all of them may bring at once.

use std::{
    convert::Infallible,
    future::{Future as _, ready},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{
    FutureExt as _, Stream,
    future::{BoxFuture, Either},
    stream,
};
use http::{Request, Response};
use service::http::Bodies;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tonic::{
    Status,
    body::Body,
    server::NamedService,
    transport::{
        Server,
        server::{Connected, TcpConnectInfo},
    },
};
use tower::Service;
use tracing::warn;

/// The largest request, in bytes: an id and a name are under a hundred.
pub(crate) const REQUEST_BYTES_MAX: usize = 4 * 1024;
/// How many bytes the requests of all connections may have that are received or answered, each counted as the largest: 1,024
/// requests, sixteen times as many as are sent to the farmers at once.
pub const GRPC_REQUESTS_BYTES_MAX: usize = 1024 * REQUEST_BYTES_MAX;
/// How many connections there are at once; more wait to be accepted. A replica of the inventory has one. What they have sent and no
/// request has read is up to 64 KiB each: 8 MiB in all.
pub const GRPC_CONNECTIONS_MAX: usize = 128;
/// How many requests one connection has under way at once; HTTP/2 makes the client wait with more.
const REQUESTS_PER_CONNECTION_MAX: u32 = 256;
/// How many bytes a client may send on a connection that no request has read: as HTTP/2 begins with. hyper would allow 1 MiB.
const WINDOW_BYTES: u32 = 64 * 1024 - 1;
/// The largest head of a request, in bytes.
const HEAD_BYTES_MAX: u32 = 4 * 1024;
/// How long a caller may be silent before it is asked for a sign of life, and how long it may leave that unanswered: one that does
/// not read what it is sent would keep its connection for ever. As long may it take to send the first byte.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Returns a server within these limits.
pub(crate) fn server() -> Server {
    Server::builder()
        .max_concurrent_streams(REQUESTS_PER_CONNECTION_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_max_header_list_size(HEAD_BYTES_MAX)
        .http2_keepalive_interval(Some(SILENCE_MAX))
        .http2_keepalive_timeout(Some(SILENCE_MAX))
}

/// Accepts connections, [`GRPC_CONNECTIONS_MAX`] at once. It does not end when one can't be accepted: out of file descriptors, most
/// likely, and others must end first.
pub(crate) fn connections(listener: TcpListener) -> impl Stream<Item = io::Result<Connection>> {
    let slots = Arc::new(Semaphore::new(GRPC_CONNECTIONS_MAX));
    stream::unfold((listener, slots), async |(listener, slots)| {
        let slot = Arc::clone(&slots).acquire_owned().await.ok()?;
        let stream = loop {
            match listener.accept().await {
                Ok((stream, _)) if stream.set_nodelay(true).is_ok() => break stream,
                // The client has gone.
                Ok(_) => {}
                Err(error) => {
                    warn!("Could not accept a gRPC connection: {error}");
                    sleep(Duration::from_millis(50)).await;
                }
            }
        };
        let first_byte_until = Some(Box::pin(sleep(SILENCE_MAX)));
        let connection = Connection { stream, first_byte_until, _slot: slot };
        Some((Ok(connection), (listener, slots)))
    })
}

/// A connection, which has a slot until it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// Pings find a client that is silent later.
    first_byte_until: Option<Pin<Box<Sleep>>>,
    _slot: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.first_byte_until = None;
        }
        if let Some(until) = &mut self.first_byte_until
            && until.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A service whose requests reserve [`REQUEST_BYTES_MAX`] each, before a byte of them is read, until they are answered. One that
/// finds no room is refused with `RESOURCE_EXHAUSTED`: nothing was done, and the caller may ask again.
#[derive(Clone, Debug)]
pub(crate) struct Bounded<S> {
    service: S,
    bodies: Bodies,
}

impl<S> Bounded<S> {
    pub(crate) const fn new(service: S, bodies: Bodies) -> Self {
        Self { service, bodies }
    }
}

impl<S: NamedService> NamedService for Bounded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Bounded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answered = match self.bodies.reserve(REQUEST_BYTES_MAX) {
            Ok(room) => {
                let answered = self.service.call(request);
                Either::Left(async move {
                    let response = answered.await;
                    drop(room);
                    response
                })
            }
            Err(full) => {
                let refusal = Status::resource_exhausted(format!("{full}: ask again"));
                Either::Right(ready(Ok(refusal.into_http())))
            }
        };
        answered.boxed()
    }
}
