//! How long the body of a request may take.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

/// The body was not there in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body took too long")]
pub(super) struct BodyLate;

/// A body that fails with [`BodyLate`] if its end does not arrive in time.
#[derive(Debug)]
struct TimedBody {
    body: Body,
    until: Pin<Box<Sleep>>,
}

/// Returns the body, which has until then to arrive.
pub(super) fn timed(body: Body, until: Instant) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(TimedBody { body, until: Box::pin(sleep_until(until)) })
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        ready!(self.until.as_mut().poll(context));
        Poll::Ready(Some(Err(axum::Error::new(BodyLate))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
