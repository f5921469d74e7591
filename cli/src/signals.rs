//! Ctrl-C, SIGTERM and SIGHUP as errors, so that a command can clean up.

use std::{
    fs,
    future::pending,
    process,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

use crate::error::{CliError, Result};

/// How long a command may compute without a look at the signals. One that takes longer waits in a call that can't be
/// cancelled, such as opening a pipe that no process writes to.
const UNNOTICED_MAX: Duration = Duration::from_secs(5);

/// The signals that end a program.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if the process was started to survive its terminal, as `nohup` does.
    hang_up: Option<Signal>,
    /// How many signals the command has noticed.
    noticed: Arc<AtomicUsize>,
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
            hang_up: (!hang_up_is_ignored()).then(|| listen(SignalKind::hangup())).transpose()?,
            noticed: Arc::default(),
        })
    }

    /// Waits for the next signal and returns its error.
    pub(crate) async fn next(&mut self) -> CliError {
        let hang_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => pending().await,
            }
        };
        let signal = tokio::select! {
            _ = self.interrupt.recv() => CliError::Interrupted,
            _ = self.terminate.recv() => CliError::Terminated,
            _ = hang_up => CliError::HungUp,
        };
        // The shell and the kernel both send one when a terminal is closed: the second must not end an undo.
        self.hang_up = None;
        self.noticed.fetch_add(1, Ordering::Relaxed);
        signal
    }

    /// Ends the process if the command does not notice a signal within [`UNNOTICED_MAX`].
    pub(crate) fn end_if_unnoticed(&self) {
        let noticed = Arc::clone(&self.noticed);
        let watch = async move {
            // Taken over anew each time: a signal that came during the wait below may have been noticed.
            while let Ok(mut signals) = Self::take_over() {
                let before = noticed.load(Ordering::Relaxed);
                let signal = signals.next().await;
                sleep(UNNOTICED_MAX).await;
                if noticed.load(Ordering::Relaxed) == before {
                    process::exit(signal.exit_code().into());
                }
            }
        };
        thread::spawn(|| {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(watch))
        });
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
}

/// Returns whether the process ignores SIGHUP from its start, as far as `/proc` shows it.
fn hang_up_is_ignored() -> bool {
    const HANG_UP_BIT: u64 = 1;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & HANG_UP_BIT != 0)
}
