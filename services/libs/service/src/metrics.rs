//! Figures for Prometheus.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{MatchedPath, Request},
    http::{Method, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use store::{SECONDS, ServiceLabels, service_span};
use tracing::Instrument as _;

use crate::http::Bodies;

/// The content type of the answer to `GET /metrics`.
pub const FIGURES_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The route of requests that no route is for, and of those that did not get to one.
const NO_ROUTE: &str = "other";

/// The figures of a process. Clones are the same.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<ServiceLabels, Histogram, fn() -> Histogram>,
    connections_refused: Family<ServiceLabels, Counter>,
    bodies_bytes: Family<ServiceLabels, Gauge>,
    bodies_refused: Family<ServiceLabels, Counter>,
    grpc_bodies_bytes: Family<ServiceLabels, Gauge>,
    grpc_bodies_refused: Family<ServiceLabels, Counter>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    service: &'static str,
    method: &'static str,
    /// The path as the routes have it, such as `/v1/orders/{id}`: paths of clients would be labels without end.
    route: Cow<'static, str>,
    status: u16,
}

/// Marks a response that was counted, and for which service: it may go through the server of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted(&'static str);

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("chefcito");
        let requests = Family::default();
        let seconds =
            Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram);
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register("http_request_seconds", "How long answers took", seconds.clone());
        let connections_refused = Family::default();
        registry.register(
            "http_connections_refused",
            "Connections closed because their address had too many",
            connections_refused.clone(),
        );
        let bodies_bytes = Family::default();
        registry.register(
            "http_bodies_bytes",
            "Room that bodies of requests have reserved, in bytes",
            bodies_bytes.clone(),
        );
        let bodies_refused = Family::default();
        registry.register(
            "http_bodies_refused",
            "Requests answered 503 because there was no room for their body",
            bodies_refused.clone(),
        );
        let grpc_bodies_bytes = Family::default();
        registry.register(
            "grpc_bodies_bytes",
            "Room that requests over gRPC have reserved, in bytes",
            grpc_bodies_bytes.clone(),
        );
        let grpc_bodies_refused = Family::default();
        registry.register(
            "grpc_bodies_refused",
            "Requests over gRPC refused because there was no room for them",
            grpc_bodies_refused.clone(),
        );
        Self {
            registry: Arc::new(Mutex::new(registry)),
            requests,
            seconds,
            connections_refused,
            bodies_bytes,
            bodies_refused,
            grpc_bodies_bytes,
            grpc_bodies_refused,
        }
    }
}

impl Metrics {
    /// Counts a response of a service, unless it was counted for this service before. `route` is the path as the routes have
    /// it; `None` if there is no route for the request.
    pub fn answered(
        &self,
        service: &'static str,
        method: &Method,
        route: Option<Cow<'static, str>>,
        response: &mut Response,
        took: Duration,
    ) {
        if response.extensions().get() == Some(&Counted(service)) {
            return;
        }
        response.extensions_mut().insert(Counted(service));
        let (method, status) = (name_of(method), response.status().as_u16());
        let route = route.unwrap_or(Cow::Borrowed(NO_ROUTE));
        self.requests.get_or_create(&RequestLabels { service, method, route, status }).inc();
        self.seconds.get_or_create(&ServiceLabels { service }).observe(took.as_secs_f64());
    }

    /// Returns routes whose responses are counted for a service, and whose handlers log in its span.
    pub(crate) fn counted(&self, service: &'static str, routes: Router) -> Router {
        let (metrics, span) = (self.clone(), service_span(service));
        routes.layer(middleware::from_fn(move |request: Request, next: Next| {
            let (metrics, span) = (metrics.clone(), span.clone());
            async move {
                let (began, method) = (Instant::now(), request.method().clone());
                let route = request
                    .extensions()
                    .get()
                    .map(|route: &MatchedPath| Cow::Owned(route.as_str().to_owned()));
                let mut response = next.run(request).instrument(span).await;
                metrics.answered(service, &method, route, &mut response, began.elapsed());
                response
            }
        }))
    }

    /// Returns what counts the connections that were one too many of their address.
    pub(crate) fn connections_refused(&self, service: &'static str) -> Counter {
        self.connections_refused.get_or_create_owned(&ServiceLabels { service })
    }

    /// Returns how many bytes of room the bodies of a server's requests have reserved.
    pub(crate) fn bodies_bytes(&self, service: &'static str) -> Gauge {
        self.bodies_bytes.get_or_create_owned(&ServiceLabels { service })
    }

    /// Returns how many requests of a server found no room for their body.
    pub(crate) fn bodies_refused(&self, service: &'static str) -> Counter {
        self.bodies_refused.get_or_create_owned(&ServiceLabels { service })
    }

    /// Returns room for that many bytes of the requests that a service is asked over gRPC; how many are held, and how often there
    /// were too few, is among the figures.
    #[must_use]
    pub fn grpc_bodies(&self, service: &'static str, bytes_max: usize) -> Bodies {
        let labels = ServiceLabels { service };
        let held = self.grpc_bodies_bytes.get_or_create_owned(&labels);
        Bodies::new(bytes_max, held, self.grpc_bodies_refused.get_or_create_owned(&labels))
    }

    /// Lets a service add figures of its own.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns all figures as Prometheus reads them.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a text does not fail.
        let _ = encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner));
        text
    }

    /// Answers `GET /metrics`.
    #[must_use]
    pub fn response(&self) -> Response {
        ([(header::CONTENT_TYPE, FIGURES_TYPE)], self.text()).into_response()
    }
}

/// Methods are a client's words: only those that we know become labels.
fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
