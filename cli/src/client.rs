//! A client of the gateway: JSON requests and answers; problem documents become errors.

use std::{fmt, net::SocketAddr, time::Duration};

use bytes::Bytes;
use contracts::api::Problem;
use http::{HeaderValue, Method, Request, StatusCode, header, response::Parts};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::error::CliError;

/// The largest answer that is read: 100 MiB, far above the largest page of the API. It bounds the memory if another
/// program listens on the port.
const ANSWER_BYTES_MAX: usize = 100 * 1024 * 1024;
/// How long an answer may take by default: longer than the gateway's own limit.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long `/v1/status` may take: the gateway gives its services one second, all at once.
pub(crate) const STATUS_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a connection may take. The gateway is on loopback: it accepts at once, or is stopped.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);
/// How many characters of an answer are shown that is no problem document.
const SHOWN_CHARS_MAX: usize = 200;

/// A client of the gateway with an API key.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    key: HeaderValue,
    wait: Duration,
}

/// An error of a request to the gateway.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
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
    /// The request can't be written as HTTP.
    #[error("`{request}` can't be sent")]
    Unaskable {
        /// The request.
        request: String,
        /// The cause.
        source: http::Error,
    },
}

/// A key with characters that a header may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an API key: it should look like `cfk_…`")]
pub(crate) struct NotAKey;

/// Returns the header that carries a key.
///
/// # Errors
/// [`NotAKey`] if it has characters that a header may not have.
pub(crate) fn bearer(key: &str) -> Result<HeaderValue, NotAKey> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.trim())).map_err(|_| NotAKey)?;
    value.set_sensitive(true);
    Ok(value)
}

impl Client {
    /// Returns a client with a key. Connects at the first request.
    ///
    /// # Errors
    /// [`NotAKey`] if the key can't be sent.
    pub(crate) fn new(address: SocketAddr, key: &str) -> Result<Self, NotAKey> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_WAIT_MAX));
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { http, address, key: bearer(key)?, wait: ANSWER_WAIT_MAX })
    }

    /// Returns the same client with another time-out.
    #[must_use]
    pub(crate) fn waiting(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Sends a GET.
    ///
    /// # Errors
    /// [`ClientError`]: unreachable, no answer in time, refused, or not of the API.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let ask = Ask { method: Method::GET, path, key: None };
        self.read(&ask, Bytes::new()).await
    }

    /// Sends a POST.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn post<T: DeserializeOwned>(
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
    pub(crate) async fn post_once<T: DeserializeOwned>(
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
    pub(crate) async fn post_nothing(&self, path: &str) -> Result<(), ClientError> {
        self.answer(&Ask { method: Method::POST, path, key: None }, Bytes::new()).await.map(drop)
    }

    /// Sends a PUT.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn put<T: DeserializeOwned>(
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
    pub(crate) async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.answer(&Ask { method: Method::DELETE, path, key: None }, Bytes::new()).await.map(drop)
    }

    /// Sends a DELETE, and returns the state after it.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn reset<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.read(&Ask { method: Method::DELETE, path, key: None }, Bytes::new()).await
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
        let (head, body) = tokio::time::timeout(self.wait, self.exchange(ask, request))
            .await
            .map_err(|_| ClientError::Late {
                address: self.address,
                request: ask.to_string(),
                waited: self.wait,
            })??;
        if head.status.is_success() {
            Ok(body)
        } else {
            let retry_after_s = head.headers.get(header::RETRY_AFTER);
            let retry_after_s = retry_after_s.and_then(|value| value.to_str().ok()?.parse().ok());
            Err(ClientError::Refused { problem: problem(head.status, &body), retry_after_s })
        }
    }

    async fn exchange(
        &self,
        ask: &Ask<'_>,
        request: Request<Full<Bytes>>,
    ) -> Result<(Parts, Bytes), ClientError> {
        let hung_up = |source| ClientError::HungUp {
            address: self.address,
            request: ask.to_string(),
            source,
        };
        let answer =
            self.http.request(request).await.map_err(|source| match source.is_connect() {
                true => ClientError::NobodyThere { address: self.address, source },
                false => hung_up(source.into()),
            })?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(hung_up)?;
        Ok((head, body.to_bytes()))
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
pub(crate) fn problem(status: StatusCode, body: &[u8]) -> Problem {
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
pub(crate) fn sentence(problem: &Problem) -> String {
    match &problem.detail {
        Some(detail) => format!("{} ({}): {detail}", problem.title, problem.status),
        None => format!("{} ({})", problem.title, problem.status),
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NobodyThere { address, source } => {
                Self::Unreachable { address, source: source.into() }
            }
            ClientError::Refused { problem, retry_after_s } => Self::Problem {
                kind: problem.kind,
                status: problem.status,
                title: problem.title,
                detail: problem.detail,
                retry_after_s,
            },
            error @ ClientError::Late { .. } => Self::Failed {
                what: error.to_string(),
                hint: "it is overloaded or stopped: look at `chefcito logs`; `chefcito down` ends it and keeps its data"
                    .into(),
                source: None,
            },
            ClientError::HungUp { address, request, source } => Self::Failed {
                what: format!("the environment at {address} hung up on `{request}`"),
                hint: "look at `chefcito status` and `chefcito logs`".into(),
                source: Some(source),
            },
            ClientError::Unreadable { request, source } => Self::Failed {
                what: format!(
                    "the environment answered `{request}` with something that this chefcito can't read"
                ),
                hint: "the environment may be of another version: `chefcito up` brings it to this one"
                    .into(),
                source: Some(source.into()),
            },
            error @ ClientError::Unaskable { .. } => Self::Other(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
