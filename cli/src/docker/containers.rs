//! Containers: listed, made, started, stopped, removed.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use bollard::{
    models::{
        ContainerCreateBody, ContainerSummary, ContainerSummaryStateEnum, EndpointSettings,
        HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType, NetworkConnectRequest,
        NetworkingConfig, PortBinding, RestartPolicy, RestartPolicyNameEnum,
    },
    query_parameters::{
        CreateContainerOptions, ListContainersOptions, RemoveContainerOptions,
        StopContainerOptions, WaitContainerOptions,
    },
};

use futures_util::StreamExt;

use super::{Engine, errors::EngineError, events::FOR_EVER};
use crate::blueprint::{self, Health, MountKind, Restart, Service};

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

/// A container to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewContainer<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// What it is.
    pub(crate) service: &'a Service,
    /// Its labels.
    pub(crate) labels: HashMap<String, String>,
    /// The engine's names of its networks, each with the names that it has there.
    pub(crate) networks: Vec<(String, Vec<String>)>,
    /// What the engine's names of its volumes begin with.
    pub(crate) volume_prefix: &'a str,
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

    /// Makes a container, on all its networks, and returns its id. It does not run yet.
    pub(crate) async fn create_container(
        &self,
        new: &NewContainer<'_>,
    ) -> Result<String, EngineError> {
        let options = CreateContainerOptions { name: Some(new.name.into()), ..Default::default() };
        let created = self
            .docker
            .create_container(Some(options), self.body(new))
            .await
            .map_err(self.could_not(|| format!("create the container {}", new.name)))?;
        // Engines before API 1.44 take one network at the making.
        for (network, aliases) in new.networks.iter().skip(1) {
            let request = NetworkConnectRequest {
                container: created.id.clone(),
                endpoint_config: Some(endpoint(aliases)),
            };
            let connected = self.docker.connect_network(network, request).await;
            if let Err(error) = connected {
                let what = || format!("connect {} to the network {network}", new.name);
                let error = self.could_not(what)(error);
                let _gone = self.remove_container(&created.id).await;
                return Err(error);
            }
        }
        Ok(created.id)
    }

    fn body(&self, new: &NewContainer<'_>) -> ContainerCreateBody {
        let service = new.service;
        let non_empty = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
        let exposed = service.ports.iter().map(key).chain(
            service
                .expose
                .iter()
                .map(|port| if port.contains('/') { port.clone() } else { format!("{port}/tcp") }),
        );
        let environment =
            service.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let first = new.networks.first();
        ContainerCreateBody {
            image: Some(service.image.clone()),
            hostname: service.hostname.clone(),
            user: service.user.clone(),
            working_dir: service.working_dir.clone(),
            entrypoint: service.entrypoint.clone(),
            cmd: service.command.clone(),
            env: Some(environment),
            exposed_ports: Some(exposed.collect()),
            labels: Some(new.labels.clone()),
            healthcheck: service.healthcheck.as_ref().map(|health| self.health(health)),
            stop_signal: service.stop_signal.clone(),
            stop_timeout: service.stop_grace_period.map(seconds),
            host_config: Some(HostConfig {
                network_mode: Some(first.map_or_else(|| "none".into(), |(name, _)| name.clone())),
                port_bindings: Some(bindings(service)),
                mounts: Some(mounts(new)),
                tmpfs: (!service.tmpfs.is_empty())
                    .then(|| service.tmpfs.clone().into_iter().collect()),
                restart_policy: Some(policy(service.restart)),
                readonly_rootfs: Some(service.read_only),
                init: service.init.then_some(true),
                cap_add: non_empty(&service.cap_add),
                cap_drop: non_empty(&service.cap_drop),
                security_opt: non_empty(&service.security_opt),
                group_add: non_empty(&service.group_add),
                extra_hosts: non_empty(&service.extra_hosts),
                memory: service.mem_limit.and_then(|bytes| i64::try_from(bytes).ok()),
                nano_cpus: service.nano_cpus.and_then(|cpus| i64::try_from(cpus).ok()),
                pids_limit: service.pids_limit,
                shm_size: service.shm_size.and_then(|bytes| i64::try_from(bytes).ok()),
                log_config: service.logging.as_ref().map(|logging| HostConfigLogConfig {
                    typ: Some(logging.driver.clone()),
                    config: Some(logging.options.clone().into_iter().collect()),
                }),
                ..Default::default()
            }),
            networking_config: first.map(|(name, aliases)| NetworkingConfig {
                endpoints_config: Some(HashMap::from([(name.clone(), endpoint(aliases))])),
            }),
            ..Default::default()
        }
    }

    fn health(&self, health: &Health) -> HealthConfig {
        /// The first engines that look more often while a container starts.
        const START_INTERVAL: super::Api = super::Api { major: 1, minor: 44 };
        let start_interval = health.start_interval.filter(|_| self.api() >= START_INTERVAL);
        HealthConfig {
            test: health.test.clone(),
            interval: health.interval.map(nanoseconds),
            timeout: health.timeout.map(nanoseconds),
            retries: health.retries.map(i64::from),
            start_period: health.start_period.map(nanoseconds),
            start_interval: start_interval.map(nanoseconds),
        }
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

    /// Removes a container, running or not, and its nameless volumes. One that is gone is fine.
    pub(crate) async fn remove_container(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        let removed = self.docker.remove_container(id, Some(options)).await;
        let what = || format!("remove the container {}", id.get(..12).unwrap_or(id));
        let removed = unless_gone(removed.map_err(self.could_not(what)));
        match removed {
            // Somebody else is just removing it.
            Err(error)
                if error.is_conflict()
                    && error.message().is_some_and(|m| m.contains("already in progress")) =>
            {
                Ok(())
            }
            answer => answer,
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

fn key(port: &blueprint::Port) -> String {
    format!("{}/{}", port.target, port.protocol.name())
}

fn bindings(service: &Service) -> HashMap<String, Option<Vec<PortBinding>>> {
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in &service.ports {
        let binding = PortBinding {
            host_ip: port.host_ip.map(|ip| ip.to_string()),
            host_port: Some(port.published.unwrap_or_default().to_string()),
        };
        bindings.entry(key(port)).or_default().get_or_insert_default().push(binding);
    }
    bindings
}

fn mounts(new: &NewContainer<'_>) -> Vec<Mount> {
    let mount = |mount: &blueprint::Mount| Mount {
        typ: Some(match mount.kind {
            MountKind::Volume => MountType::VOLUME,
            MountKind::Bind => MountType::BIND,
        }),
        source: mount.source.as_ref().map(|source| match mount.kind {
            MountKind::Volume => format!("{}{source}", new.volume_prefix),
            MountKind::Bind => source.clone(),
        }),
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        ..Default::default()
    };
    new.service.mounts.iter().map(mount).collect()
}

fn endpoint(aliases: &[String]) -> EndpointSettings {
    EndpointSettings { aliases: Some(aliases.to_vec()), ..Default::default() }
}

fn policy(restart: Restart) -> RestartPolicy {
    let (name, retries_max) = match restart {
        Restart::No => (RestartPolicyNameEnum::NO, None),
        Restart::Always => (RestartPolicyNameEnum::ALWAYS, None),
        Restart::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
        Restart::OnFailure { retries_max } => {
            (RestartPolicyNameEnum::ON_FAILURE, Some(retries_max.into()))
        }
    };
    RestartPolicy { name: Some(name), maximum_retry_count: retries_max }
}

/// Returns whole seconds, rounded up: a grace of half a second must not become none.
fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(i64::MAX)
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
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
