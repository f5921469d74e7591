//! The time that a command has.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use crate::error::{CliError, Result};

/// How much longer work may take that ends by itself when its time is up: its error says more.
const SLACK: Duration = Duration::from_secs(1);

/// The time that a command has for all of its work.
#[derive(Debug)]
pub(crate) struct Deadline {
    limit: Duration,
    /// Whether building and getting images and creating a cluster count, too.
    is_strict: bool,
    used: Cell<Duration>,
}

impl Deadline {
    /// Begins with nothing used. One that `is_strict` bounds everything; else what is large does not count.
    pub(crate) const fn new(limit: Duration, is_strict: bool) -> Self {
        Self { limit, is_strict, used: Cell::new(Duration::ZERO) }
    }

    /// Never ends.
    pub(crate) const fn none() -> Self {
        Self::new(Duration::MAX, false)
    }

    /// Returns the whole time.
    pub(crate) const fn limit(&self) -> Duration {
        self.limit
    }

    /// Returns what is left.
    pub(crate) const fn left(&self) -> Duration {
        self.limit.saturating_sub(self.used.get())
    }

    /// Returns when the work began, as if all that counts were done without a break.
    pub(crate) fn since(&self) -> Instant {
        let now = Instant::now();
        now.checked_sub(self.used.get()).unwrap_or(now)
    }

    /// Does work within what is left. `is_large` says that it counts only if the deadline is strict, `under_way` what
    /// took too long.
    ///
    /// # Errors
    /// [`CliError::NotReady`] when nothing is left.
    pub(crate) async fn spend<T>(
        &self,
        work: impl Future<Output = T>,
        is_large: bool,
        under_way: impl FnOnce() -> String,
    ) -> Result<T> {
        if is_large && !self.is_strict {
            return Ok(work.await);
        }
        let since = Instant::now();
        let done = timeout(self.left().saturating_add(SLACK), work).await;
        self.used.set(self.used.get().saturating_add(since.elapsed()));
        done.map_err(|_| CliError::NotReady { waited: self.limit, reason: under_way() })
    }

    /// Does work of a command that is no operation of its plan.
    ///
    /// # Errors
    /// Those of the work; [`CliError::NotReady`] with `slow` when nothing is left.
    pub(crate) async fn bound<T>(
        &self,
        work: impl Future<Output = Result<T>>,
        slow: &str,
    ) -> Result<T> {
        self.spend(work, false, || slow.to_owned()).await?
    }
}
