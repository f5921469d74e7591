//! The one shape of an error answer: RFC 9457.

use std::{convert::Infallible, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use contracts::api;
use tracing::error;

use store::StoreError;

/// The content type of every answer that says what is wrong.
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// An answer that says what is wrong, why, and what to try; and nothing about our insides.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: Option<String>,
    retry_after: Option<Duration>,
}

impl Problem {
    /// Makes a problem. `kind` names it in a word or two with hyphens; `title` says it in a few words.
    #[must_use]
    pub const fn new(status: StatusCode, kind: &'static str, title: &'static str) -> Self {
        Self { status, kind, title, detail: None, retry_after: None }
    }

    /// Adds what is wrong with this very request, and what to try.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds when to come back, in whole seconds, at least one.
    #[must_use]
    pub const fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Returns the HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the body of the answer.
    pub(crate) fn text(&self) -> String {
        let body = api::Problem {
            kind: format!("/problems/{}", self.kind),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
        };
        serde_json::to_string(&body).unwrap_or_default()
    }

    /// The request is not what it should be.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "The request can't be read").detail(detail)
    }

    /// The request can be read, and asks for what can't be.
    #[must_use]
    pub fn unprocessable(
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, kind, title).detail(detail)
    }

    /// The body of the request is larger than what is taken.
    #[must_use]
    pub fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large")
            .detail("Send it in several requests.")
    }

    /// The answer was not there within that time. What was done meanwhile is not taken back.
    #[must_use]
    pub fn late(waited: Duration) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "late", "The service did not answer in time").detail(format!(
            "It was given {} ms. Whether the request was done is not known: repeat it with its Idempotency-Key.",
            waited.as_millis()
        ))
    }

    /// There is no such thing.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing here").detail(detail)
    }

    /// What is asked for no longer fits what is.
    #[must_use]
    pub fn conflict(kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, kind, title).detail(detail)
    }

    /// The service can't answer now.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The service can't answer now")
            .detail(detail)
            .retry_after(Duration::from_secs(1))
    }

    /// So much is being done or waits to be done that there is no room for this request. Nothing was done.
    #[must_use]
    pub fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "The service has too much to do")
            .detail(detail)
            .retry_after(Duration::from_secs(1))
    }

    /// The service can't do its work yet, or any more. Probes read this without a key, so it names no cause.
    #[must_use]
    pub fn not_ready() -> Self {
        Self::unavailable(
            "The service is not ready. Its status, which needs a key or the service token, says why.",
        )
    }

    /// Something is wrong with us. What it is belongs in the log, not in the answer.
    #[must_use]
    pub const fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong on our side")
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Rejected(why) => {
                error!("Answered 500: {why}");
                Self::internal()
            }
            StoreError::Busy { .. } => {
                Self::busy("Too many requests wait already. Nothing was saved; try again.")
            }
            StoreError::Unknown(_) => Self::unavailable(
                "It is not known whether this was saved. Repeat the request with its Idempotency-Key.",
            ),
            StoreError::Conflict(_) => Self::unavailable(
                "Others change the same at the same time. Nothing was saved; try again.",
            ),
            StoreError::Damaged(_) => Self::unavailable(
                "The service's storage is damaged. Nothing was saved; `chefcito audit` tells more.",
            ),
            StoreError::Full(_) => Self::unavailable(
                "The service's disk is full. Nothing was saved; try again when there is room.",
            ),
            StoreError::Io(_) => Self::unavailable(
                "The service's storage can't be read or written. Nothing was saved; try again.",
            ),
            StoreError::Engine(_) | StoreError::Closed => {
                Self::unavailable("The database can't be reached. Nothing was saved; try again.")
            }
        }
    }
}

impl From<Infallible> for Problem {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let text = self.text();
        let kind = HeaderValue::from_static(PROBLEM_TYPE);
        let mut response = (self.status, [(header::CONTENT_TYPE, kind)], text).into_response();
        if let Some(after) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        response
    }
}
