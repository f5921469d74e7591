//! A service: in this process, or at an address. Either way it is called alike.

use std::{
    error::Error,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{
        Method, StatusCode, Uri,
        uri::{Authority, InvalidUri},
    },
    response::{IntoResponse, Response},
};
use contracts::api;
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use service::{http, problem::Problem, token::ServiceToken};

mod remote;
mod replicas;
pub(crate) mod whole_body;

use remote::Remote;

/// How long a service may take to answer, unless another deadline is given.
pub const DEADLINE: Duration = Duration::from_secs(18);
/// The largest answer that is read here, in bytes: a page of 2,000 facts has some 300 kB, the events of one
/// subject, 10,000 at the most, some 5 MB.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long it is waited for a service that was away when it was last called, where only how it is shall be told.
const LOOK_WAIT_MAX: Duration = Duration::from_millis(30);

/// Among a request's extensions: it may be sent again although it may have been done already. So may what HTTP itself says
/// is the same twice as once.
#[derive(Clone, Copy, Debug)]
pub struct Repeatable;

/// A service. Clones are the same.
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

/// Why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The service took too long.
    #[error("it did not answer within {} ms", waited.as_millis())]
    Late {
        /// How long it was waited for.
        waited: Duration,
    },
    /// No replica of the service can be reached.
    #[error("it can't be reached")]
    Away,
    /// The service answered, but not what was asked for.
    #[error("it answered {status}{}", detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default())]
    Refused {
        /// What it answered.
        status: StatusCode,
        /// Why, as it said it, without a full stop.
        detail: Option<String>,
    },
    /// The answer is not of the form that was asked for.
    #[error("its answer can't be read")]
    Unreadable {
        /// What is wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl Unanswered {
    /// Returns whether the service has no such thing, rather than no answer.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }
}

impl Backend {
    /// Returns a service whose routes are in this process.
    #[must_use]
    pub fn in_process(router: Router) -> Self {
        Self { way: Way::InProcess(router), deadline: DEADLINE }
    }

    /// Returns the service of this name that listens at `urls`, which have no path: `http://orders:8080`, or several
    /// behind commas. All addresses that they mean are replicas. The token says that it is a service that calls. Nothing
    /// is called yet.
    ///
    /// # Errors
    /// [`BackendError`] if a URL is none of that form.
    pub fn remote(
        service: &'static str,
        urls: &str,
        token: Option<ServiceToken>,
    ) -> Result<Self, BackendError> {
        let names: Vec<Authority> = urls.split(',').map(authority_of).collect::<Result<_, _>>()?;
        let remote = Remote::new(service, names, token)
            .ok_or_else(|| BackendError::Url { url: urls.to_owned(), source: None })?;
        Ok(Self { way: Way::Remote(Arc::new(remote)), deadline: DEADLINE })
    }

    /// Returns the same service, which has that long to answer.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Returns whether requests can get lost on the way, so that they should be such that they can be sent again.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        matches!(self.way, Way::Remote(_))
    }

    /// Calls the service. One that is being restarted is waited for a little. Where there is no answer, the answer is a
    /// problem: 504 if it is late, 503 if it can't be reached.
    pub async fn call(&self, request: Request) -> Response {
        self.call_within(self.deadline, request).await
    }

    async fn call_within(&self, deadline: Duration, request: Request) -> Response {
        let answer = async {
            match &self.way {
                Way::InProcess(router) => http::call(router.clone(), request).await,
                Way::Remote(remote) => {
                    remote.call(request).await.unwrap_or_else(IntoResponse::into_response)
                }
            }
        };
        match tokio::time::timeout(deadline, answer).await {
            Ok(response) => response,
            Err(_) => Problem::late(deadline).into_response(),
        }
    }

    /// Asks the service something of the caller's own.
    ///
    /// # Errors
    /// [`Unanswered`] if there is no answer within `deadline`, or not one of that form.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path_and_query: &str,
        deadline: Duration,
    ) -> Result<T, Unanswered> {
        self.ask(Method::GET, path_and_query, Bytes::new(), deadline).await
    }

    /// Asks the service something of the caller's own, by any method: it must not change anything.
    ///
    /// # Errors
    /// [`Unanswered`] if there is no answer within `deadline`, or not one of that form.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path_and_query: &str,
        body: Bytes,
        deadline: Duration,
    ) -> Result<T, Unanswered> {
        let began = Instant::now();
        let mut request = request(method, path_and_query, body)?;
        request.extensions_mut().insert(Repeatable);
        let response = self.call_within(deadline, request).await;
        if response.status() == StatusCode::GATEWAY_TIMEOUT {
            return Err(Unanswered::Late { waited: deadline });
        }
        read(response, deadline, began).await
    }

    /// Asks the service how it is, without waiting for one that is away.
    ///
    /// # Errors
    /// [`Unanswered`] if there is no answer within `deadline`, or not one of that form.
    pub async fn look<T: DeserializeOwned + Send + 'static>(
        &self,
        path_and_query: &str,
        deadline: Duration,
    ) -> Result<T, Unanswered> {
        let Way::Remote(remote) = &self.way else {
            return self.get(path_and_query, deadline).await;
        };
        let was_away = remote.is_away();
        let request = request(Method::GET, path_and_query, Bytes::new())?;
        let remote = Arc::clone(remote);
        let asked = async move {
            let began = Instant::now();
            match remote.call_once(request).await {
                Ok(response) => read(response, deadline, began).await,
                Err(_) => Err(Unanswered::Away),
            }
        };
        // It goes on when nobody waits any more, so that it is noticed when the service is back.
        let asked = tokio::spawn(tokio::time::timeout(deadline, asked));
        match tokio::time::timeout(if was_away { LOOK_WAIT_MAX } else { deadline }, asked).await {
            Ok(Ok(Ok(answer))) => answer,
            Ok(Err(_)) | Err(_) if was_away => Err(Unanswered::Away),
            _ => Err(Unanswered::Late { waited: deadline }),
        }
    }
}

fn authority_of(url: &str) -> Result<Authority, BackendError> {
    let invalid = |source| BackendError::Url { url: url.to_owned(), source };
    let uri: Uri = url.trim().parse().map_err(|source| invalid(Some(source)))?;
    let root = matches!(uri.path(), "" | "/") && uri.query().is_none();
    match uri.authority() {
        Some(authority) if root && uri.scheme_str() == Some("http") => Ok(authority.clone()),
        _ => Err(invalid(None)),
    }
}

fn request(method: Method, path_and_query: &str, body: Bytes) -> Result<Request, Unanswered> {
    Request::builder()
        .method(method)
        .uri(path_and_query)
        .body(Body::from(body))
        .map_err(|error| Unanswered::Unreadable { source: error.into() })
}

async fn read<T: DeserializeOwned>(
    response: Response,
    deadline: Duration,
    began: Instant,
) -> Result<T, Unanswered> {
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
    let body = tokio::time::timeout(deadline.saturating_sub(began.elapsed()), body)
        .await
        .map_err(|_| Unanswered::Late { waited: deadline })?
        .map_err(|source| Unanswered::Unreadable { source })?
        .to_bytes();
    if !status.is_success() {
        let said: Option<api::Problem> = serde_json::from_slice(&body).ok();
        let detail = said.and_then(|said| said.detail);
        let detail = detail.map(|detail| detail.trim_end_matches('.').to_owned());
        return Err(Unanswered::Refused { status, detail });
    }
    serde_json::from_slice(&body).map_err(|error| Unanswered::Unreadable { source: error.into() })
}
