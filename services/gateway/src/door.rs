//! The way of a request: who asks, may they, how much; then on to who answers.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use ::store::StoreError;
use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use backends::{Backends, DEADLINE, Repeatable, with_whole_body};
use contracts::{Timestamp, services::GATEWAY};
use service::idempotency::{CALLER, IDEMPOTENCY_KEY};
use service::{
    Service,
    http::{BODY_WAIT_MAX, Peer, REQUEST_MAX},
    problem::Problem,
    token::SERVICE_TOKEN,
};
use tokio::{
    sync::{Mutex, Semaphore},
    time::{sleep_until, timeout},
};
use tracing::info;

use crate::{
    keys::{Holder, KeyRing, Prover},
    limits::{Addresses, Rate},
    live::Live,
    own,
    routes::{Access, Route, Target},
    sessions::{PublicUrl, Shown},
    store,
    trace::{TRACEPARENT, Tracer},
};

/// How often unknown keys make the gateway read the stored keys again at the most.
const NEWS_EVERY: Duration = Duration::from_millis(100);
/// How long a request with an unknown key waits for that.
const NEWS_WAIT_MAX: Duration = Duration::from_millis(500);
// A guest's whole request outlasts the service's answer, even if its body comes at the last moment and its key is looked up.
const _: () = assert!(
    BODY_WAIT_MAX.as_millis() + NEWS_WAIT_MAX.as_millis() + DEADLINE.as_millis()
        < REQUEST_MAX.as_millis()
);
/// The largest body, in bytes; as `service::http::Limits` has it. One that says that it is larger is not even read.
const BODY_BYTES_MAX: u64 = 1024 * 1024;

/// The door: everything that a request needs on its way.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) routes: Vec<Route>,
    pub(crate) paths: matchit::Router<Vec<usize>>,
    pub(crate) services: Backends,
    pub(crate) service: Service,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) live: Arc<Live>,
    /// Absent if there is no first admin key.
    pub(crate) prover: Option<Prover>,
    pub(crate) public_url: Option<PublicUrl>,
    /// When the keys were read last. The reader holds the lock, so that an earlier read never replaces the keys of a later one.
    pub(crate) learning: Mutex<Instant>,
    pub(crate) rate: Rate,
    pub(crate) guest_rate: Rate,
    /// Addresses that showed no key that is known.
    pub(crate) unauthenticated: Addresses,
    /// Addresses that asked what anyone may ask.
    pub(crate) anonymous: Addresses,
    pub(crate) openapi: String,
    /// Only one audit at a time: it reads everything.
    pub(crate) audits: Semaphore,
    pub(crate) tracer: Tracer,
}

fn name_of(route: &Route) -> &'static str {
    match route.method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        _ => "DELETE",
    }
}

/// What a request asks for, by the table.
enum Asked<'a> {
    /// This, with the variable parts of its path, if the gateway answers itself.
    Route(&'a Route, Vec<String>),
    /// Something else of what is there: these methods are allowed.
    OtherMethod(String),
    Nothing,
}

/// Returns the routes by path: their places in the table.
///
/// # Panics
/// If two paths of the table contradict each other, which every start would show.
pub(crate) fn paths_of(routes: &[Route]) -> matchit::Router<Vec<usize>> {
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, route) in routes.iter().enumerate() {
        places.entry(route.path).or_default().push(place);
    }
    let mut paths = matchit::Router::new();
    for (path, places) in places {
        paths.insert(path, places).expect("the paths of the table fit together");
    }
    paths
}

impl Door {
    /// Reads the keys again.
    pub(crate) async fn learn_keys(&self) -> Result<(), StoreError> {
        let mut learned_at = self.learning.lock().await;
        let began = Instant::now();
        let stored = self.service.database().read(store::list).await?;
        self.keys.replace(stored);
        *learned_at = began;
        Ok(())
    }

    /// Returns the time by the clock of the database.
    pub(crate) fn now(&self) -> Timestamp {
        self.service.database().clock().now()
    }

    /// Reads the keys again for one that is not known; for many that clients make up, once.
    pub(crate) async fn learn_news(&self) {
        let asked_at = Instant::now();
        let learn = async {
            let mut learned_at = self.learning.lock().await;
            if *learned_at < asked_at {
                sleep_until((*learned_at + NEWS_EVERY).into()).await;
                let began = Instant::now();
                if let Ok(stored) = self.service.database().read(store::list).await {
                    self.keys.replace(stored);
                    *learned_at = began;
                }
            }
        };
        // Who can't read them now knows what it knew before.
        let _late = timeout(NEWS_WAIT_MAX, learn).await;
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, mut request: Request) -> Response {
        let (began, method) = (Instant::now(), request.method().clone());
        let trace = self.tracer.trace_of(request.headers());
        let shown = Shown::by(&request, self.public_url.as_ref());
        if shown.text().is_some_and(|text| !self.keys.has(text.id)) {
            self.learn_news().await;
        }
        let asked = self.find(request.method(), request.uri().path());
        let route = match &asked {
            Asked::Route(route, _) => Some(*route),
            Asked::OtherMethod(_) | Asked::Nothing => None,
        };
        let mut holder = None;
        let mut response = match self.admit(&request, shown, route) {
            Err(problem) => problem.into_response(),
            Ok(admitted) => {
                holder = admitted;
                prepare(request.headers_mut(), &trace, holder.as_deref());
                match asked {
                    Asked::Route(route, parts) => self.serve(route, parts, request).await,
                    Asked::OtherMethod(allowed) => other_method(&request, &allowed),
                    Asked::Nothing => service::http::no_such_route(request).await.into_response(),
                }
            }
        };
        let metrics = &self.service.context().metrics;
        let path = route.map(|route| Cow::Borrowed(route.path));
        metrics.answered(GATEWAY, &method, path, &mut response, began.elapsed());
        let status = response.status();
        if let (Some(route), Some(holder)) = (route, holder.as_deref())
            && route.changes
        {
            log_change(route, holder, status, &trace);
        }
        if status == StatusCode::UNAUTHORIZED {
            let how = HeaderValue::from_static("Bearer realm=\"chefcito\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, how);
        }
        response.headers_mut().insert(TRACEPARENT, trace);
        response
    }

    fn find(&self, method: &Method, path: &str) -> Asked<'_> {
        let Ok(found) = self.paths.at(path) else { return Asked::Nothing };
        // An answer to HEAD is one to GET whose body the server keeps to itself.
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let mut routes = found.value.iter().map(|place| &self.routes[*place]);
        match routes.clone().find(|route| route.method == *method) {
            Some(route @ Route { target: Target::Own(_), .. }) => {
                let parts = found.params.iter().map(|(_, part)| part.to_owned());
                Asked::Route(route, parts.collect())
            }
            Some(route) => Asked::Route(route, Vec::new()),
            None => {
                let allowed: Vec<&str> = routes.by_ref().map(name_of).collect();
                Asked::OtherMethod(allowed.join(", "))
            }
        }
    }

    /// Lets a request in, or says why not: 401 before 404, so that who has no key does not learn what there is.
    fn admit(
        &self,
        request: &Request,
        shown: Shown<'_>,
        route: Option<&Route>,
    ) -> Result<Option<Arc<Holder>>, Problem> {
        let address = || address_of(request);
        let access = route.map(|route| route.access);
        if access == Some(Access::Anyone) {
            self.anonymous.take(address(), self.guest_rate).map_err(too_many)?;
            return Ok(None);
        }
        let Some(holder) = self.holder(shown) else {
            self.unauthenticated.take(address(), self.guest_rate).map_err(too_many)?;
            return Err(match shown {
                Shown::Foreign => foreign(),
                Shown::Nothing | Shown::Key(_) | Shown::Session(_) => unknown(),
            });
        };
        if !holder.unlimited {
            holder.bucket.take(self.rate).map_err(too_many)?;
        }
        match access {
            Some(Access::Needs(role)) if holder.role < role => {
                return Err(not_allowed(&holder, role));
            }
            _ => {}
        }
        if holder.is_session() && route.is_some_and(|route| route.is_for_keys) {
            return Err(for_keys());
        }
        if says_too_large(request.headers()) {
            return Err(Problem::too_large());
        }
        Ok(Some(holder))
    }

    /// Returns who shows this, if it is known. A session counts in a cookie alone, and a key never does.
    fn holder(&self, shown: Shown<'_>) -> Option<Arc<Holder>> {
        let (text, is_session) = match shown {
            Shown::Nothing | Shown::Foreign => return None,
            Shown::Key(text) => (text, false),
            Shown::Session(text) => (text, true),
        };
        let holder = self.keys.holder(text).filter(|holder| holder.is_session() == is_session)?;
        holder.expires_at.is_none_or(|at| self.now() < at).then_some(holder)
    }

    async fn serve(&self, route: &Route, parts: Vec<String>, request: Request) -> Response {
        let request = match with_whole_body(request).await {
            Ok(request) => request,
            Err(problem) => return problem.into_response(),
        };
        match route.target {
            Target::Service(name) => match self.services.get(name) {
                Some(backend) if backend.is_remote() => {
                    backend.call(made_repeatable(route, request)).await
                }
                Some(backend) => backend.call(request).await,
                None => service::http::no_such_route(request).await.into_response(),
            },
            Target::Own(own) => {
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                own::answer(self, own, &parts, request)
                    .await
                    .unwrap_or_else(IntoResponse::into_response)
            }
        }
    }
}

/// Sees to it that a request can be sent again if it gets lost on the way: one that takes a key by which a repeat is known
/// is given one, if the guest sent none.
fn made_repeatable(route: &Route, mut request: Request) -> Request {
    if route.idempotent {
        request.headers_mut().entry(IDEMPOTENCY_KEY).or_insert_with(|| {
            let key = contracts::new_uuid().simple().to_string();
            HeaderValue::from_str(&key).unwrap_or(HeaderValue::from_static(""))
        });
    }
    // What takes no key and changes something is such that twice is as once: it says what shall be, not what to add.
    request.extensions_mut().insert(Repeatable);
    request
}

/// Replaces what only the gateway may say.
fn prepare(headers: &mut HeaderMap, trace: &HeaderValue, holder: Option<&Holder>) {
    headers.remove(SERVICE_TOKEN);
    headers.remove(header::AUTHORIZATION);
    headers.remove(header::COOKIE);
    headers.insert(TRACEPARENT, trace.clone());
    match holder {
        Some(holder) => headers.insert(CALLER, holder.header.clone()),
        None => headers.remove(CALLER),
    };
}

pub(crate) fn address_of(request: &Request) -> IpAddr {
    let unknown = IpAddr::from([0, 0, 0, 0]);
    request.extensions().get::<Peer>().map_or(unknown, |Peer(address)| address.ip())
}

fn says_too_large(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    said.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length > BODY_BYTES_MAX)
}

fn too_many(wait: std::time::Duration) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests")
        .detail("Ask more slowly: Retry-After says when there is room again.")
        // Whole seconds are all that the header has; a rounded-down one would be too early.
        .retry_after(wait + std::time::Duration::from_millis(999))
}

fn unknown() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "Who is asking?")
        .detail("Send a key that is known and not revoked: `Authorization: Bearer cfk_…`.")
}

pub(crate) fn foreign() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "foreign-origin", "This is not the page's own request")
        .detail(
            "A session counts for requests of this gateway's own page: `Origin` and `Host` must be those of its address. Behind \
             another server, CHEFCITO_PUBLIC_URL names it. Programs send a key: `Authorization: Bearer cfk_…`.",
        )
}

fn for_keys() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", "A session may not do that")
        .detail("What makes a way in needs a key, so that a session ends when it ends.")
}

fn not_allowed(holder: &Holder, needed: contracts::api::gateway::Role) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", "This key may not do that").detail(format!(
        "The key `{}` is one of a {}; this needs a key of a {needed}.",
        holder.id, holder.role
    ))
}

fn other_method(request: &Request, allowed: &str) -> Response {
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "That can't be done here",
    )
    .detail(format!("{} takes {allowed}.", request.uri().path()));
    let mut response = problem.into_response();
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

fn log_change(route: &Route, holder: &Holder, status: StatusCode, trace: &HeaderValue) {
    let (method, path, status) = (name_of(route), route.path, status.as_u16());
    info!(
        key = holder.id,
        name = holder.name,
        status,
        trace = trace.to_str().unwrap_or_default(),
        "{} asked {method} {path}: {status}",
        holder.id
    );
}
