//! The logs of an environment's containers, merged by the time in each line, or else by the time at which the engine
//! received it.

mod follow;

use std::collections::BTreeSet;

use contracts::Timestamp;
use engine::{Engine, logs::Wanted};
use logs::streams::{Followers, Merged, Resume, Writer};

pub(crate) use self::follow::Following;
use super::{
    labels,
    observed::{self, ObservedContainer},
    ready::Watch,
    session::engine_of,
};
use crate::{
    error::{CliError, Result},
    state::Environment,
};

/// The containers whose logs are read.
#[derive(Debug)]
pub(crate) struct ContainerLogs {
    engine: Engine,
    environment: Environment,
    /// The services to show; empty for all.
    services: BTreeSet<String>,
    containers: Vec<ObservedContainer>,
    watch: Watch,
}

impl ContainerLogs {
    /// Finds the containers of some services, or of all. Notes their events from now on.
    ///
    /// # Errors
    /// [`CliError::NotRunning`] if there are none; [`CliError::UnknownService`].
    pub(crate) async fn open(environment: &Environment, services: &[String]) -> Result<Self> {
        let engine = engine_of(environment).await?;
        let project = environment.name().to_string();
        let watch = Watch::begin(&engine, &project);
        let mut containers = observed::containers(&engine, &project).await?;
        containers.retain(|seen| !seen.is_one_off);
        if containers.is_empty() {
            return Err(CliError::NotRunning { name: environment.name().clone() });
        }
        let known: BTreeSet<&str> = containers.iter().map(|seen| seen.service.as_str()).collect();
        if let Some(unknown) = services.iter().find(|service| !known.contains(service.as_str())) {
            return Err(CliError::unknown_service(unknown, known));
        }
        let services: BTreeSet<String> = services.iter().cloned().collect();
        containers.retain(|seen| services.is_empty() || services.contains(&seen.service));
        Ok(Self { engine, environment: environment.clone(), services, containers, watch })
    }

    /// Returns the lines up to now: all, or a number of each container.
    pub(crate) fn printed(
        &self,
        since: Option<Timestamp>,
        tail: Option<usize>,
    ) -> Merged<CliError> {
        let wanted = Wanted { since, tail, follow: false };
        let streams = self
            .containers
            .iter()
            .map(|seen| (self.writer(seen), self.engine.logs(seen.id(), wanted)));
        Merged::new(streams, &Resume::at(since).only_last(tail))
    }

    /// Continues after the lines that were read.
    pub(crate) fn follow(self, read: Merged<CliError>) -> Following {
        let mut positions = read.positions();
        let mut followers = Followers::new();
        for seen in &self.containers {
            followers.add(self.writer(seen), positions.remove(seen.id()).unwrap_or_default());
        }
        let running = self.containers.iter().filter(|seen| seen.container.state.is_up());
        let running: Vec<String> = running.map(|seen| seen.id().to_owned()).collect();
        let mut following =
            Following::new(self.engine, self.environment, self.services, self.watch, followers);
        running.iter().for_each(|id| following.listen(id));
        following
    }

    fn writer(&self, seen: &ObservedContainer) -> Writer {
        let alike = self.containers.iter().filter(|other| other.service == seen.service).count();
        writer(seen.id(), &seen.service, (alike > 1).then_some(seen.number))
    }
}

/// Returns the writer of a container; with a number if its service has several.
fn writer(id: &str, service: &str, number: Option<u32>) -> Writer {
    let writer = Writer::new(id, service);
    match number {
        Some(number) => writer.which("replica", number),
        None => writer,
    }
}

/// Returns the writer of a container that started, from the engine's event.
fn writer_of_event(
    id: &str,
    attributes: &std::collections::HashMap<String, String>,
) -> Option<Writer> {
    if attributes.get(labels::ONE_OFF).is_some_and(|one_off| one_off == "True") {
        return None;
    }
    let number = attributes.get(labels::NUMBER)?.parse().ok();
    let service = attributes.get(labels::SERVICE)?;
    Some(writer(id, service, number.filter(|number| *number > 1)))
}
