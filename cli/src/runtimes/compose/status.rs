//! The state of each container, for `status`.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use contracts::Timestamp;
use engine::{
    Engine,
    containers::{Healthy, Published, State},
    stats::Sample,
};
use futures_util::future::{join_all, try_join_all};
use serde::Serialize;
use tokio::time::sleep;

use super::{observed, session::engine_of};
use crate::{error::Result, state::Environment};

/// The time between the two samples of a first read. The counters have nanoseconds, so that a short time is exact enough.
const WATCHED_FOR: Duration = Duration::from_millis(100);

/// A container, as `status` shows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ContainerStatus {
    /// Its name.
    pub(crate) name: String,
    /// Its service.
    pub(crate) service: String,
    /// Its number among the service's containers, from 1.
    pub(crate) number: u32,
    /// Its state: `running`, `exited`, and so on.
    pub(crate) state: &'static str,
    /// Its exit code, once it has ended.
    pub(crate) exit_code: Option<i64>,
    /// The result of its health check; `None` without one.
    pub(crate) health: Option<&'static str>,
    /// How often the engine restarted it.
    pub(crate) restarts: i64,
    /// When it last started.
    pub(crate) started_at: Option<Timestamp>,
    /// Ports of the host that lead to it, `127.0.0.1:7373→8080`.
    pub(crate) ports: Vec<String>,
    /// Its image, with its tag.
    pub(crate) image: String,
    /// Its share of one processor, in percent.
    pub(crate) cpu_percent: Option<f64>,
    /// Its memory.
    pub(crate) memory_bytes: Option<u64>,
    /// Its memory limit.
    pub(crate) memory_limit_bytes: Option<u64>,
}

/// Returns the services with a container that has failed or does not run, each with its state. A container that has ended
/// with exit code 0 may be a job.
pub(crate) fn unready(containers: &[ContainerStatus]) -> BTreeMap<String, String> {
    let reason = |container: &ContainerStatus| match (container.state, container.exit_code) {
        ("running", _) if container.health == Some("unhealthy") => Some("unhealthy".to_owned()),
        ("running", _) | ("exited", Some(0)) => None,
        ("exited", Some(code)) => Some(format!("exit code {code}")),
        (state, _) => Some(state.to_owned()),
    };
    containers
        .iter()
        .filter_map(|container| Some((container.service.clone(), reason(container)?)))
        .collect()
}

/// Reads the state of containers repeatedly. A read compares processor time with the one before.
#[derive(Debug)]
pub(crate) struct ContainerStatusReader {
    engine: Engine,
    project: String,
    with_stats: bool,
    samples: HashMap<String, Sample>,
}

impl ContainerStatusReader {
    /// Finds the engine of an environment.
    ///
    /// # Errors
    /// [`crate::error::CliError::NoEngine`] if none answers.
    pub(crate) async fn new(environment: &Environment, with_stats: bool) -> Result<Self> {
        let engine = engine_of(environment).await?;
        let project = environment.name().to_string();
        Ok(Self { engine, project, with_stats, samples: HashMap::new() })
    }

    /// Returns the address of the engine.
    pub(crate) fn engine(&self) -> &str {
        self.engine.host()
    }

    /// Reads the state of all containers of the environment, with the processor time since the last read.
    ///
    /// # Errors
    /// The engine's refusal.
    pub(crate) async fn read(&mut self) -> Result<Vec<ContainerStatus>> {
        let mut seen = observed::containers(&self.engine, &self.project).await?;
        seen.retain(|seen| !seen.is_one_off);
        let inspected =
            try_join_all(seen.iter().map(|seen| self.engine.inspect_container(seen.id())));
        let samples = async {
            if !self.with_stats {
                return Vec::new();
            }
            if self.samples.is_empty() {
                self.samples = sample(&self.engine, &seen).await;
                sleep(WATCHED_FOR).await;
            }
            let now = sample(&self.engine, &seen).await;
            let of = |seen: &observed::ObservedContainer| {
                Some((*now.get(seen.id())?, self.samples.get(seen.id()).copied()))
            };
            let pairs: Vec<_> = seen.iter().map(of).collect();
            self.samples = now;
            pairs
        };
        let (inspected, samples) = tokio::join!(inspected, samples);
        let mut samples = samples.into_iter();
        let statuses = seen.iter().zip(inspected?).map(|(seen, inspected)| {
            let sample = samples.next().flatten();
            let container = &seen.container;
            ContainerStatus {
                name: seen.name().to_owned(),
                service: seen.service.clone(),
                number: seen.number,
                state: word(container.state),
                exit_code: match container.state {
                    State::Exited { code } => Some(code),
                    _ => None,
                },
                health: container.health().map(|health| match health {
                    Healthy::Yes => "healthy",
                    Healthy::No => "unhealthy",
                    Healthy::Starting => "starting",
                }),
                restarts: inspected.restarts,
                started_at: inspected.started_at,
                ports: container.ports.iter().map(port).collect(),
                image: container.image.clone(),
                cpu_percent: sample.and_then(|(now, before)| Some(now.cpu_percent(&before?))),
                memory_bytes: sample.map(|(now, _)| now.memory_bytes),
                memory_limit_bytes: sample.map(|(now, _)| now.memory_limit_bytes),
            }
        });
        Ok(statuses.collect())
    }
}

async fn sample(engine: &Engine, seen: &[observed::ObservedContainer]) -> HashMap<String, Sample> {
    let running = seen.iter().filter(|seen| seen.container.state.is_up());
    let samples = running.map(async |seen| {
        // A container that has just ended has none.
        Some((seen.id().to_owned(), engine.sample(seen.id()).await.ok()??))
    });
    join_all(samples).await.into_iter().flatten().collect()
}

const fn word(state: State) -> &'static str {
    match state {
        State::Created => "created",
        State::Running => "running",
        State::Paused => "paused",
        State::Restarting => "restarting",
        State::Exited { .. } => "exited",
        State::Dead => "dead",
    }
}

fn port(published: &Published) -> String {
    match published.ip {
        Some(ip) => format!("{ip}:{}→{}", published.port, published.target),
        None => format!("{}→{}", published.port, published.target),
    }
}
