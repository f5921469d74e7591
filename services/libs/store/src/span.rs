//! The span under which a service logs.

use tracing::Span;

/// The name of such a span, by which the log finds it. The service's name is its field `service`.
pub const SERVICE_SPAN: &str = "service";

/// Returns a span of a service. Whatever logs in it need not say which service it is of.
#[must_use]
pub fn service_span(service: &'static str) -> Span {
    tracing::error_span!(SERVICE_SPAN, service)
}
