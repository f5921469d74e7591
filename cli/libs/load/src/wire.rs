//! A connection to the gateway, opened again when it breaks.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use client::{Challenger, PROOF_BYTES_MAX, Unproven, bearer};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::Mutex};

use super::{LoadError, Target};

/// The largest answer: a thousand orders are a third of it.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How long a connection may take. The gateway is on loopback: it accepts at once, or is stopped.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);
/// A connection that was idle for this long is checked before it is used: the environment may have closed it.
const IDLE_UNSEEN_MAX: Duration = Duration::from_millis(100);
/// The longest pause that the gateway can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// How old the gateway's last proof may be when a connection is opened: many connections break at once, and the gateway answers
/// some 50 such questions a second.
const PROOF_AGE_MAX: Duration = Duration::from_secs(1);

/// The connection was lost, or could not be opened; or what listens there did not prove that it is the gateway.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) error: io::Error,
    /// Whether the request may have arrived.
    pub(super) sent: bool,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The pause that the gateway asks for.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

/// The parts that all requests of one kind have in common.
#[derive(Clone, Debug)]
pub(super) struct Form {
    path: Uri,
    headers: HeaderMap,
}

impl Form {
    /// Returns a template for JSON sent to `path`; `None` if the target's key can't be sent.
    pub(super) fn new(target: &Target, path: &'static str) -> Option<Self> {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(header::HOST, HeaderValue::try_from(target.address.to_string()).ok()?);
        headers.insert(header::AUTHORIZATION, bearer(&target.key).ok()?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Some(Self { path: Uri::from_static(path), headers })
    }

    /// Returns a request of the template.
    pub(super) fn filled(
        &self,
        body: Bytes,
        idempotency_key: Option<HeaderValue>,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = self.headers.clone();
        if let Some(key) = idempotency_key {
            request.headers_mut().insert("idempotency-key", key);
        }
        request
    }
}

/// The gateway's proof that it holds the key, which is sent over no connection before.
#[derive(Debug)]
pub(super) struct Gatekeeper {
    address: SocketAddr,
    challenger: Challenger,
    /// When the gateway proved it last. The task that asks holds the lock, so that the others wait for its answer.
    proven_at: Mutex<Option<Instant>>,
}

impl Gatekeeper {
    /// Returns one without a proof; `None` if the target's key is none.
    pub(super) fn new(target: &Target) -> Option<Self> {
        let challenger = Challenger::new(&target.key).ok()?;
        Some(Self { address: target.address, challenger, proven_at: Mutex::default() })
    }

    /// Lets what is at the other end of a new connection prove that it is the gateway, unless it has just done so.
    async fn admit(&self, open: &mut Open) -> Result<(), Error> {
        let mut proven_at = self.proven_at.lock().await;
        if proven_at.is_some_and(|time| time.elapsed() < PROOF_AGE_MAX) {
            return Ok(());
        }
        let challenge = self.challenger.challenge()?;
        let request = Request::get(challenge.path())
            .header(header::HOST, self.address.to_string())
            .body(Full::default())?;
        let answer = open.exchange(request, PROOF_BYTES_MAX).await?;
        if matches!(answer.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
        {
            return Err(format!("the gateway answered {}", answer.status).into());
        }
        challenge.check(answer.status, &answer.body, self.address)?;
        *proven_at = Some(Instant::now());
        Ok(())
    }
}

/// A connection that is opened when it is needed.
#[derive(Debug)]
pub(super) struct Wire {
    gatekeeper: Rc<Gatekeeper>,
    open: Option<Open>,
}

type Driver = Connection<TokioIo<TcpStream>, Full<Bytes>>;

#[derive(Debug)]
struct Open {
    sender: SendRequest<Full<Bytes>>,
    // Driven by the future that waits for an answer, not by a task of its own: no wake-up is needed.
    driver: Driver,
    used: Instant,
}

impl Lost {
    /// Returns the error of a run that can't begin; `None` if what listens there may prove later that it is the gateway.
    pub(super) fn at_start(self, address: SocketAddr) -> Option<LoadError> {
        match self.error.downcast::<Unproven>() {
            Ok(unproven) => Some(LoadError::Unproven(unproven)),
            Err(silence) if silence.kind() == io::ErrorKind::Other => None,
            Err(source) => Some(LoadError::NobodyThere { address, source }),
        }
    }
}

impl Wire {
    pub(super) const fn new(gatekeeper: Rc<Gatekeeper>) -> Self {
        Self { gatekeeper, open: None }
    }

    /// Opens the connection, if there is none, or if the environment has closed the idle one.
    pub(super) async fn connect(&mut self) -> Result<(), Lost> {
        let closed = match &mut self.open {
            Some(open) => open.used.elapsed() > IDLE_UNSEEN_MAX && open.is_closed().await,
            None => true,
        };
        if closed {
            self.open = None;
            let unsent = |error| Lost { error, sent: false };
            let mut opened = open(self.gatekeeper.address).await.map_err(unsent)?;
            let admitted = self.gatekeeper.admit(&mut opened).await;
            admitted.map_err(|error| unsent(io::Error::other(error)))?;
            self.open = Some(opened);
        }
        Ok(())
    }

    /// Sends a request and returns the answer. The next request opens a lost connection again.
    ///
    /// Cancel-safe: dropping an exchange drops its connection.
    pub(super) async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Lost> {
        self.connect().await?;
        let Some(mut open) = self.open.take() else {
            return Err(Lost { error: io::ErrorKind::NotConnected.into(), sent: false });
        };
        let answer = open.exchange(request, ANSWER_BYTES_MAX).await;
        let answer = answer.map_err(|error| Lost { error: io::Error::other(error), sent: true })?;
        if !open.sender.is_closed() {
            open.used = Instant::now();
            self.open = Some(open);
        }
        Ok(answer)
    }
}

impl Open {
    /// Returns whether the other side has closed the connection, without waiting.
    async fn is_closed(&mut self) -> bool {
        poll_fn(|context| Poll::Ready(Pin::new(&mut self.driver).poll(context).is_ready())).await
    }

    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        bytes_max: usize,
    ) -> Result<Answer, Error> {
        let Self { sender, driver, .. } = self;
        drive(driver, async {
            sender.ready().await?;
            let (parts, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, bytes_max).collect().await?.to_bytes();
            Ok(Answer { status: parts.status, retry_after: retry_after(&parts.headers), body })
        })
        .await
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Drives the connection until the exchange is done.
async fn drive<T>(
    driver: &mut Driver,
    exchange: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut exchange = pin!(exchange);
    poll_fn(|context| {
        if let Poll::Ready(done) = exchange.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        let driven = Pin::new(&mut *driver).poll(context);
        // Driving it may have brought the answer; after its end, nothing will.
        match (exchange.as_mut().poll(context), driven) {
            (Poll::Ready(done), _) => Poll::Ready(done),
            (Poll::Pending, Poll::Ready(ended)) => Poll::Ready(Err(ended
                .err()
                .map_or_else(|| "the environment hung up".into(), Into::into))),
            (Poll::Pending, Poll::Pending) => Poll::Pending,
        }
    })
    .await
}

async fn open(address: SocketAddr) -> io::Result<Open> {
    let stream = tokio::time::timeout(CONNECT_WAIT_MAX, TcpStream::connect(address))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    let (sender, driver) =
        http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    Ok(Open { sender, driver, used: Instant::now() })
}

/// Returns the pause that the gateway asks for, in seconds, the only unit that it uses.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}
