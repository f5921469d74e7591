//! The body of a request: how long it may take, and that there is room for it.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::bodies::{Reservation, SMALL_BODY_BYTES_MAX};

/// The body was not there in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body took too long")]
pub(super) struct BodyLate;

/// A body that fails with [`BodyLate`] if its end does not arrive in time, and with [`BodiesFull`](super::bodies::BodiesFull) if
/// there is no room for it.
#[derive(Debug)]
struct IncomingBody {
    body: Body,
    until: Pin<Box<Sleep>>,
    room: Reservation,
    /// How many bytes may still come before the room is taken: a body that does not say how long it is may be a small one.
    unreserved_bytes: usize,
}

/// Returns the body, which has until then to arrive, and takes that room.
pub(super) fn bounded(body: Body, until: Instant, room: Reservation) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let says_length = body.size_hint().exact().is_some();
    let unreserved_bytes = if says_length { 0 } else { SMALL_BODY_BYTES_MAX };
    Body::new(IncomingBody { body, until: Box::pin(sleep_until(until)), room, unreserved_bytes })
}

impl HttpBody for IncomingBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.unreserved_bytes == 0
            && let Err(full) = self.room.take()
        {
            return Poll::Ready(Some(Err(axum::Error::new(full))));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
            let bytes = data.map_or(0, Bytes::len);
            self.unreserved_bytes = self.unreserved_bytes.saturating_sub(bytes);
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
