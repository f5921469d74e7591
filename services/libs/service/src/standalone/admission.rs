//! What stands before the routes of a service that runs alone: who may ask, and what is answered until it is open.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, StatusCode, header::CONNECTION},
    response::{IntoResponse, Response},
};
use contracts::api::service::ServiceStatus;

use crate::{
    http::{self, FOR_SERVICE, NOTHING_DONE},
    problem::Problem,
    startup_retry::StartupRetry,
    token::ServiceToken,
};

/// Which requests need no token: those of whoever looks after the process.
const OPEN_TO_ALL: [&str; 2] = ["/health", "/ready"];

/// Who calls a service.
#[derive(Clone, Debug)]
pub(super) enum Callers {
    /// Guests, who show no service token: the service asks them for something else.
    Guests,
    /// The other services of the environment, which show this token.
    Services(ServiceToken),
}

/// The entrance. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct AdmissionLayer {
    pub(super) service: &'static str,
    pub(super) callers: Callers,
    /// What begins like this needs no token either.
    pub(super) open_below: Option<&'static str>,
    pub(super) startup_retry: StartupRetry,
    pub(super) opened: Arc<OnceLock<Router>>,
    /// Whether it will stop soon: it answers everything, says that it is not ready, and asks for no more on a connection.
    pub(super) is_leaving: Arc<AtomicBool>,
}

impl AdmissionLayer {
    /// Returns it as routes.
    pub(super) fn router(self) -> Router {
        Router::new().fallback(move |request: Request| {
            let entrance = self.clone();
            async move {
                let leaves = entrance.is_leaving.load(Ordering::Relaxed);
                let mut response = entrance.answer(request, leaves).await;
                if leaves {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                response
            }
        })
    }

    async fn answer(&self, request: Request, leaves: bool) -> Response {
        if !self.lets_in(&request) {
            return Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "Who is asking?")
                .detail("Only services of this environment may ask, by its service token.")
                .into_response();
        }
        let named = request.headers().get(FOR_SERVICE).filter(|_| !self.is_for_guests());
        if named.is_some_and(|name| name != self.service) {
            return nothing_done(
                Problem::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", "That is for another")
                    .detail(format!("Here is {}. Nothing was done.", self.service)),
            );
        }
        if leaves && request.uri().path() == "/ready" {
            return Problem::unavailable("It was told to stop.").into_response();
        }
        match self.opened.get() {
            Some(router) => http::call(router.clone(), request).await,
            None => self.not_yet(request.uri().path()),
        }
    }

    fn lets_in(&self, request: &Request) -> bool {
        let Callers::Services(token) = &self.callers else { return true };
        let path = request.uri().path();
        OPEN_TO_ALL.contains(&path)
            || self.open_below.is_some_and(|below| path.starts_with(below))
            || token.is_shown_by(request.headers())
    }

    const fn is_for_guests(&self) -> bool {
        matches!(self.callers, Callers::Guests)
    }

    /// Answers while the service is being opened. Guests, of whom no key can be checked yet, learn no cause.
    fn not_yet(&self, path: &str) -> Response {
        match path {
            "/health" => "ok".into_response(),
            "/internal/status" if !self.is_for_guests() => axum::Json(ServiceStatus {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                reason: Some(
                    self.startup_retry.why().unwrap_or_else(|| "it is being opened".into()),
                ),
                ..ServiceStatus::default()
            })
            .into_response(),
            "/ready" => Problem::not_ready().into_response(),
            _ => nothing_done(Problem::unavailable(
                "The service is not open yet. Nothing was done; try again.",
            )),
        }
    }
}

fn nothing_done(problem: Problem) -> Response {
    let mut response = problem.into_response();
    response.headers_mut().insert(NOTHING_DONE, HeaderValue::from_static("true"));
    response
}
