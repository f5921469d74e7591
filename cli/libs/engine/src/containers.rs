//! Lists, starts, stops and removes containers. [`making`](super::making) creates them.

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

/// How long the removal of a container by another client may take.
const REMOVAL_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often that is checked.
const REMOVAL_LOOK_EVERY: Duration = Duration::from_millis(20);

/// A container in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its full id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The reference of its image.
    pub image: String,
    /// The id of that image.
    pub image_id: String,
    /// Its state.
    pub state: State,
    /// The engine's text for it: `Up 3 seconds (healthy)`.
    pub status: String,
    /// When it was created, in seconds since 1970.
    pub created_at: i64,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// Its published ports.
    pub ports: Vec<Published>,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    /// The host's address, if the engine reports it.
    pub ip: Option<IpAddr>,
    /// The host's port.
    pub port: u16,
    /// The container's port.
    pub target: u16,
}

/// The state of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It was never started.
    Created,
    /// It runs.
    Running,
    /// It is paused.
    Paused,
    /// It has ended, and the engine is about to restart it.
    Restarting,
    /// It has ended.
    Exited {
        /// Its exit code.
        code: i64,
    },
    /// It is being removed, or could not be removed.
    Dead,
}

impl State {
    /// Returns whether it has a process.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// The health of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Healthy {
    /// No check has run, or its start period is not over.
    Starting,
    /// It is healthy.
    Yes,
    /// It is unhealthy.
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

    /// Returns its health, if it has a health check.
    pub fn health(&self) -> Option<Healthy> {
        [
            ("(healthy)", Healthy::Yes),
            ("(unhealthy)", Healthy::No),
            ("(health: starting)", Healthy::Starting),
        ]
        .into_iter()
        .find_map(|(words, health)| self.status.contains(words).then_some(health))
    }
}

/// Parses the code of `Exited (137) 5 minutes ago`, the only field of a listing that has it.
fn exit_code(status: &str) -> i64 {
    let code = status.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    code.and_then(|(code, _)| code.parse().ok()).unwrap_or(-1)
}

impl Engine {
    /// Returns all containers, running or not, with all these labels, `name=value` or `name`.
    ///
    /// # Errors
    /// [`EngineError`] if the request fails, as everywhere here.
    pub async fn containers(&self, labels: &[String]) -> Result<Vec<Container>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), labels.to_vec())]);
        self.list(filters).await
    }

    /// Returns the containers that publish a port of the host.
    ///
    /// # Errors
    /// The refusal of the engine, or that it does not answer.
    pub async fn containers_at_port(&self, port: u16) -> Result<Vec<Container>, EngineError> {
        // Podman has no filter for it.
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

    /// Starts a container. One that runs already is not an error.
    ///
    /// # Errors
    /// The refusal of the engine, or that it does not answer.
    pub async fn start_container(&self, id: &str, name: &str) -> Result<(), EngineError> {
        let started = self
            .docker
            .start_container(id, None::<bollard::query_parameters::StartContainerOptions>)
            .await;
        started.map_err(self.could_not(|| format!("start {name}")))
    }

    /// Resumes a paused container.
    ///
    /// # Errors
    /// The refusal of the engine, or that it does not answer.
    pub async fn resume_container(&self, id: &str, name: &str) -> Result<(), EngineError> {
        let resumed = self.docker.unpause_container(id).await;
        resumed.map_err(self.could_not(|| format!("resume {name}")))
    }

    /// Stops a container, whatever its restart policy is, and kills it after its grace period. One that has ended is
    /// not an error.
    ///
    /// # Errors
    /// The refusal of the engine, or that it does not answer.
    pub async fn stop_container(&self, id: &str, name: &str) -> Result<(), EngineError> {
        let patient = self.docker.clone().with_timeout(FOR_EVER);
        let stopped = patient
            .stop_container(id, None::<StopContainerOptions>)
            .await
            .map_err(self.could_not(|| format!("stop {name}")));
        unless_gone(stopped)
    }

    /// Waits for the end of a container, and returns its exit code.
    ///
    /// # Errors
    /// The refusal of the engine, or that it does not answer.
    pub async fn wait_for_end(&self, id: &str, name: &str) -> Result<i64, EngineError> {
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

    /// Removes a container, running or not, and its anonymous volumes, and waits until it is gone. A missing one is not
    /// an error.
    ///
    /// # Errors
    /// The refusal of the engine, or that it does not answer.
    pub async fn remove_container(&self, id: &str) -> Result<(), EngineError> {
        let since = Instant::now();
        loop {
            let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
            let removed = self.docker.remove_container(id, Some(options)).await;
            let what = || format!("remove the container {}", id.get(..12).unwrap_or(id));
            match unless_gone(removed.map_err(self.could_not(what))) {
                // Another client is removing it, or the engine itself, if the container is removed at its end.
                Err(error) if is_being_removed(&error) && since.elapsed() < REMOVAL_WAIT_MAX => {
                    sleep(REMOVAL_LOOK_EVERY).await;
                }
                answer => return answer,
            }
        }
    }

    /// Returns the details of a container.
    ///
    /// # Errors
    /// The refusal of the engine, or that it does not answer.
    pub async fn inspect_container(&self, id: &str) -> Result<Inspected, EngineError> {
        let inspected = self
            .docker
            .inspect_container(id, None::<bollard::query_parameters::InspectContainerOptions>)
            .await
            .map_err(self.could_not(|| format!("inspect the container {id}")))?;
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

/// Details of a container that a listing does not have.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// How often the engine restarted it.
    pub restarts: i64,
    /// When it last started.
    pub started_at: Option<contracts::Timestamp>,
    /// Whether it has a process. Unlike in a listing, this is up to date.
    pub is_running: bool,
    /// The exit code of its last end.
    pub exit_code: i64,
    /// Whether it ran out of memory.
    pub oom_killed: bool,
    /// The error that prevented its start.
    pub error: Option<String>,
}

/// Treats an unchanged or missing container as success.
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
    fn a_listing_has_the_exit_code_and_the_health_of_a_container() {
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
