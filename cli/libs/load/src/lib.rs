//! The load generator: places orders in a closed or an open model, follows each to its end, and measures both.
//!
//! Guarantees: every order that was sent is counted once: accepted, failed or of unknown outcome; a repeated request has the key
//! of the first; latency counts from the planned time; a million orders in flight take bounded memory.
//!
//! Does not know: commands, output and exit codes; it returns a [`Report`], and callers show it.
//!
//! - Closed: each of the connections places its next order as soon as its last one was accepted. It finds the limit.
//! - Open: orders are placed at a rate, whatever the environment does, and latency counts from the planned time, so
//!   that a stall of the environment can't hide the orders of that time.
//!
//! It runs on one thread of its own, so that it takes as little as possible from an environment on the same machine.

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
/// The default number of connections.
pub const CONCURRENCY_DEFAULT: usize = 64;

/// How long one request may take by default: a node that restarts or a proxy may hold a dead connection for much longer, and a
/// live environment answers a thousand times as fast.
pub const ATTEMPT_MAX: Duration = Duration::from_secs(10);

/// The model of load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Model {
    /// Each connection places its next order as soon as its last one was accepted.
    Closed,
    /// Orders are placed at this rate.
    Open {
        /// Orders per second.
        rate: f64,
    },
}

/// The parameters of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The model of load.
    pub model: Model,
    /// The most orders; `None` for as many as fit into `duration`.
    pub count: Option<u64>,
    /// The longest time in which orders are placed; `None` until `count` is reached.
    pub duration: Option<Duration>,
    /// Connections, each with one order at a time.
    pub concurrency: usize,
    /// The dish; `None` if the kitchen picks one.
    pub dish: Option<String>,
    /// Whether orders are followed to their end.
    pub follow: bool,
    /// How long one request may take; after it, the order is sent again with the same key.
    pub attempt_max: Duration,
    /// How long one order may take to be accepted, and how long to wait for the end of all after the last one.
    pub timeout: Duration,
    /// The file for each accepted order: its id and its idempotency key.
    pub ledger: Option<PathBuf>,
    /// The file for each request and answer, for a check.
    pub history: Option<PathBuf>,
}

impl Plan {
    /// Returns a plan of that many orders in the closed model with the default connections, followed for a minute.
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
            attempt_max: ATTEMPT_MAX,
            timeout: Duration::from_secs(60),
            ledger: None,
            history: None,
        }
    }
}

/// The environment under load.
#[derive(Clone, Debug)]
pub struct Target {
    /// The gateway's address.
    pub address: SocketAddr,
    /// The whole API key.
    pub key: String,
}

/// The progress of a run.
#[derive(Debug, Default)]
pub struct Tally {
    accepted: AtomicU64,
    failed: AtomicU64,
    ended: AtomicU64,
}

impl Tally {
    /// Returns how many orders are accepted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Returns how many requests have failed for good so far.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Returns how many orders are at their end so far.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }
}

/// Why a run could not be measured. Failures within a run are figures of the [`Report`].
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nothing listens at the address.
    #[error("no environment answers at {address}")]
    NobodyThere {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// What listens at the address is not the gateway of the key. The key was not sent.
    #[error(transparent)]
    Unproven(#[from] client::Unproven),
    /// The key is none, or has characters that a header may not have.
    #[error("not an API key: it should look like `cfk_…`")]
    NotAKey,
    /// The ledger could not be written.
    #[error("cannot write the ledger `{}`", path.display())]
    Ledger {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The history could not be opened or written.
    #[error(transparent)]
    History(#[from] ::history::HistoryError),
    /// The thread could not be started, or it panicked.
    #[error("the load generator could not run")]
    NotRun(#[source] io::Error),
}

/// Places the orders of the plan, and follows each to its end, within the times of the plan.
///
/// A cancelled `stop` ends the placing; accepted orders are then not followed.
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
            // The caller has cancelled.
            let _unheard = done.send(outcome);
        })
        .map_err(LoadError::NotRun)?;
    report.await.unwrap_or_else(|_| Err(LoadError::NotRun(io::Error::other("its thread panicked"))))
}

#[cfg(test)]
mod tests;
