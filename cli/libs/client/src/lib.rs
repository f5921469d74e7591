//! A client of the gateway.
//!
//! Guarantees: every request ends, by an answer, an error or its time-out, and a stream of events by silence, too; an answer or an
//! event takes bounded memory, whatever listens at the address; a refusal becomes an error with its problem document. The API key is sent only to what has proven that it is
//! the gateway of the key: once a client, before its first request.
//!
//! Does not know: commands, output and exit codes; callers say what to try.

mod challenge;
mod events;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use contracts::api::Problem;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, response::Parts};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::OnceCell;

pub use crate::{
    challenge::{ANSWER_BYTES_MAX as PROOF_BYTES_MAX, Challenge, Challenger, Unproven},
    events::{EVENT_BYTES_MAX, Event, Events, SILENCE_MAX, UnreadableEvents},
};

/// The largest answer that is read: 100 MiB, far above the largest page of the API. It bounds the memory if another
/// program listens on the port.
const ANSWER_BYTES_MAX: usize = 100 * 1024 * 1024;
/// How long an answer may take by default: longer than the gateway's own limit.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long `/v1/status` may take: the gateway gives its services one second, all at once.
pub const STATUS_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a connection may take. The gateway is on loopback: it accepts at once, or is stopped.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);
/// The media type of server-sent events.
const EVENT_STREAM: &str = "text/event-stream";
/// How many characters of an answer are shown that is no problem document.
const SHOWN_CHARS_MAX: usize = 200;

/// A client of the gateway with an API key.
#[derive(Clone, Debug)]
pub struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    key: HeaderValue,
    challenger: Arc<Challenger>,
    /// Set once the gateway has proven that it holds the key. Clones share it.
    proven: Arc<OnceCell<()>>,
    wait: Duration,
}

/// An error of a request to the gateway.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing listens at the address.
    #[error("no environment answers at {address}")]
    NobodyThere {
        /// The address of the gateway.
        address: SocketAddr,
        /// The cause.
        source: legacy::Error,
    },
    /// The connection broke before the answer was complete.
    #[error("the environment at {address} hung up on `{request}`")]
    HungUp {
        /// The address of the gateway.
        address: SocketAddr,
        /// The request.
        request: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The gateway did not answer in time.
    #[error("the environment at {address} did not answer `{request}` within {}", humantime::format_duration(*waited))]
    Late {
        /// The address of the gateway.
        address: SocketAddr,
        /// The request.
        request: String,
        /// The time-out.
        waited: Duration,
    },
    /// What listens at the address is not the gateway of the key. The key was not sent.
    #[error(transparent)]
    Unproven(#[from] Unproven),
    /// The gateway refused the request.
    #[error("{}", sentence(problem))]
    Refused {
        /// The problem document.
        problem: Problem,
        /// Seconds to wait before a retry, from `Retry-After`.
        retry_after_s: Option<u64>,
    },
    /// The answer is not one of the API.
    #[error("the environment answered `{request}` with something that this chefcito can't read")]
    Unreadable {
        /// The request.
        request: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// The answer is not a stream of events, or has one that is too large.
    #[error("the environment answered `{request}` with something that this chefcito can't read")]
    UnreadableEvents {
        /// The request.
        request: String,
        /// The cause.
        source: UnreadableEvents,
    },
    /// Nothing came on a stream of events, not even a comment.
    #[error("the environment at {address} sent nothing on `{request}` for {}", humantime::format_duration(*waited))]
    Silent {
        /// The address of the gateway.
        address: SocketAddr,
        /// The request.
        request: String,
        /// For how long.
        waited: Duration,
    },
    /// The request can't be written as HTTP.
    #[error("`{request}` can't be sent")]
    Unaskable {
        /// The request.
        request: String,
        /// The cause.
        source: http::Error,
    },
}

/// A text that is no key, or has characters that a header may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an API key: it should look like `cfk_…`")]
pub struct NotAKey;

/// Returns the header that carries a key.
///
/// # Errors
/// [`NotAKey`] if it has characters that a header may not have.
pub fn bearer(key: &str) -> Result<HeaderValue, NotAKey> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.trim())).map_err(|_| NotAKey)?;
    value.set_sensitive(true);
    Ok(value)
}

impl Client {
    /// Returns a client with a key. Connects at the first request.
    ///
    /// # Errors
    /// [`NotAKey`] if it is not like `cfk_<id>_<secret>`, or can't be sent.
    pub fn new(address: SocketAddr, key: &str) -> Result<Self, NotAKey> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_WAIT_MAX));
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector);
        let challenger = Arc::new(Challenger::new(key)?);
        let proven = Arc::default();
        Ok(Self { http, address, key: bearer(key)?, challenger, proven, wait: ANSWER_WAIT_MAX })
    }

    /// Returns the address of the gateway.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the same client with another time-out.
    #[must_use]
    pub fn waiting(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Sends a GET.
    ///
    /// # Errors
    /// [`ClientError`]: unreachable, no answer in time, refused, or not of the API.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let ask = Ask { method: Method::GET, path, key: None };
        self.read(&ask, Bytes::new()).await
    }

    /// Sends a POST.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let ask = Ask { method: Method::POST, path, key: None };
        self.read(&ask, written(&ask, body)?).await
    }

    /// Sends a POST with an idempotency key: repeats have no further effect.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post_once<T: DeserializeOwned>(
        &self,
        path: &str,
        idempotency_key: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let ask = Ask { method: Method::POST, path, key: Some(idempotency_key) };
        self.read(&ask, written(&ask, body)?).await
    }

    /// Sends a POST without a body, and expects no answer body.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post_nothing(&self, path: &str) -> Result<(), ClientError> {
        self.answer(&Ask { method: Method::POST, path, key: None }, Bytes::new()).await.map(drop)
    }

    /// Sends a PUT.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let ask = Ask { method: Method::PUT, path, key: None };
        self.read(&ask, written(&ask, body)?).await
    }

    /// Sends a DELETE, and expects no answer body.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.answer(&Ask { method: Method::DELETE, path, key: None }, Bytes::new()).await.map(drop)
    }

    /// Sends a DELETE, and returns the state after it.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn reset<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.read(&Ask { method: Method::DELETE, path, key: None }, Bytes::new()).await
    }

    /// Opens a stream of server-sent events, after the one with that id.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn events(&self, path: &str, last_id: Option<&str>) -> Result<Events, ClientError> {
        let ask = Ask { method: Method::GET, path, key: None };
        let mut request = self.request(&ask, Bytes::new())?;
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static(EVENT_STREAM));
        if let Some(id) = last_id {
            let id = HeaderValue::try_from(id).map_err(|error| ClientError::Unaskable {
                request: ask.to_string(),
                source: error.into(),
            })?;
            headers.insert("last-event-id", id);
        }
        let body = self.in_time(&ask, self.open(&ask, request)).await?;
        Ok(Events::new(body, self.address, ask.to_string()))
    }

    /// Returns the body of an answer that is a stream of events.
    async fn open(
        &self,
        ask: &Ask<'_>,
        request: Request<Full<Bytes>>,
    ) -> Result<Incoming, ClientError> {
        self.proven.get_or_try_init(|| self.prove(ask)).await?;
        let answer = self.send(ask, request).await?;
        if !answer.status().is_success() {
            let (head, body) = self.collect(ask, answer, ANSWER_BYTES_MAX).await?;
            return Err(refused(&head, &body));
        }
        let kind = answer.headers().get(header::CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(EVENT_STREAM.as_bytes())) {
            return Ok(answer.into_body());
        }
        let source = UnreadableEvents::NotEvents;
        Err(ClientError::UnreadableEvents { request: ask.to_string(), source })
    }

    async fn read<T: DeserializeOwned>(
        &self,
        ask: &Ask<'_>,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let answer = self.answer(ask, body).await?;
        serde_json::from_slice(&answer)
            .map_err(|source| ClientError::Unreadable { request: ask.to_string(), source })
    }

    /// Returns the body of a successful answer.
    async fn answer(&self, ask: &Ask<'_>, body: Bytes) -> Result<Bytes, ClientError> {
        let request = self.request(ask, body)?;
        let exchange = async {
            self.proven.get_or_try_init(|| self.prove(ask)).await?;
            self.exchange(ask, request, ANSWER_BYTES_MAX).await
        };
        let (head, body) = self.in_time(ask, exchange).await?;
        if head.status.is_success() { Ok(body) } else { Err(refused(&head, &body)) }
    }

    async fn in_time<T>(
        &self,
        ask: &Ask<'_>,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let late = |_| ClientError::Late {
            address: self.address,
            request: ask.to_string(),
            waited: self.wait,
        };
        tokio::time::timeout(self.wait, work).await.map_err(late)?
    }

    /// Lets the gateway prove that it holds the key. Errors name the request that is to follow.
    async fn prove(&self, ask: &Ask<'_>) -> Result<(), ClientError> {
        let challenge = self.challenger.challenge().map_err(|error| Unproven {
            address: self.address,
            why: format!("it can't be asked, since the system has no randomness ({error})"),
        })?;
        let path = challenge.path();
        let request = Request::get(format!("http://{}{path}", self.address))
            .header(header::ACCEPT, "application/json")
            .body(Full::default())
            .map_err(|source| ClientError::Unaskable { request: ask.to_string(), source })?;
        let (head, body) = self.exchange(ask, request, PROOF_BYTES_MAX).await?;
        // It may answer later.
        if matches!(head.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            return Err(refused(&head, &body));
        }
        Ok(challenge.check(head.status, &body, self.address)?)
    }

    async fn exchange(
        &self,
        ask: &Ask<'_>,
        request: Request<Full<Bytes>>,
        bytes_max: usize,
    ) -> Result<(Parts, Bytes), ClientError> {
        let answer = self.send(ask, request).await?;
        self.collect(ask, answer, bytes_max).await
    }

    /// Returns the head of the answer, with a body that has not come yet.
    async fn send(
        &self,
        ask: &Ask<'_>,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientError> {
        self.http.request(request).await.map_err(|source| match source.is_connect() {
            true => ClientError::NobodyThere { address: self.address, source },
            false => self.hung_up(ask, source.into()),
        })
    }

    async fn collect(
        &self,
        ask: &Ask<'_>,
        answer: Response<Incoming>,
        bytes_max: usize,
    ) -> Result<(Parts, Bytes), ClientError> {
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, bytes_max).collect().await;
        Ok((head, body.map_err(|source| self.hung_up(ask, source))?.to_bytes()))
    }

    fn hung_up(
        &self,
        ask: &Ask<'_>,
        source: Box<dyn std::error::Error + Send + Sync>,
    ) -> ClientError {
        ClientError::HungUp { address: self.address, request: ask.to_string(), source }
    }

    fn request(&self, ask: &Ask<'_>, body: Bytes) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut request = Request::builder()
            .method(&ask.method)
            .uri(format!("http://{}{}", self.address, ask.path))
            .header(header::AUTHORIZATION, &self.key)
            .header(header::ACCEPT, "application/json");
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(key) = ask.key {
            request = request.header("idempotency-key", key);
        }
        request
            .body(Full::new(body))
            .map_err(|source| ClientError::Unaskable { request: ask.to_string(), source })
    }
}

fn refused(head: &Parts, body: &[u8]) -> ClientError {
    let retry_after_s = head.headers.get(header::RETRY_AFTER);
    let retry_after_s = retry_after_s.and_then(|value| value.to_str().ok()?.parse().ok());
    ClientError::Refused { problem: problem(head.status, body), retry_after_s }
}

/// A request.
struct Ask<'a> {
    method: Method,
    path: &'a str,
    key: Option<&'a str>,
}

impl fmt::Display for Ask<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.method, self.path)
    }
}

fn written(ask: &Ask<'_>, body: &impl Serialize) -> Result<Bytes, ClientError> {
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|source| ClientError::Unreadable { request: ask.to_string(), source })
}

/// Returns the problem document of a refusal; if there is none, its status and the beginning of the body.
pub fn problem(status: StatusCode, body: &[u8]) -> Problem {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        let words: String = String::from_utf8_lossy(body).chars().take(SHOWN_CHARS_MAX).collect();
        Problem {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("refused").into(),
            status: status.as_u16(),
            detail: (!words.trim().is_empty()).then(|| words.trim().into()),
        }
    })
}

/// Returns a problem as one sentence.
pub fn sentence(problem: &Problem) -> String {
    match &problem.detail {
        Some(detail) => format!("{} ({}): {detail}", problem.title, problem.status),
        None => format!("{} ({})", problem.title, problem.status),
    }
}
