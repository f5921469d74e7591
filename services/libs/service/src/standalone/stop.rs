//! How a process is told to stop, and what makes sure that it does.

use std::{fs, io, os::unix::fs::MetadataExt as _, process, thread, time::Duration};

use crate::config::{self, ConfigError};

use rustix::process::{Pid, kill_process};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

/// How long a service has to end what is under way after it was told to stop. Then the process ends all the same: what
/// was not answered was not promised, and what was saved goes on with the next start.
const STOP_MAX: Duration = Duration::from_millis(2_800);

/// The longest that a service may go on after it was told to stop.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// Reads `CHEFCITO_STOP_DELAY`: how long a service that is told to stop goes on answering, so that whoever sends it requests
/// hears of it first. Not at all if it is not set.
pub(super) fn delay_from_environment() -> Result<Duration, ConfigError> {
    let (variable, expected) =
        ("CHEFCITO_STOP_DELAY", "a duration such as 5s, a minute at the most");
    let delay = config::read_duration(variable, expected)?.unwrap_or(Duration::ZERO);
    if delay > DELAY_MAX {
        let value = humantime::format_duration(delay).to_string();
        return Err(ConfigError::Invalid { variable: variable.into(), expected, value });
    }
    Ok(delay)
}

/// Tells the first process of this container to stop, if it is the same program as this one. That is for `exec`: where there is
/// nothing but the service, there is no `kill`.
///
/// # Errors
/// The first process is another, or not ours to look at.
pub(super) fn tell_first_process() -> io::Result<()> {
    let program = |process: &str| {
        let file = fs::metadata(format!("/proc/{process}/exe"))?;
        Ok::<_, io::Error>((file.dev(), file.ino()))
    };
    let is_same = program("1").is_ok_and(|first| program("self").is_ok_and(|own| own == first));
    if !is_same {
        return Err(io::Error::other("the first process here is another, or not ours to look at"));
    }
    Ok(kill_process(Pid::INIT, rustix::process::Signal::TERM)?)
}

/// The signals that end a service. They are listened to from the beginning: the first process of a container that does
/// not is not even ended by them.
#[derive(Debug)]
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Begins to listen.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for one; returns the exit code that says which.
    pub(super) async fn arrived(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => 143,
            _ = self.interrupt.recv() => 130,
        }
    }

    /// Waits for so long, or until it is told to stop again: by whoever knows that nobody is left to be taken leave of.
    pub(super) async fn pause(&mut self, delay: Duration) {
        let _again = tokio::time::timeout(delay, self.arrived()).await;
    }

    /// Ends the process when its time is over, or at once when it is told to stop again.
    pub(super) fn insist(mut self) {
        let watch = || {
            thread::sleep(STOP_MAX);
            warn!("Did not come to an end within {STOP_MAX:?}; ends all the same");
            process::exit(0);
        };
        // Without the thread it ends when what is under way does.
        let _ = thread::Builder::new().name("stop".into()).spawn(watch);
        tokio::spawn(async move { process::exit(self.arrived().await) });
    }
}
