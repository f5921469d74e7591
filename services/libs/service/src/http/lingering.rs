//! The last moment of a connection.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::slow_reader::WriteDeadline;

/// For how long a server that is being stopped reads what still comes after the last answer: the process has 3 s in all.
const LINGER_STOPPED_MAX: Duration = Duration::from_secs(1);
/// How much of it is read, in bytes.
const DROPPED_MAX: usize = 64 * 1024 * 1024;
/// How much is read at once, in bytes.
const SCRATCH: usize = 16 * 1024;

/// A connection that reads and drops what the client still sends after the last answer. The kernel resets a connection that is closed
/// over unread bytes, and a client that is still sending its body then loses the answer.
///
/// RFC 9112, 9.6; nginx calls it `lingering_close`.
#[derive(Debug)]
pub(super) struct Lingering {
    stream: TcpStream,
    deadline: WriteDeadline,
    linger_max: Duration,
    stop: CancellationToken,
    end: Option<End>,
    dropped: usize,
}

/// When a connection whose last answer is written is closed, whatever the client does.
#[derive(Debug)]
struct End {
    until: Pin<Box<Sleep>>,
    stopped: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl End {
    fn new(linger_max: Duration, stop: &CancellationToken) -> Self {
        let stopped = Some(Box::pin(stop.clone().cancelled_owned()));
        Self { until: Box::pin(sleep(linger_max)), stopped }
    }

    /// Waits until it is time to close, which comes sooner once the server is being stopped.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(stopped) = &mut self.stopped
            && stopped.as_mut().poll(context).is_ready()
        {
            self.stopped = None;
            let soon = Instant::now() + LINGER_STOPPED_MAX;
            let until = soon.min(self.until.deadline());
            self.until.as_mut().reset(until);
        }
        self.until.as_mut().poll(context)
    }
}

impl Lingering {
    /// Takes over a connection, whose client has that long to read an answer, and that long to go on sending after the last one;
    /// a second at the most once the server is being stopped.
    pub(super) const fn new(
        stream: TcpStream,
        write_wait_max: Duration,
        linger_max: Duration,
        stop: CancellationToken,
    ) -> Self {
        let deadline = WriteDeadline::new(write_wait_max);
        Self { stream, deadline, linger_max, stop, end: None, dropped: 0 }
    }

    /// Answers as far as the kernel takes it at once. It has room for a short answer that is the first of the connection.
    pub(super) fn try_answer(&self, answer: &[u8]) {
        let _best_effort = self.stream.try_write(answer);
    }

    /// Passes on what came of a write, and gives a client up that does not read.
    fn watch(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let written = self.deadline.watch(context, written);
        if matches!(&written, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut) {
            // Otherwise the kernel keeps what was not read, up to megabytes, and goes on asking the client for minutes.
            let _best_effort = self.stream.set_zero_linger();
        }
        written
    }

    /// Reads and drops what comes until the client closes its end, or the time or the bytes that it has are over.
    fn hear_out(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let end = self.end.get_or_insert_with(|| End::new(self.linger_max, &self.stop));
        let mut scratch = [0; SCRATCH];
        while self.dropped < DROPPED_MAX && end.poll(context).is_pending() {
            let mut piece = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut piece)) {
                Ok(()) if !piece.filled().is_empty() => self.dropped += piece.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes when its own buffer is empty.
        self.deadline.all_is_written();
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.end.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        self.hear_out(context).map(Ok)
    }
}
