//! A service at an address: forwards requests, and sends one again while the service is being restarted.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ::store::jittered;
use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header,
        request::Parts,
        uri::{Authority, PathAndQuery},
    },
    response::Response,
};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use service::{
    http::{FOR_SERVICE, NOTHING_DONE},
    problem::{PROBLEM_TYPE, Problem},
    token::{SERVICE_TOKEN, ServiceToken},
};
use tracing::warn;

use super::{
    Repeatable,
    replicas::{Chosen, Replicas},
    whole_body::read_whole,
};

/// How long it may take to reach a replica: it is in the same engine or cluster, and where it was nobody may answer.
const CONNECT_WAIT_MAX: Duration = Duration::from_millis(300);
/// How long an unused connection is kept: less than the services keep it.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// How many unused connections to a replica are kept.
const IDLE_CONNECTIONS_MAX: usize = 64;
/// How long a service may be away without a guest noticing: a restart takes less, on a busy machine, too. After that, each request is
/// tried once.
const AWAY_MAX: Duration = Duration::from_secs(8);
/// How long to wait before a request is sent again; doubled each time.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// What hyper answers by itself to a request that it can't read.
const UNREADABLE: [StatusCode; 3] = [
    StatusCode::BAD_REQUEST,
    StatusCode::URI_TOO_LONG,
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
];
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

pub(super) struct Remote {
    pub(super) authority: Authority,
    service: &'static str,
    host: HeaderValue,
    token: Option<ServiceToken>,
    client: Client<HttpConnector, Full<Bytes>>,
    replicas: Arc<Replicas>,
}

/// What came of sending a request once.
enum Outcome {
    Answered(Response),
    /// The request did not arrive, or arrived where nothing was done about it.
    NothingDone(String),
    /// It may have been done.
    HungUp(String),
}

/// A request as it is sent, as often as it takes.
struct Forwarded {
    parts: Parts,
    path: PathAndQuery,
    body: Bytes,
    is_repeatable: bool,
}

impl Remote {
    /// Returns a service that is where these names say; `None` if there are none.
    pub(super) fn new(
        service: &'static str,
        names: Vec<Authority>,
        token: Option<ServiceToken>,
    ) -> Option<Self> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_WAIT_MAX));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .set_host(false)
            .build(connector);
        let authority = names.first()?.clone();
        let host = HeaderValue::from_str(authority.as_str()).ok()?;
        Some(Self { authority, service, host, token, client, replicas: Replicas::new(names) })
    }

    /// Returns whether nobody answered when the service was last called.
    pub(super) fn is_away(&self) -> bool {
        self.replicas.is_away()
    }

    /// Sends a request, and sends it again while the service is away and that changes nothing that was done.
    pub(super) async fn call(&self, request: Request) -> Result<Response, Problem> {
        let forwarded = self.forwarded(request).await?;
        let mut failing_since = None;
        let mut pause = PAUSE;
        loop {
            let sent_at = Instant::now();
            let (why, nothing_done) = match self.send(&forwarded).await {
                Outcome::Answered(response) => return Ok(response),
                Outcome::NothingDone(why) => (why, true),
                Outcome::HungUp(why) => (why, false),
            };
            let since = *failing_since.get_or_insert(sent_at);
            // Whoever comes when the service has been away for long does not wait for it.
            let since = self.replicas.away_since().map_or(since, |away| away.min(since));
            let may_repeat = nothing_done || forwarded.is_repeatable;
            if !may_repeat || since.elapsed() + pause > AWAY_MAX {
                warn!(service = self.service, "No answer of {}: {why}", self.authority);
                return Err(no_answer(self.service, nothing_done));
            }
            // Another replica may be there at once.
            if self.is_away() {
                tokio::time::sleep(jittered(pause)).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            self.replicas.look_up(sent_at).await;
        }
    }

    /// Sends a request once.
    pub(super) async fn call_once(&self, request: Request) -> Result<Response, Problem> {
        match self.send(&self.forwarded(request).await?).await {
            Outcome::Answered(response) => Ok(response),
            Outcome::NothingDone(_) => Err(no_answer(self.service, true)),
            Outcome::HungUp(_) => Err(no_answer(self.service, false)),
        }
    }

    async fn forwarded(&self, request: Request) -> Result<Forwarded, Problem> {
        let (mut parts, body) = request.into_parts();
        let body = read_whole(body).await?;
        let is_repeatable = matches!(parts.method, Method::GET | Method::HEAD | Method::PUT)
            || parts.extensions.get::<Repeatable>().is_some();
        strip_hop_by_hop(&mut parts.headers);
        for name in [header::CONTENT_LENGTH, header::EXPECT] {
            parts.headers.remove(name);
        }
        parts.headers.insert(header::HOST, self.host.clone());
        parts.headers.insert(FOR_SERVICE, HeaderValue::from_static(self.service));
        if let Some(token) = &self.token {
            parts.headers.insert(SERVICE_TOKEN, token.value().clone());
        }
        let path = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        Ok(Forwarded { parts, path, body, is_repeatable })
    }

    async fn send(&self, request: &Forwarded) -> Outcome {
        let Some(chosen) = self.replicas.choose().await else {
            self.replicas.failed(None);
            return Outcome::NothingDone("its name means nothing here".into());
        };
        let outcome = self.send_to(&chosen, request).await;
        match &outcome {
            Outcome::Answered(_) => self.replicas.answered(&chosen),
            Outcome::NothingDone(_) | Outcome::HungUp(_) => self.replicas.failed(Some(&chosen)),
        }
        outcome
    }

    async fn send_to(&self, chosen: &Chosen, request: &Forwarded) -> Outcome {
        let uri = Uri::builder()
            .scheme("http")
            .authority(chosen.address().to_string())
            .path_and_query(request.path.clone())
            .build();
        let uri = match uri {
            Ok(uri) => uri,
            Err(error) => return Outcome::NothingDone(error.to_string()),
        };
        let mut sent = Request::new(Full::new(request.body.clone()));
        *sent.method_mut() = request.parts.method.clone();
        *sent.uri_mut() = uri;
        *sent.headers_mut() = request.parts.headers.clone();
        match self.client.request(sent).await {
            Ok(response) if response.headers().contains_key(NOTHING_DONE) => {
                Outcome::NothingDone(format!("{} is not open", chosen.address()))
            }
            Ok(response) if !is_of_a_service(&response) => Outcome::HungUp(format!(
                "who answers {} at {} is none of ours",
                response.status(),
                chosen.address()
            )),
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                strip_hop_by_hop(&mut parts.headers);
                Outcome::Answered(Response::from_parts(parts, Body::new(body)))
            }
            Err(error) => {
                let why = ::store::chain(&error);
                if error.is_connect() { Outcome::NothingDone(why) } else { Outcome::HungUp(why) }
            }
        }
    }
}

/// Returns whether an answer is one of a service: each says what is wrong in the same form. Others are of whoever is on the way,
/// a mesh or a proxy that finds nobody at the address of a replica that has ended. What a guest has sent that no server of ours can
/// read is told without any form, before a service sees it: that is no reason to think the service away.
fn is_of_a_service<B>(response: &Response<B>) -> bool {
    let status = response.status();
    let is_success = !(status.is_client_error() || status.is_server_error());
    match response.headers().get(header::CONTENT_TYPE) {
        Some(kind) => is_success || kind == PROBLEM_TYPE,
        None => is_success || UNREADABLE.contains(&status),
    }
}

fn no_answer(service: &str, nothing_done: bool) -> Problem {
    Problem::unavailable(if nothing_done {
        format!("The service `{service}` can't be reached. Nothing was done; try again.")
    } else {
        format!("The service `{service}` hung up. Repeat the request with its Idempotency-Key.")
    })
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
