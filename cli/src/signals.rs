//! Ctrl-C and SIGTERM as errors, so that a command can clean up.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{CliError, Result};

/// The two signals that end a program.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Installs the handlers: from now on the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// [`CliError::Io`] if the system refuses.
    pub(crate) fn take_over() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(CliError::io(|| "listen to signals".into()));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal and returns its error.
    pub(crate) async fn next(&mut self) -> CliError {
        tokio::select! {
            _ = self.interrupt.recv() => CliError::Interrupted,
            _ = self.terminate.recv() => CliError::Terminated,
        }
    }

    /// Runs the work, and drops it at the first signal.
    ///
    /// # Errors
    /// The error of the work, or that of the signal.
    pub(crate) async fn or<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            done = work => done,
            signal = self.next() => Err(signal),
        }
    }

    /// Runs the work as [`Signals::or`] does, and undoes it after a signal. A second signal ends the undo, too.
    ///
    /// # Errors
    /// As [`Signals::or`]; the error of the undo, if it failed.
    pub(crate) async fn or_undo<M>(
        &mut self,
        mut made: M,
        work: impl AsyncFnOnce(&mut M) -> Result<()>,
        undo: impl AsyncFnOnce(M) -> Result<()>,
    ) -> Result<()> {
        let result = self.or(work(&mut made)).await;
        match result {
            Err(signal) if signal.is_signal() => self.or(undo(made)).await.and(Err(signal)),
            result => result,
        }
    }
}
