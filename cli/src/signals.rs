//! Ctrl-C and SIGTERM, as errors that a command may clean up after.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{CliError, Result};

/// The two signals that ask a program to end.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over: from now on they no longer end the process by themselves.
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

    /// Waits for the next signal and returns the error that it means.
    pub(crate) async fn next(&mut self) -> CliError {
        tokio::select! {
            _ = self.interrupt.recv() => CliError::Interrupted,
            _ = self.terminate.recv() => CliError::Terminated,
        }
    }

    /// Does the work, or gives it up at the first signal.
    ///
    /// # Errors
    /// The work's own, or what the signal means.
    pub(crate) async fn or<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            done = work => done,
            signal = self.next() => Err(signal),
        }
    }

    /// Does the work as [`Signals::or`] does, and undoes what it made if a signal ended it. A second signal ends even that.
    ///
    /// # Errors
    /// As [`Signals::or`]; the undoing's own, if that failed.
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
