//! The errors of commands, written for the user who typed the command: what failed, why, and what to try.

use std::{error, io, net::SocketAddr, path::PathBuf};

use contracts::{OrderId, Timestamp};
use history::HistoryError;

use crate::{
    docker::errors::EngineError, kubernetes::errors::ClusterError, state::EnvironmentName,
};

/// The result of a command.
pub(crate) type Result<T, E = CliError> = std::result::Result<T, E>;

/// The cause of an error.
pub(crate) type Source = Box<dyn error::Error + Send + Sync>;

/// Everything that ends a command early. `Display` says what failed, `source` says why, [`CliError::hint`] what to try.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// Flags that exclude each other; clap's own error, so that it looks and exits like every other usage error.
    #[error(transparent)]
    Usage(clap::Error),
    /// A failure without a variant of its own.
    #[error("{what}")]
    Failed {
        /// What failed, as a sentence without a full stop.
        what: String,
        /// What to try; empty if there is nothing.
        hint: String,
        /// Why.
        source: Option<Source>,
    },
    /// A file, pipe or process failed.
    #[error("cannot {what}")]
    Io {
        /// The operation: `write /some/file`.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// A file that the user wrote is invalid.
    #[error("{}: {detail}", path.display())]
    BadFile {
        /// The file, as it was named.
        path: PathBuf,
        /// What is wrong, and where.
        detail: String,
    },
    /// The state folder is of an earlier version of chefcito.
    #[error(
        "an earlier version of chefcito made the state folder {}: it has {found}",
        folder.display()
    )]
    EarlierState {
        /// The environment.
        name: EnvironmentName,
        /// The state folder.
        folder: PathBuf,
        /// The file that shows it, and what is different now.
        found: String,
    },
    /// The environment does not run.
    #[error("nothing is running as `{name}`")]
    NotRunning {
        /// The environment.
        name: EnvironmentName,
    },
    /// A process holds the lock, but its record does not say where it listens.
    #[error(
        "`{name}` does not say where it listens: it is still starting, or its environment.json is damaged"
    )]
    NoRecord {
        /// The environment.
        name: EnvironmentName,
    },
    /// The embedded process ended without removing its record.
    #[error(
        "`{name}` is not running: it crashed{}{}",
        when.map(|when| format!(" at {when}")).unwrap_or_default(),
        below(last_lines)
    )]
    Crashed {
        /// The environment.
        name: EnvironmentName,
        /// The time of its last log line.
        when: Option<Timestamp>,
        /// The last lines of its logs.
        last_lines: Vec<String>,
    },
    /// The embedded process ended before it was ready.
    #[error("the environment did not start: {reason}{}", below(last_lines))]
    NotStarted {
        /// The cause, as far as it is known.
        reason: String,
        /// The last lines of its logs.
        last_lines: Vec<String>,
    },
    /// A service in a container did not start, and waiting does not help.
    #[error("{service} did not start: {reason}{}", below(last_lines))]
    ServiceFailed {
        /// The environment.
        name: EnvironmentName,
        /// The service.
        service: String,
        /// The cause, as far as it is known.
        reason: String,
        /// The last lines that it printed.
        last_lines: Vec<String>,
    },
    /// A workload on a cluster did not start, and waiting does not help.
    #[error(transparent)]
    Rollout(Box<RolloutFailed>),
    /// A container that a command needs is not running.
    #[error("{container} is not running")]
    ServiceNotRunning {
        /// The environment.
        name: EnvironmentName,
        /// The container.
        container: String,
    },
    /// A program that the command ran for the user ended with this code; it has printed the reason.
    #[error("it ended with exit code {code}")]
    Ended {
        /// Its exit code.
        code: u8,
    },
    /// The environment started, and was not ready in time.
    #[error("the environment was not ready within {}: {reason}", humantime::format_duration(*waited))]
    NotReady {
        /// The time-out.
        waited: std::time::Duration,
        /// Its last state.
        reason: String,
    },
    /// Another process listens on the port.
    #[error("port {port} is taken{}", by_whom(holder.as_ref()))]
    PortTaken {
        /// The port.
        port: u16,
        /// The process that listens there, if `/proc` shows it.
        holder: Option<String>,
    },
    /// The gateway could not be reached.
    #[error("the environment at {address} does not answer")]
    Unreachable {
        /// The address of the gateway.
        address: SocketAddr,
        /// The cause.
        source: Source,
    },
    /// The gateway refused, with an RFC 9457 problem.
    #[error("{title} ({status}){}", detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default())]
    Problem {
        /// Names the kind of problem: `/problems/busy`.
        kind: String,
        /// The HTTP status.
        status: u16,
        /// The kind of problem, for people.
        title: String,
        /// The problem of this request.
        detail: Option<String>,
        /// Seconds to wait before a retry, from `Retry-After`.
        retry_after_s: Option<u64>,
    },
    /// A service is not ready.
    #[error("not ready: {}", services.join(", "))]
    Unready {
        /// The services.
        services: Vec<String>,
    },
    /// Orders were not followed to their end in time.
    #[error(
        "{orders} {} not delivered within {}",
        if *orders == 1 { "order was" } else { "orders were" },
        humantime::format_duration(*waited)
    )]
    Undelivered {
        /// How many orders.
        orders: u64,
        /// The time-out.
        waited: std::time::Duration,
        /// One of them.
        example: Option<OrderId>,
    },
    /// The kitchen did not decide in time whether an order is cancelled.
    #[error("the kitchen did not decide about order {order} within {}", humantime::format_duration(*waited))]
    Undecided {
        /// The order.
        order: OrderId,
        /// The time-out.
        waited: std::time::Duration,
    },
    /// The environment did not come to rest in time.
    #[error("the environment was not quiet within {}", humantime::format_duration(*waited))]
    NotQuiet {
        /// The time-out.
        waited: std::time::Duration,
    },
    /// A `--fail-if` limit was crossed.
    #[error("limit crossed: {}", limits.join("; "))]
    LimitCrossed {
        /// Each limit, with the measured value.
        limits: Vec<String>,
    },
    /// The audit found a broken invariant.
    #[error("{} broken: {}", if invariants.len() == 1 { "an invariant is" } else { "invariants are" }, invariants.join(", "))]
    InvariantBroken {
        /// The invariants.
        invariants: Vec<String>,
    },
    /// This machine lacks something that the command needs.
    #[error("{what}")]
    Lacking {
        /// What is missing.
        what: String,
        /// How to get it.
        hint: String,
    },
    /// No container engine answers, or it can't be used.
    #[error("{what}")]
    NoEngine {
        /// The engine, and the problem.
        what: String,
        /// What to try.
        hint: String,
        /// The cause.
        source: Option<Source>,
    },
    /// No cluster answers, or it can't be used.
    #[error("{what}")]
    NoCluster {
        /// The cluster, and the problem.
        what: String,
        /// What to try.
        hint: String,
        /// The cause.
        source: Option<Source>,
        /// Whether the cluster may be gone for good: nothing listens at its address, or it does not accept our
        /// credentials.
        is_lost: bool,
    },
    /// A request to the cluster failed.
    #[error(transparent)]
    Cluster(ClusterError),
    /// A request to the container engine failed.
    #[error(transparent)]
    Engine(EngineError),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// SIGTERM.
    #[error("terminated")]
    Terminated,
    /// The reader of stdout has closed it; not reported.
    #[error("the reader of the output has closed it")]
    OutputClosed,
    /// Any other error.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// A workload on a cluster that did not start.
#[derive(Debug, thiserror::Error)]
#[error(
    "{workload} did not come up: {reason}{}{}{}",
    pod.as_ref().map(|pod| format!(" (pod {pod})")).unwrap_or_default(),
    noted(events),
    below(last_lines)
)]
pub(crate) struct RolloutFailed {
    /// The workload: `deployment/kitchen`.
    pub(crate) workload: String,
    /// The pod that failed, if one did.
    pub(crate) pod: Option<String>,
    /// The cause.
    pub(crate) reason: String,
    /// The cluster's events about it.
    pub(crate) events: Vec<String>,
    /// The last lines that it printed.
    pub(crate) last_lines: Vec<String>,
    /// What to try.
    pub(crate) hint: &'static str,
}

impl From<HistoryError> for CliError {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Io { doing, path, source } => {
                Self::Io { what: format!("{doing} {}", path.display()), source }
            }
            reported => Self::failed(reported.to_string()),
        }
    }
}

impl CliError {
    /// Returns an error without a hint.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::Failed { what: what.into(), hint: String::new(), source: None }
    }

    /// Returns a function that adds the operation to an I/O error: `.map_err(CliError::io(|| "write the
    /// file".into()))`.
    pub(crate) fn io(what: impl FnOnce() -> String) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what: what(), source }
    }

    /// Returns whether a signal ended the command.
    pub(crate) const fn is_signal(&self) -> bool {
        matches!(self, Self::Interrupted | Self::Terminated)
    }

    /// Returns whether the cluster may be gone for good.
    pub(crate) const fn is_lost_cluster(&self) -> bool {
        matches!(self, Self::NoCluster { is_lost: true, .. })
    }

    /// Returns the hint: what to try, a sentence without a full stop.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Failed { hint, .. }
            | Self::Lacking { hint, .. }
            | Self::NoCluster { hint, .. }
            | Self::NoEngine { hint, .. } => (!hint.is_empty()).then(|| hint.clone()),
            Self::EarlierState { name, folder, .. } => Some(format!(
                "close the environment with `chefcito down{}` of the version that made it; if that is gone and nothing \
                 runs any more, remove {}, with all data in it",
                name.flag(),
                folder.display()
            )),
            Self::NotRunning { name } => {
                Some(format!("start it with `chefcito up{}`", name.flag()))
            }
            Self::NoRecord { name } => Some(format!(
                "try again in a moment; `chefcito up{}` restarts it if it stays so, and keeps its data",
                name.flag()
            )),
            Self::Crashed { name, .. } => Some(format!(
                "`chefcito up{0}` starts it again with its data; `chefcito logs{0}` has more",
                name.flag()
            )),
            Self::NotStarted { .. } => {
                Some("`chefcito logs` has more; `chefcito doctor` checks this machine".into())
            }
            Self::ServiceNotRunning { name, .. } => Some(format!(
                "`chefcito status{0}` shows which are running, `chefcito up --runtime compose{0}` starts it",
                name.flag()
            )),
            Self::ServiceFailed { name, service, .. } => Some(format!(
                "`chefcito logs{0} {service}` has more; fix the cause, then `chefcito up --runtime compose{0}` continues from here",
                name.flag()
            )),
            Self::NotReady { .. } => {
                Some("allow more time with `--timeout`, or look at `chefcito logs`".into())
            }
            Self::PortTaken { .. } => {
                Some("choose another with `--port`, or leave it out to get a free one".into())
            }
            Self::Unreachable { .. } => {
                Some("look at `chefcito status` and `chefcito logs`".into())
            }
            Self::Problem { kind, status, retry_after_s, .. } => {
                let wait = retry_after_s
                    .map_or_else(|| "wait a moment".into(), |seconds| format!("wait {seconds} s"));
                match (status, kind.as_str()) {
                    (401 | 403, _) => {
                        Some("`chefcito keys list` shows what each key allows".into())
                    }
                    (429, _) => Some(format!(
                        "{wait}, then send fewer requests: CHEFCITO_RATE_LIMIT at `up` is the limit of each key"
                    )),
                    (503, "/problems/busy") => {
                        Some(format!("{wait}, then retry, or send a smaller request"))
                    }
                    (503, _) => Some(format!(
                        "{wait}, then retry; `chefcito status` shows which service is not ready, and why"
                    )),
                    _ => None,
                }
            }
            Self::Unready { .. } => Some("look at `chefcito logs --level warn`".into()),
            Self::Undelivered { example: Some(order), .. } => {
                Some(format!("look at `chefcito story {order}`"))
            }
            Self::Undecided { order, .. } => Some(format!("look at `chefcito story {order}`")),
            Self::Undelivered { example: None, .. } | Self::NotQuiet { .. } => {
                Some("look at `chefcito status`, or allow more time with `--timeout`".into())
            }
            Self::Engine(error) => error.hint(),
            Self::Cluster(error) => error.hint(),
            Self::Rollout(failed) => Some(failed.hint.to_owned()),
            Self::Usage(_)
            | Self::Io { .. }
            | Self::BadFile { .. }
            | Self::LimitCrossed { .. }
            | Self::InvariantBroken { .. }
            | Self::Ended { .. }
            | Self::Interrupted
            | Self::Terminated
            | Self::OutputClosed
            | Self::Other(_) => None,
        }
    }

    /// Returns the exit code: 1 failed, 2 usage, 3 nothing is running, 4 not in time, 5 a limit crossed, 6 an invariant
    /// broken, 7 the machine lacks something, 130 interrupted, 143 terminated.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Failed { .. }
            | Self::EarlierState { .. }
            | Self::Io { .. }
            | Self::BadFile { .. }
            | Self::NotStarted { .. }
            | Self::ServiceFailed { .. }
            | Self::Rollout(_)
            | Self::PortTaken { .. }
            | Self::Unreachable { .. }
            | Self::Problem { .. }
            | Self::Unready { .. }
            | Self::Other(_) => 1,
            Self::Usage(_) => 2,
            Self::NotRunning { .. }
            | Self::NoRecord { .. }
            | Self::Crashed { .. }
            | Self::ServiceNotRunning { .. } => 3,
            Self::Ended { code } => *code,
            Self::NotReady { .. }
            | Self::Undelivered { .. }
            | Self::Undecided { .. }
            | Self::NotQuiet { .. } => 4,
            Self::LimitCrossed { .. } => 5,
            Self::InvariantBroken { .. } => 6,
            Self::Engine(error) if error.is_gone() => 7,
            Self::Cluster(error) if error.is_gone() => 7,
            Self::Engine(_) | Self::Cluster(_) => 1,
            Self::Lacking { .. } | Self::NoEngine { .. } | Self::NoCluster { .. } => 7,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

/// Returns the last lines of a log, indented below the sentence that precedes them.
fn below(lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    format!("; its last lines:\n    {}", lines.join("\n    "))
}

/// Returns a cluster's events, indented below the sentence that precedes them.
fn noted(events: &[String]) -> String {
    if events.is_empty() {
        return String::new();
    }
    format!("; the cluster noted:\n    {}", events.join("\n    "))
}

fn by_whom(holder: Option<&String>) -> String {
    holder.map(|holder| format!(" by {holder}")).unwrap_or_default()
}
