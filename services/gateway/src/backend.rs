//! A service behind the gateway: in this process, or at an address. Either way it is called alike.

use std::{
    error::Error,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody as _},
    extract::Request,
    http::{
        HeaderMap, HeaderName, Method, StatusCode, Uri, header,
        uri::{Authority, InvalidUri, PathAndQuery},
    },
    response::{IntoResponse, Response},
};
use chassis::{
    problem::Problem,
    token::{SERVICE_TOKEN, ServiceToken},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use serde::de::DeserializeOwned;
use tower::Service as _;
use tracing::warn;

/// How long a service may take to answer, unless another deadline is given: below the 30 s of a whole request, so that
/// the guest hears which part was late.
const DEADLINE: Duration = Duration::from_secs(20);
/// How long it may take to reach a service. They are in the same house or cluster.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long an unused connection is kept: less than the services keep it.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// How many unused connections to a service are kept.
const IDLE_CONNECTIONS_MAX: usize = 64;
/// The largest answer that the gateway itself reads, in bytes: a page of 2,000 facts has some 300 kB, the events of one
/// subject, 10,000 at the most, some 5 MB.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a guest may take to send the body of a request: below the 30 s of a whole request.
const BODY_WAIT_MAX: Duration = Duration::from_secs(20);
/// The largest body that is forwarded, in bytes; as `chassis::http::Limits` has it.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// What is between two neighbours and none of the next one's business (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A service behind the gateway. Clones are the same.
#[derive(Clone)]
pub struct Backend {
    way: Way,
    deadline: Duration,
}

#[derive(Clone)]
enum Way {
    InProcess(Router),
    Remote(Arc<Remote>),
}

struct Remote {
    client: Client<HttpConnector, Full<Bytes>>,
    authority: Authority,
    token: Option<ServiceToken>,
}

impl fmt::Debug for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::InProcess(_) => formatter.write_str("Backend(in process)"),
            Way::Remote(remote) => write!(formatter, "Backend({})", remote.authority),
        }
    }
}

/// A service that can't be called as was said.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The address is none.
    #[error("`{url}` is not the address of a service: it should be like http://orders:8080")]
    Url {
        /// What it is.
        url: String,
        /// What is wrong with it.
        source: Option<InvalidUri>,
    },
}

/// Why the gateway did not get an answer that it can use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    #[error("it did not answer within {} ms", waited.as_millis())]
    Late { waited: Duration },
    #[error("it answered {status}")]
    Refused { status: StatusCode },
    #[error("its answer can't be read")]
    Unreadable { source: Box<dyn Error + Send + Sync> },
}

impl Backend {
    /// Returns a service whose routes are in this process.
    #[must_use]
    pub fn in_process(router: Router) -> Self {
        Self { way: Way::InProcess(router), deadline: DEADLINE }
    }

    /// Returns a service that listens at `url`, which has no path: `http://orders:8080`. The token says that it is the
    /// gateway that calls. Nothing is called yet.
    ///
    /// # Errors
    /// [`BackendError`] if the URL is none of that form.
    pub fn remote(url: &str, token: Option<ServiceToken>) -> Result<Self, BackendError> {
        let uri: Uri = url
            .parse()
            .map_err(|source| BackendError::Url { url: url.to_owned(), source: Some(source) })?;
        let root = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let authority = match uri.authority() {
            Some(authority) if root && uri.scheme_str() == Some("http") => authority.clone(),
            _ => return Err(BackendError::Url { url: url.to_owned(), source: None }),
        };
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_WAIT_MAX));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        Ok(Self {
            way: Way::Remote(Arc::new(Remote { client, authority, token })),
            deadline: DEADLINE,
        })
    }

    /// Returns the same service, which has that long to answer.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Calls the service. Where there is no answer, the answer is a problem: 504 if it is late, 503 if it can't be
    /// reached.
    pub async fn call(&self, request: Request) -> Response {
        self.call_within(self.deadline, request).await
    }

    async fn call_within(&self, deadline: Duration, request: Request) -> Response {
        let answer = async {
            match &self.way {
                Way::InProcess(router) => match router.clone().call(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                },
                Way::Remote(remote) => {
                    remote.call(request).await.unwrap_or_else(IntoResponse::into_response)
                }
            }
        };
        match tokio::time::timeout(deadline, answer).await {
            Ok(response) => response,
            Err(_) => late(deadline).into_response(),
        }
    }

    /// Asks the service something of the gateway's own.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path_and_query: &str,
        deadline: Duration,
    ) -> Result<T, Unanswered> {
        self.ask(Method::GET, path_and_query, Bytes::new(), deadline).await
    }

    /// Asks the service something of the gateway's own, by any method.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path_and_query: &str,
        body: Bytes,
        deadline: Duration,
    ) -> Result<T, Unanswered> {
        let began = Instant::now();
        let request = Request::builder()
            .method(method)
            .uri(path_and_query)
            .body(Body::from(body))
            .map_err(|error| Unanswered::Unreadable { source: error.into() })?;
        let response = self.call_within(deadline, request).await;
        let status = response.status();
        if status == StatusCode::GATEWAY_TIMEOUT {
            return Err(Unanswered::Late { waited: deadline });
        }
        if !status.is_success() {
            return Err(Unanswered::Refused { status });
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
        let body = tokio::time::timeout(deadline.saturating_sub(began.elapsed()), body)
            .await
            .map_err(|_| Unanswered::Late { waited: deadline })?
            .map_err(|source| Unanswered::Unreadable { source })?;
        serde_json::from_slice(&body.to_bytes())
            .map_err(|error| Unanswered::Unreadable { source: error.into() })
    }
}

/// Returns the request with its whole body in memory, so that a guest who is slow is not taken for a service that is.
pub(crate) async fn with_whole_body(request: Request) -> Result<Request, Problem> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    Ok(Request::from_parts(parts, Body::from(read_whole(body).await?)))
}

async fn read_whole(body: Body) -> Result<Bytes, Problem> {
    let read = axum::body::to_bytes(body, BODY_BYTES_MAX);
    match tokio::time::timeout(BODY_WAIT_MAX, read).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if is_too_long(&error) => Err(too_large()),
        Ok(Err(_)) => Err(Problem::bad_request("The body ended before its time.")),
        Err(_) => {
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "The request took too long")
                .detail(format!("Its body should be here within {} s.", BODY_WAIT_MAX.as_secs())))
        }
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    error.source().is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}

fn late(deadline: Duration) -> Problem {
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "late", "A service behind the gateway did not answer in time")
        .detail(format!(
            "It was given {} ms. Whether the request was done is not known: repeat it with its Idempotency-Key.",
            deadline.as_millis()
        ))
}

impl Remote {
    async fn call(&self, request: Request) -> Result<Response, Problem> {
        let (mut parts, body) = request.into_parts();
        // Whole, so that it can be sent again if the service closed the connection just then.
        let body = read_whole(body).await?;
        strip_hop_by_hop(&mut parts.headers);
        for name in [header::HOST, header::CONTENT_LENGTH, header::EXPECT] {
            parts.headers.remove(name);
        }
        if let Some(token) = &self.token {
            parts.headers.insert(SERVICE_TOKEN, token.value().clone());
        }
        let path = parts.uri.path_and_query().cloned();
        let uri = Uri::builder()
            .scheme("http")
            .authority(self.authority.clone())
            .path_and_query(path.unwrap_or(PathAndQuery::from_static("/")))
            .build()
            .map_err(|_| Problem::bad_request("The path can't be passed on."))?;
        let mut forwarded = Request::new(Full::new(body));
        *forwarded.method_mut() = parts.method;
        *forwarded.uri_mut() = uri;
        *forwarded.headers_mut() = parts.headers;
        match self.client.request(forwarded).await {
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                strip_hop_by_hop(&mut parts.headers);
                Ok(Response::from_parts(parts, Body::new(body)))
            }
            Err(error) => {
                let why = chassis::database::chain(&error);
                warn!(address = %self.authority, "No answer of {}: {why}", self.authority);
                Err(if error.is_connect() {
                    Problem::unavailable(
                        "A service behind the gateway can't be reached. Nothing was done; try again.",
                    )
                } else {
                    Problem::unavailable(
                        "A service behind the gateway hung up. Repeat the request with its Idempotency-Key.",
                    )
                })
            }
        }
    }
}

pub(crate) fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large")
        .detail("Send it in several requests.")
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}
