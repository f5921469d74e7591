//! Asks whether the services are ready: the gateway, which asks those behind it; and the engine about the containers of
//! which the gateway knows nothing, or about all if the gateway can't be asked.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use client::{Client, ClientError};
use contracts::{Timestamp, api::gateway::Status, services::GATEWAY};
use engine::{
    Engine,
    containers::{Healthy, State},
};
use futures_util::future::join_all;
use manifests::compose_file::Health;
use tokio::time::{sleep, timeout};

use crate::{
    error::Result,
    runtimes::compose::{
        observed::{self, ObservedContainer},
        session::Session,
        wanted::{Layout, WantedContainer},
    },
};

/// The pause between requests.
const ASK_EVERY: Duration = Duration::from_millis(25);
/// The pause between checks that start a process in each container.
const RUN_EVERY: Duration = Duration::from_millis(200);
/// Containers that fail at start mostly do so within this time: one without a health check counts as ready after it.
const LIVED_MIN: Duration = Duration::from_millis(500);
/// The same for a container that the engine has restarted: it may end again.
const LIVED_MIN_AGAIN: Duration = Duration::from_secs(5);
/// How long an answer may take; a gateway whose services hang answers after two seconds.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(4);
/// How long a health check may take whose file sets no time-out, as for the engine.
const CHECK_WAIT_MAX: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// All services are ready.
    Ready,
    /// Not all are.
    NotYet {
        /// Which ones, or the error.
        reason: String,
        /// When to ask again.
        pause: Duration,
    },
}

/// The way to ask.
#[derive(Debug)]
pub(super) struct Asker {
    gateway: Option<Gateway>,
    engine: Engine,
    project: String,
    /// The containers that the engine is asked about.
    checks: Vec<Check>,
    since: Instant,
}

/// The gateway; only these services matter, or all.
#[derive(Debug)]
struct Gateway {
    client: Client,
    services: Option<BTreeSet<String>>,
}

/// A container to ask the engine about.
#[derive(Debug)]
struct Check {
    name: String,
    service: String,
    /// Whether the answer of the gateway covers it, if the gateway knows its service.
    is_covered: bool,
    /// The command of its health check, and how long that may take.
    health: Option<(Vec<String>, Duration)>,
}

impl Asker {
    /// Chooses the way. The gateway is asked at this address, if there is one.
    ///
    /// # Errors
    /// If the key can't be sent.
    pub(super) fn new(
        session: &Session<'_>,
        layout: &Layout,
        gateway: Option<SocketAddr>,
    ) -> Result<Self> {
        let key = session.environment.admin_key().ok();
        let gateway = match gateway.filter(|_| session.engine.is_local()).zip(key) {
            Some((address, key)) => {
                let client = Client::new(address, &key).map_err(anyhow::Error::from)?;
                let services = (!layout.is_whole).then(|| {
                    layout.containers.iter().map(|wanted| wanted.service.clone()).collect()
                });
                Some(Gateway { client: client.waiting(ANSWER_WAIT_MAX), services })
            }
            None => None,
        };
        let checked = layout.containers.iter().filter(|wanted| !wanted.is_job);
        let check = |wanted: &WantedContainer| Check {
            name: wanted.name.clone(),
            service: wanted.service.clone(),
            is_covered: is_covered(wanted, layout),
            health: wanted.what.healthcheck.as_ref().and_then(command),
        };
        Ok(Self {
            checks: checked.map(check).collect(),
            gateway,
            engine: session.engine.clone(),
            project: session.project_name.clone(),
            since: Instant::now(),
        })
    }

    /// Asks once, after a pause.
    pub(super) async fn ask(&self, pause: Duration) -> Answer {
        sleep(pause).await;
        let known = match &self.gateway {
            Some(gateway) => gateway.ask().await,
            None => Ok(BTreeSet::new()),
        };
        match known {
            Ok(known) => self.ask_engine(&known).await,
            Err(reason) => Answer::NotYet { reason, pause: ASK_EVERY },
        }
    }

    /// Asks the engine about the containers of which the gateway does not know.
    async fn ask_engine(&self, known: &BTreeSet<String>) -> Answer {
        let checks = self.checks.iter();
        let mut checks =
            checks.filter(|check| !check.is_covered || !known.contains(&check.service)).peekable();
        if checks.peek().is_none() {
            return Answer::Ready;
        }
        let seen = match observed::containers(&self.engine, &self.project).await {
            Ok(seen) => seen,
            Err(error) => {
                return Answer::NotYet { reason: error.to_string(), pause: RUN_EVERY };
            }
        };
        let asked = checks.map(async |check| {
            let seen = seen.iter().find(|seen| seen.name() == check.name);
            let reason = match seen {
                Some(seen) => self.reason(check, seen).await?,
                None => "it does not exist".into(),
            };
            Some(format!("{} ({reason})", check.service))
        });
        let unready: Vec<String> = join_all(asked).await.into_iter().flatten().collect();
        match unready.is_empty() {
            true => Answer::Ready,
            false => {
                let reason = format!("not ready: {}", unready.join(", "));
                Answer::NotYet { reason, pause: RUN_EVERY }
            }
        }
    }

    /// Returns why a container is not ready; `None` if it is.
    async fn reason(&self, check: &Check, seen: &ObservedContainer) -> Option<String> {
        if seen.container.state != State::Running {
            return Some(seen.container.status.to_lowercase());
        }
        if let Some((command, wait_max)) = &check.health {
            return match timeout(*wait_max, self.engine.run_quietly(seen.id(), command)).await {
                Ok(Ok(0)) => None,
                Ok(Ok(code)) => Some(format!("its health check ends with exit code {code}")),
                Ok(Err(error)) => Some(format!("its health check does not run: {error}")),
                Err(_) => Some(format!(
                    "its health check takes more than {}",
                    humantime::format_duration(*wait_max)
                )),
            };
        }
        // A health check of its image, whose command is not known here.
        match seen.container.health() {
            Some(Healthy::Yes) => None,
            Some(Healthy::No) => Some("unhealthy".into()),
            Some(Healthy::Starting) => Some("its health check has not passed yet".into()),
            None => self.reason_of_age(seen).await,
        }
    }

    /// Returns why a container without a health check is not ready: it has started only just.
    async fn reason_of_age(&self, seen: &ObservedContainer) -> Option<String> {
        let inspected = match self.engine.inspect_container(seen.id()).await {
            Ok(inspected) => inspected,
            Err(error) => return Some(error.to_string()),
        };
        let now = Timestamp::now();
        // Another machine has another clock.
        let is_comparable = |at: &Timestamp| self.engine.is_local() && *at <= now;
        let lived = match inspected.started_at.filter(is_comparable) {
            Some(started_at) => now.since(started_at),
            None => self.since.elapsed(),
        };
        match inspected.restarts {
            0 => (lived < LIVED_MIN).then(|| "just started".into()),
            _ => (lived < LIVED_MIN_AGAIN).then(|| "just restarted".into()),
        }
    }
}

impl Gateway {
    /// Returns the services that it knows, itself included, if all that matter are ready; else the reason why not.
    async fn ask(&self) -> Result<BTreeSet<String>, String> {
        match self.client.get::<Status>("/v1/status").await {
            Ok(status) => match judged(&status, self.services.as_ref()) {
                None => Ok(status.services.into_keys().chain([GATEWAY.to_owned()]).collect()),
                Some(reason) => Err(reason),
            },
            Err(
                error @ (ClientError::Refused { .. }
                | ClientError::Unproven(_)
                | ClientError::Unreadable { .. }),
            ) => Err(error.to_string()),
            Err(ClientError::Late { .. }) => Err("the gateway does not answer".into()),
            Err(_) => Err("the gateway does not listen yet".into()),
        }
    }
}

/// Returns why not all services that matter are ready; `None` if they are.
fn judged(status: &Status, services: Option<&BTreeSet<String>>) -> Option<String> {
    let matters = |name: &String| services.is_none_or(|services| services.contains(name));
    let unready = status.services.iter().filter(|(name, service)| matters(name) && !service.ready);
    let reported: Vec<String> = unready
        .map(|(name, service)| match &service.reason {
            Some(reason) => format!("{name} ({reason})"),
            None => name.clone(),
        })
        .collect();
    match (reported.is_empty(), status.ready || services.is_some()) {
        (true, true) => None,
        (true, false) => Some("the gateway is not ready".into()),
        (false, _) => Some(format!("not ready: {}", reported.join(", "))),
    }
}

/// Returns whether the gateway's answer about its service covers a container: the gateway asks one container of each
/// service, and what it asks is what the health check of Chefcito's own programs asks.
fn is_covered(wanted: &WantedContainer, layout: &Layout) -> bool {
    let of_service = layout.containers.iter().filter(|other| other.service == wanted.service);
    let own = ["CMD".to_owned(), format!("/{}", wanted.service), "--health".to_owned()];
    let test = wanted.what.healthcheck.as_ref().and_then(|health| health.test.as_ref());
    of_service.count() == 1 && test.is_none_or(|test| *test == own || *test == ["NONE"])
}

/// Returns the command of a health check, if it has one, and how long it may take.
fn command(health: &Health) -> Option<(Vec<String>, Duration)> {
    let command = match health.test.as_deref()? {
        [kind, command @ ..] if kind == "CMD" && !command.is_empty() => command.to_vec(),
        [kind, command] if kind == "CMD-SHELL" => {
            vec!["/bin/sh".into(), "-c".into(), command.clone()]
        }
        _ => return None,
    };
    // For the engine, 0 is as nothing.
    let wait_max = health.timeout.filter(|wait_max| !wait_max.is_zero());
    Some((command, wait_max.unwrap_or(CHECK_WAIT_MAX)))
}
