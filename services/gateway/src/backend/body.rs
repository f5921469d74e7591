//! The bodies of guests, read whole: a slow guest is not taken for a slow service, and what is whole can be sent again.

use std::{error::Error as _, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::Request,
    http::StatusCode,
};
use service::problem::Problem;

/// How long a guest may take to send the body of a request: below the 30 s of a whole request.
const BODY_WAIT_MAX: Duration = Duration::from_secs(20);
/// The largest body that is forwarded, in bytes; as `service::http::Limits` has it.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Returns the request with its whole body in memory.
pub(crate) async fn with_whole_body(request: Request) -> Result<Request, Problem> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    Ok(Request::from_parts(parts, Body::from(read_whole(body).await?)))
}

/// Reads a body to its end.
pub(super) async fn read_whole(body: Body) -> Result<Bytes, Problem> {
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

pub(crate) fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large")
        .detail("Send it in several requests.")
}
