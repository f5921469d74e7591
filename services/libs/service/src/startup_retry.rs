//! What a process apart does while its database is away at the start: it waits, for as long as it takes, and says so once.
//! An environment in one process fails instead, because somebody waits for it who can mend it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::sleep;
use tracing::{info, warn};

use store::{OpenError, StoreError, chain, jittered};

/// How long to wait before it is tried again; doubled each time.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest wait: so long may it take to notice that the database is there.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Whether a missing database is waited for, and why it is being waited for now. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct StartupRetry {
    why: Option<Arc<Mutex<Option<String>>>>,
}

/// What can be waited for.
pub(crate) trait MayPass: std::error::Error {
    /// Returns whether it may be over when the same is tried again.
    fn may_pass(&self) -> bool;
}

impl MayPass for OpenError {
    /// Whatever the database says: its schema may be made this very moment, and its password be set.
    fn may_pass(&self) -> bool {
        matches!(self, Self::Store { .. })
    }
}

impl MayPass for StoreError {
    fn may_pass(&self) -> bool {
        self.is_transient() && !matches!(self, Self::Closed)
    }
}

impl StartupRetry {
    /// Returns the startup_retry of a process apart.
    pub(crate) fn endless() -> Self {
        Self { why: Some(Arc::default()) }
    }

    /// Returns why it is being waited, if it is.
    pub(crate) fn why(&self) -> Option<String> {
        self.why.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tries until it works or can't come right; without startup_retry, once.
    pub(crate) async fn wait_for<T, E: MayPass>(
        &self,
        mut attempt: impl AsyncFnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut pause = PAUSE;
        loop {
            match (attempt().await, &self.why) {
                (Err(error), Some(why)) if error.may_pass() => {
                    let reason = chain(&error);
                    let mut known = why.lock().unwrap_or_else(PoisonError::into_inner);
                    if known.as_ref() != Some(&reason) {
                        warn!("Waits until it can be opened: {reason}");
                        *known = Some(reason);
                    }
                }
                (Ok(done), Some(why)) => {
                    let waited = why.lock().unwrap_or_else(PoisonError::into_inner).take();
                    if waited.is_some() {
                        info!("Need not wait any more");
                    }
                    return Ok(done);
                }
                (ended, _) => return ended,
            }
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}
