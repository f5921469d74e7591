//! How long an answer may wait for a client that does not read it.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// What a client that is slow has to read, in bytes per second, so that it gets more time: slower than any line is today.
const BYTES_PER_SECOND_MIN: u32 = 4 * 1024;

/// The deadline of what waits to be written. There is one only while the kernel takes nothing more.
#[derive(Debug)]
pub(super) struct WriteDeadline {
    wait_max: Duration,
    until: Option<Pin<Box<Sleep>>>,
}

impl WriteDeadline {
    pub(super) const fn new(wait_max: Duration) -> Self {
        Self { wait_max, until: None }
    }

    /// Passes on what came of a write. A write that waits fails at the deadline. Bytes that were written move the deadline only
    /// as far as they are worth, so that a client can't hold a connection by a byte now and then.
    pub(super) fn watch(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match (&written, &mut self.until) {
            (Poll::Pending, until) => {
                let until = until.get_or_insert_with(|| Box::pin(sleep(self.wait_max)));
                ready!(until.as_mut().poll(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            (Poll::Ready(Ok(bytes)), Some(until)) => {
                let bytes = u32::try_from(*bytes).unwrap_or(u32::MAX);
                let later =
                    until.deadline() + Duration::from_secs(1) * bytes / BYTES_PER_SECOND_MIN;
                until.as_mut().reset(later.min(Instant::now() + self.wait_max));
                written
            }
            _ => written,
        }
    }

    /// Notes that the kernel has taken all that was to be written.
    pub(super) fn all_is_written(&mut self) {
        self.until = None;
    }
}
