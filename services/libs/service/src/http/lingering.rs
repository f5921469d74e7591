//! The last moment of a connection.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use super::slow_reader::WriteDeadline;

/// For how long what still comes is read after the last answer: nginx waits 5 s for each piece, but a process that is told to
/// stop has 3 s in all.
const LINGER_MAX: Duration = Duration::from_secs(1);
/// How much of it is read, in bytes.
const DROPPED_MAX: usize = 64 * 1024 * 1024;
/// How much is read at once, in bytes.
const SCRATCH: usize = 16 * 1024;

/// A connection at whose end the client is heard out for a moment. One that is closed over bytes that nobody has read is reset,
/// and a client that is still sending a body then never sees the answer that says why nobody wants it.
///
/// RFC 9112, 9.6; nginx calls it `lingering_close`.
#[derive(Debug)]
pub(super) struct Lingering {
    stream: TcpStream,
    deadline: WriteDeadline,
    until: Option<Pin<Box<Sleep>>>,
    dropped: usize,
}

impl Lingering {
    /// Takes over a connection, whose client has that long to read an answer.
    pub(super) const fn new(stream: TcpStream, write_wait_max: Duration) -> Self {
        Self { stream, deadline: WriteDeadline::new(write_wait_max), until: None, dropped: 0 }
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

    /// Reads and drops what comes until the client has ended, too, or has had enough of our time.
    fn hear_out(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let until = self.until.get_or_insert_with(|| Box::pin(sleep(LINGER_MAX)));
        let mut scratch = [0; SCRATCH];
        while self.dropped < DROPPED_MAX && until.as_mut().poll(context).is_pending() {
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
        if self.until.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        self.hear_out(context).map(Ok)
    }
}
