//! Many guests at once: places orders in a closed or an open model, follows each to its end, and measures both.
//!
//! - Closed: so many guests, each of whom orders again as soon as the last order was accepted. It finds the limit.
//! - Open: orders come at a rate, whatever the environment does, and latency counts from the planned moment, so that an environment
//!   that stalls can't hide the guests who would have come meanwhile.
//!
//! All of it runs on one thread of its own, so that it takes as little as possible from an environment on the same machine.

mod distribution;
mod follower;
mod history;
mod in_flight;
mod ledger;
mod limits;
mod pacer;
mod report;
mod schedule;
mod sender;
mod wire;

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub use distribution::{Distribution, micros_shown};
pub use limits::{Crossed, Limit, Metric, ParseLimitError, Point};
pub use report::{Dish, Report};
pub use schedule::{RATE_MAX, Schedule};

/// The most connections: far above what two cores can keep busy, and below the usual limit of open files.
pub const CONCURRENCY_MAX: usize = 512;
/// How many connections there are if nobody says.
pub const CONCURRENCY_DEFAULT: usize = 64;

/// Whose orders come when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Model {
    /// Each connection orders again as soon as its last order was accepted.
    Closed,
    /// Orders come at this rate a second.
    Open {
        /// Orders a second.
        rate: f64,
    },
}

/// What is to be ordered, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whose orders come when.
    pub model: Model,
    /// How many orders at the most; without it, until `duration` is over.
    pub count: Option<u64>,
    /// How long orders are placed at the most; without it, until `count` is reached.
    pub duration: Option<Duration>,
    /// Connections, each with one order at a time.
    pub concurrency: usize,
    /// The dish; without it the kitchen picks one.
    pub dish: Option<String>,
    /// Whether orders are followed to their end.
    pub follow: bool,
    /// How long one order may take to be accepted, and how long after the last one is waited for the end of all.
    pub timeout: Duration,
    /// Where each accepted order is noted: its id and its idempotency key.
    pub ledger: Option<PathBuf>,
    /// Where each request and each answer is recorded, for a check.
    pub history: Option<PathBuf>,
}

impl Plan {
    /// Returns a plan of that many orders, as fast as the default connections go, followed for a minute.
    #[must_use]
    pub fn orders(count: u64) -> Self {
        Self {
            model: Model::Closed,
            count: Some(count),
            duration: None,
            concurrency: CONCURRENCY_DEFAULT
                .min(usize::try_from(count).unwrap_or(CONCURRENCY_DEFAULT)),
            dish: None,
            follow: true,
            timeout: Duration::from_secs(60),
            ledger: None,
            history: None,
        }
    }
}

/// The environment that is ordered at.
#[derive(Clone, Debug)]
pub struct Target {
    /// The gateway's address.
    pub address: SocketAddr,
    /// The whole API key.
    pub key: String,
}

/// How far it is, for who watches.
#[derive(Debug, Default)]
pub struct Tally {
    accepted: AtomicU64,
    failed: AtomicU64,
    ended: AtomicU64,
}

impl Tally {
    /// Returns how many orders were accepted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Returns how many requests failed for good so far.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Returns how many orders came to an end so far.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }
}

/// Why nothing could be measured. What fails on the way is a figure of the [`Report`].
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nobody answered at the very start.
    #[error("no environment answers at {address}")]
    NobodyThere {
        /// Where it was looked for.
        address: SocketAddr,
        /// Why it could not be reached.
        source: io::Error,
    },
    /// The key has characters that no key has.
    #[error("not an API key: it should look like `cfk_…`")]
    NotAKey,
    /// The ledger could not be written.
    #[error("cannot write the ledger `{}`", path.display())]
    Ledger {
        /// The file.
        path: PathBuf,
        /// Why it could not be written.
        source: io::Error,
    },
    /// The history could not be begun or written.
    #[error(transparent)]
    History(#[from] ::history::HistoryError),
    /// The system gave no thread, or it came to a bad end.
    #[error("the load generator could not run")]
    NotRun(#[source] io::Error),
}

/// Places the orders of the plan and follows each to its end, in the time that the plan gives.
///
/// A cancelled `stop` ends the placing, and leaves what was accepted to itself.
///
/// # Errors
/// [`LoadError`] if it could not begin, or the ledger or the history could not be written.
pub async fn run(
    plan: Plan,
    target: &Target,
    tally: Arc<Tally>,
    stop: CancellationToken,
) -> Result<Report, LoadError> {
    let target = target.clone();
    let (done, report) = oneshot::channel();
    std::thread::Builder::new()
        .name("load".into())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let outcome = runtime.map_err(LoadError::NotRun).and_then(|runtime| {
                let load = tokio::task::LocalSet::new();
                runtime
                    .block_on(load.run_until(sender::place_and_follow(plan, &target, tally, stop)))
            });
            // Whoever asked has left, and with him the interest in the outcome.
            let _unheard = done.send(outcome);
        })
        .map_err(LoadError::NotRun)?;
    report.await.unwrap_or_else(|_| Err(LoadError::NotRun(io::Error::other("its thread panicked"))))
}

#[cfg(test)]
mod tests;
