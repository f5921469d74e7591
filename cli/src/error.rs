//! The errors of commands, written for the user who typed the command: what failed, why, and what to try.

use std::{error, io, net::SocketAddr, path::PathBuf};

use client::{ClientError, Unproven};
use cluster::errors::ClusterError;
use contracts::{OrderId, Timestamp};
use engine::errors::EngineError;
use history::HistoryError;

use crate::{state::EnvironmentName, suggest::did_you_mean};

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
    /// A service that does not exist.
    #[error("there is no service `{service}`")]
    UnknownService {
        /// The service, as the user named it.
        service: String,
        /// The services that exist.
        known: Vec<String>,
    },
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
    /// A file of settings is invalid, or states something that does not exist.
    #[error("{place}: {what}")]
    BadSettings {
        /// The file, with the line if it is known.
        place: String,
        /// What is wrong.
        what: String,
        /// What would be valid.
        hint: String,
    },
    /// A record in the state folder is of a newer version of chefcito.
    #[error(
        "a newer version of chefcito wrote {}: it has the format {format}, and this version knows {known}",
        path.display()
    )]
    NewerRecord {
        /// The record.
        path: PathBuf,
        /// Its format.
        format: u64,
        /// The newest format that this version knows.
        known: u64,
    },
    /// A record in the state folder is damaged.
    #[error("{} can't be read, so it is not known what belongs to the environment", path.display())]
    BadRecord {
        /// The record.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
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
    /// What listens at the gateway's address is not the gateway of the local admin key.
    #[error(transparent)]
    Unproven(#[from] Unproven),
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
    /// Services are not ready.
    #[error("not ready: {}", services.join("; "))]
    Unready {
        /// The services, those of the same state together.
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
    /// SIGHUP: the terminal or the connection to it is closed.
    #[error("hung up")]
    HungUp,
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
    pub(crate) hint: String,
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

impl From<manifests::Error> for CliError {
    fn from(error: manifests::Error) -> Self {
        match error {
            manifests::Error::Io { path, source } => {
                Self::Io { what: format!("read {}", path.display()), source }
            }
            manifests::Error::BadFile { path, detail } => Self::BadFile { path, detail },
            error @ manifests::Error::Unmatched(_) => Self::failed(error.to_string()),
        }
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<engine::errors::Error> for CliError {
    fn from(error: engine::errors::Error) -> Self {
        use engine::errors::Error;
        match error {
            Error::Request(error) => Self::Engine(error),
            Error::NoEngine { what, hint, source } => Self::NoEngine { what, hint, source },
            Error::Lacking { what, hint } => Self::Lacking { what, hint },
            Error::Failed { what, hint, source } => Self::Failed { what, hint, source },
            Error::Io { what, source } => Self::Io { what, source },
            Error::BadFile { path, detail } => Self::BadFile { path, detail },
        }
    }
}

impl From<ClusterError> for CliError {
    fn from(error: ClusterError) -> Self {
        Self::Cluster(error)
    }
}

impl From<cluster::errors::Error> for CliError {
    fn from(error: cluster::errors::Error) -> Self {
        use cluster::errors::Error;
        match error {
            Error::Request(error) => Self::Cluster(error),
            Error::Engine(error) => error.into(),
            Error::NoCluster { what, hint, source, is_lost } => {
                Self::NoCluster { what, hint, source, is_lost }
            }
            Error::Lacking { what, hint } => Self::Lacking { what, hint },
            Error::Failed { what, hint, source } => Self::Failed { what, hint, source },
            Error::Io { what, source } => Self::Io { what, source },
            Error::BadFile { path, detail } => Self::BadFile { path, detail },
        }
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NobodyThere { address, source } => {
                Self::Unreachable { address, source: source.into() }
            }
            ClientError::Unproven(unproven) => unproven.into(),
            ClientError::Refused { problem, retry_after_s } => Self::Problem {
                kind: problem.kind,
                status: problem.status,
                title: printable::line(&problem.title).into_owned(),
                detail: problem.detail.map(|detail| printable::line(&detail).into_owned()),
                retry_after_s,
            },
            error @ (ClientError::Late { .. } | ClientError::Silent { .. }) => Self::Failed {
                what: error.to_string(),
                hint: "it is overloaded or stopped: look at `chefcito logs`; `chefcito down` ends it and keeps its data"
                    .into(),
                source: None,
            },
            ClientError::HungUp { address, request, source } => Self::Failed {
                what: format!("the environment at {address} hung up on `{request}`"),
                hint: "look at `chefcito status` and `chefcito logs`".into(),
                source: Some(source),
            },
            ClientError::Unreadable { request, source } => unreadable(&request, source.into()),
            ClientError::UnreadableEvents { request, source } => {
                unreadable(&request, source.into())
            }
            error @ ClientError::Unaskable { .. } => Self::Other(error.into()),
        }
    }
}

fn unreadable(request: &str, source: Source) -> CliError {
    CliError::Failed {
        what: format!(
            "the environment answered `{request}` with something that this chefcito can't read"
        ),
        hint: "the environment may be of another version: `chefcito up` brings it to this one"
            .into(),
        source: Some(source),
    }
}

impl CliError {
    /// Returns the error for a service that does not exist, with those that do.
    pub(crate) fn unknown_service<S: Into<String>>(
        service: &str,
        known: impl IntoIterator<Item = S>,
    ) -> Self {
        let known = known.into_iter().map(Into::into).collect();
        Self::UnknownService { service: service.into(), known }
    }

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
        matches!(self, Self::Interrupted | Self::Terminated | Self::HungUp)
    }

    /// Returns whether the cluster may be gone for good.
    pub(crate) const fn is_lost_cluster(&self) -> bool {
        matches!(self, Self::NoCluster { is_lost: true, .. })
    }

    /// Returns the hint: what to try, a sentence without a full stop.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Failed { hint, .. }
            | Self::BadSettings { hint, .. }
            | Self::Lacking { hint, .. }
            | Self::NoCluster { hint, .. }
            | Self::NoEngine { hint, .. } => (!hint.is_empty()).then(|| hint.clone()),
            Self::UnknownService { service, known } => Some(services_hint(service, known)),
            Self::NewerRecord { .. } => {
                Some("use that version: this one would lose what it does not know".into())
            }
            Self::BadRecord { path, .. } => Some(format!(
                "restore it, or, if nothing of the environment runs any more, remove {}, with all data in it",
                path.parent().unwrap_or(path).display()
            )),
            Self::EarlierState { name, folder, .. } => Some(format!(
                "close the environment with `chefcito down{}` of the version that made it; if that is gone and nothing \
                 runs any more, remove {}, with all data in it",
                name.flag(),
                folder.display()
            )),
            Self::NotRunning { .. } => Some("start it with `chefcito up`".into()),
            Self::NoRecord { .. } => Some(
                "try again in a moment; `chefcito up` restarts it if it stays so, and keeps its data"
                    .into(),
            ),
            Self::Crashed { .. } => {
                Some("`chefcito up` starts it again with its data; `chefcito logs` has more".into())
            }
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
                Some("choose another with `--port`; `--port 0` takes any free one".into())
            }
            Self::Unproven(_) => Some(
                "if another program has the port, stop it, or move the environment with `chefcito up --port 0`; `chefcito up` \
                 also replaces a gateway of an earlier version, or with another admin key"
                    .into(),
            ),
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
                        "{wait}, then send fewer requests: CHEFCITO_RATE_LIMIT at `chefcito up` is the limit of each key"
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
            Self::Rollout(failed) => Some(failed.hint.clone()),
            Self::Io { what, source } => io_hint(what, source.kind()),
            Self::Usage(_)
            | Self::BadFile { .. }
            | Self::LimitCrossed { .. }
            | Self::InvariantBroken { .. }
            | Self::Ended { .. }
            | Self::Interrupted
            | Self::Terminated
            | Self::HungUp
            | Self::OutputClosed
            | Self::Other(_) => None,
        }
    }

    /// Returns the exit code: 1 failed, 2 usage, 3 nothing is running, 4 not in time, 5 a limit crossed, 6 an invariant
    /// broken, 7 the machine lacks something, 129 hung up, 130 interrupted, 143 terminated.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Failed { .. }
            | Self::NewerRecord { .. }
            | Self::BadRecord { .. }
            | Self::EarlierState { .. }
            | Self::Io { .. }
            | Self::BadFile { .. }
            | Self::NotStarted { .. }
            | Self::ServiceFailed { .. }
            | Self::Rollout(_)
            | Self::PortTaken { .. }
            | Self::Unreachable { .. }
            | Self::Unproven(_)
            | Self::Problem { .. }
            | Self::Unready { .. }
            | Self::Other(_) => 1,
            Self::Usage(_) | Self::UnknownService { .. } | Self::BadSettings { .. } => 2,
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
            Self::HungUp => 129,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

/// Returns what to try after the failure of a file.
fn io_hint(what: &str, kind: io::ErrorKind) -> Option<String> {
    let (reads, writes) = (what.starts_with("read "), what.starts_with("write "));
    match kind {
        io::ErrorKind::NotFound if reads => {
            Some("check the path: a relative one begins at the current folder".into())
        }
        io::ErrorKind::PermissionDenied => {
            Some("check who may use it, and each folder above it".into())
        }
        io::ErrorKind::NotFound if writes => {
            Some("make its folder first: a relative path begins at the current folder".into())
        }
        io::ErrorKind::IsADirectory => Some("name a file, not a folder".into()),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("free some space, then try again".into())
        }
        _ => None,
    }
}

/// Returns the services that exist, that with the most similar name first.
fn services_hint(service: &str, known: &[String]) -> String {
    let similar = did_you_mean(service, known.iter().map(String::as_str));
    let all = known.join(", ");
    match similar {
        Some(name) => format!("did you mean `{name}`? There are {all}"),
        None => format!("there are {all}"),
    }
}

/// Returns the last lines of a log, indented below the sentence that precedes them.
fn below(lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    format!("; its last lines:{}", indented(lines))
}

/// Returns a cluster's events, indented below the sentence that precedes them.
fn noted(events: &[String]) -> String {
    if events.is_empty() {
        return String::new();
    }
    format!("; the cluster noted:{}", indented(events))
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n    {}", printable::line(line))).collect()
}

fn by_whom(holder: Option<&String>) -> String {
    holder.map(|holder| format!(" by {holder}")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
