//! Containers: listed, started, stopped, removed. How they are made is told in [`making`](super::making).

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use bollard::{
    models::{ContainerSummary, ContainerSummaryStateEnum},
    query_parameters::{
        ListContainersOptions, RemoveContainerOptions, StopContainerOptions, WaitContainerOptions,
    },
};
use futures_util::StreamExt;
use tokio::time::sleep;

use super::{Engine, errors::EngineError, events::FOR_EVER};

/// How long a container may take to go that somebody else is removing.
const REMOVAL_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often it is looked whether it is gone.
const REMOVAL_LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a listing tells of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    /// Its id, in whole.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// The image that it was made of, as it was named.
    pub(crate) image: String,
    /// The id of that image.
    pub(crate) image_id: String,
    /// What it is doing.
    pub(crate) state: State,
    /// The engine's own words for it: `Up 3 seconds (healthy)`.
    pub(crate) status: String,
    /// When it was made, in seconds since 1970.
    pub(crate) created_at: i64,
    /// Its labels.
    pub(crate) labels: HashMap<String, String>,
    /// Ports of the host that lead to it.
    pub(crate) ports: Vec<Published>,
}

/// A port of the host that leads to a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Published {
    /// The host's address, if it is told.
    pub(crate) ip: Option<IpAddr>,
    /// The host's port.
    pub(crate) port: u16,
    /// The container's port.
    pub(crate) target: u16,
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It was never started.
    Created,
    /// It runs.
    Running,
    /// It runs, and stands still.
    Paused,
    /// It has ended, and is about to be started again.
    Restarting,
    /// It has ended.
    Exited {
        /// Its exit code.
        code: i64,
    },
    /// It is being removed, or can't be.
    Dead,
}

impl State {
    /// Returns whether there is a process.
    pub(crate) const fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// How the engine finds a container's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Healthy {
    /// It has not looked yet, or gives it time.
    Starting,
    /// It is well.
    Yes,
    /// It is not.
    No,
}

impl Container {
    fn read(summary: ContainerSummary) -> Self {
        let status = summary.status.unwrap_or_default();
        let state = match summary.state {
            Some(ContainerSummaryStateEnum::CREATED) => State::Created,
            Some(ContainerSummaryStateEnum::RUNNING) => State::Running,
            Some(ContainerSummaryStateEnum::PAUSED) => State::Paused,
            Some(ContainerSummaryStateEnum::RESTARTING) => State::Restarting,
            Some(ContainerSummaryStateEnum::EXITED) => State::Exited { code: exit_code(&status) },
            _ => State::Dead,
        };
        let name = summary.names.unwrap_or_default().into_iter().next().unwrap_or_default();
        let published = |port: bollard::models::PortSummary| {
            Some(Published {
                ip: port.ip.and_then(|ip| ip.parse().ok()),
                port: port.public_port?,
                target: port.private_port,
            })
        };
        let mut ports: Vec<Published> =
            summary.ports.unwrap_or_default().into_iter().filter_map(published).collect();
        ports.sort();
        Self {
            id: summary.id.unwrap_or_default(),
            name: name.trim_start_matches('/').to_owned(),
            image: summary.image.unwrap_or_default(),
            image_id: summary.image_id.unwrap_or_default(),
            state,
            status,
            created_at: summary.created.unwrap_or_default(),
            labels: summary.labels.unwrap_or_default(),
            ports,
        }
    }

    /// Returns its health, if the engine looks after it.
    pub(crate) fn health(&self) -> Option<Healthy> {
        [
            ("(healthy)", Healthy::Yes),
            ("(unhealthy)", Healthy::No),
            ("(health: starting)", Healthy::Starting),
        ]
        .into_iter()
        .find_map(|(words, health)| self.status.contains(words).then_some(health))
    }
}

/// Reads the code out of `Exited (137) 5 minutes ago`: a listing tells it nowhere else.
fn exit_code(status: &str) -> i64 {
    let code = status.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    code.and_then(|(code, _)| code.parse().ok()).unwrap_or(-1)
}

impl Engine {
    /// Returns all containers, running or not, that have all these labels, `name=value` or `name`.
    ///
    /// # Errors
    /// [`EngineError`], as everything here.
    pub(crate) async fn containers(
        &self,
        labels: &[String],
    ) -> Result<Vec<Container>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), labels.to_vec())]);
        self.list(filters).await
    }

    /// Returns the containers that a port of the host leads to.
    pub(crate) async fn containers_at_port(
        &self,
        port: u16,
    ) -> Result<Vec<Container>, EngineError> {
        // Podman knows no filter for it.
        let mut all = self.list(HashMap::new()).await?;
        all.retain(|container| container.ports.iter().any(|published| published.port == port));
        Ok(all)
    }

    async fn list(
        &self,
        filters: HashMap<String, Vec<String>>,
    ) -> Result<Vec<Container>, EngineError> {
        let options =
            ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let list = self
            .docker
            .list_containers(Some(options))
            .await
            .map_err(self.could_not(|| "list the containers".into()))?;
        Ok(list.into_iter().map(Container::read).collect())
    }

    /// Starts a container. One that runs already is fine.
    pub(crate) async fn start_container(&self, id: &str, name: &str) -> Result<(), EngineError> {
        let started = self
            .docker
            .start_container(id, None::<bollard::query_parameters::StartContainerOptions>)
            .await;
        started.map_err(self.could_not(|| format!("start {name}")))
    }

    /// Lets a container go on that was paused.
    pub(crate) async fn resume_container(&self, id: &str, name: &str) -> Result<(), EngineError> {
        let resumed = self.docker.unpause_container(id).await;
        resumed.map_err(self.could_not(|| format!("resume {name}")))
    }

    /// Asks a container to end, whatever its restart policy is, gives it the time that it was made with, and kills it. One
    /// that has ended is fine.
    pub(crate) async fn stop_container(&self, id: &str, name: &str) -> Result<(), EngineError> {
        let patient = self.docker.clone().with_timeout(FOR_EVER);
        let stopped = patient
            .stop_container(id, None::<StopContainerOptions>)
            .await
            .map_err(self.could_not(|| format!("stop {name}")));
        unless_gone(stopped)
    }

    /// Waits until a container does not run, and returns its exit code.
    pub(crate) async fn wait_for_end(&self, id: &str, name: &str) -> Result<i64, EngineError> {
        let patient = self.docker.clone().with_timeout(FOR_EVER);
        let options = WaitContainerOptions { condition: "not-running".into() };
        let mut ends = Box::pin(patient.wait_container(id, Some(options)));
        match ends.next().await {
            Some(Ok(end)) => Ok(end.status_code),
            Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(error)) => {
                Err(self.could_not(|| format!("wait for the end of {name}"))(error))
            }
            None => Ok(self.inspect_container(id).await?.exit_code),
        }
    }

    /// Removes a container, running or not, and its nameless volumes, and waits until it is gone. One that is gone is fine.
    pub(crate) async fn remove_container(&self, id: &str) -> Result<(), EngineError> {
        let since = Instant::now();
        loop {
            let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
            let removed = self.docker.remove_container(id, Some(options)).await;
            let what = || format!("remove the container {}", id.get(..12).unwrap_or(id));
            match unless_gone(removed.map_err(self.could_not(what))) {
                // Somebody else is just removing it: the engine itself, where it was made to go at its end.
                Err(error) if is_being_removed(&error) && since.elapsed() < REMOVAL_WAIT_MAX => {
                    sleep(REMOVAL_LOOK_EVERY).await;
                }
                answer => return answer,
            }
        }
    }

    /// Returns what only a closer look tells.
    pub(crate) async fn inspect_container(&self, id: &str) -> Result<Inspected, EngineError> {
        let inspected = self
            .docker
            .inspect_container(id, None::<bollard::query_parameters::InspectContainerOptions>)
            .await
            .map_err(self.could_not(|| format!("look at the container {id}")))?;
        let state = inspected.state.unwrap_or_default();
        Ok(Inspected {
            restarts: inspected.restart_count.unwrap_or_default(),
            started_at: state.started_at.and_then(|time| time.parse().ok()),
            is_running: state.running.unwrap_or_default(),
            exit_code: state.exit_code.unwrap_or_default(),
            oom_killed: state.oom_killed.unwrap_or_default(),
            error: state.error.filter(|error| !error.is_empty()),
        })
    }
}

/// What only a closer look at a container tells.
#[derive(Clone, Debug)]
pub(crate) struct Inspected {
    /// How often the engine started it again.
    pub(crate) restarts: i64,
    /// When it was started last.
    pub(crate) started_at: Option<contracts::Timestamp>,
    /// Whether it has a process. This is never out of date, as a listing may be.
    pub(crate) is_running: bool,
    /// The exit code of its last end.
    pub(crate) exit_code: i64,
    /// Whether it ended for lack of memory.
    pub(crate) oom_killed: bool,
    /// What kept it from starting.
    pub(crate) error: Option<String>,
}

/// Takes what was so already, or is gone, as done.
fn unless_gone(result: Result<(), EngineError>) -> Result<(), EngineError> {
    match result {
        Err(error) if error.is_not_found() || error.is_not_modified() => Ok(()),
        result => result,
    }
}

fn is_being_removed(error: &EngineError) -> bool {
    error.is_conflict()
        && error.message().is_some_and(|message| message.contains("already in progress"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_tells_how_a_container_ended_and_how_it_is() {
        let listed = |state, status: &str| {
            Container::read(ContainerSummary {
                state: Some(state),
                status: Some(status.into()),
                names: Some(vec!["/chefcito-kitchen-1".into()]),
                ..Default::default()
            })
        };
        let ended = listed(ContainerSummaryStateEnum::EXITED, "Exited (137) 5 minutes ago");
        assert_eq!(
            (ended.state, ended.name.as_str()),
            (State::Exited { code: 137 }, "chefcito-kitchen-1")
        );
        let running = |status| listed(ContainerSummaryStateEnum::RUNNING, status).health();
        assert_eq!(running("Up 2 hours"), None);
        assert_eq!(running("Up 2 hours (healthy)"), Some(Healthy::Yes));
        assert_eq!(running("Up 2 hours (unhealthy)"), Some(Healthy::No));
        assert_eq!(running("Up 1 second (health: starting)"), Some(Healthy::Starting));
    }
}
