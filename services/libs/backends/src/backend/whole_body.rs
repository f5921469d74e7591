//! The bodies of guests, read whole: a slow guest is not taken for a slow service, and what is whole can be sent again.

use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::Request,
};
use service::{http::unreadable_body, problem::Problem};

/// The largest body that is forwarded, in bytes; as `service::http::Limits` has it.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Returns the request with its whole body in memory.
///
/// # Errors
/// A problem if the body is too large, comes too slowly or not at all.
pub async fn with_whole_body(request: Request) -> Result<Request, Problem> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    Ok(Request::from_parts(parts, Body::from(read_whole(body).await?)))
}

/// Reads a body to its end. The server has set the time that it may take.
pub(super) async fn read_whole(body: Body) -> Result<Bytes, Problem> {
    axum::body::to_bytes(body, BODY_BYTES_MAX).await.map_err(|error| unreadable_body(&error))
}
