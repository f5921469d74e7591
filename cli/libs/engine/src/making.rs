//! Creates containers from services of the compose file.

use std::{collections::HashMap, time::Duration};

use bollard::{
    models::{
        ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, HostConfigLogConfig,
        Mount, MountType, NetworkConnectRequest, NetworkingConfig, PortBinding, ResourcesUlimits,
        RestartPolicy, RestartPolicyNameEnum,
    },
    query_parameters::CreateContainerOptions,
};
use manifests::compose_file::{self, Health, MountKind, Restart, Service};

use super::{Api, Engine, errors::EngineError};

/// The first API with a separate interval of health checks during the start.
const START_INTERVAL_SINCE: Api = Api { major: 1, minor: 44 };

/// A container to create.
#[derive(Clone, Debug)]
pub struct NewContainer<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its service.
    pub service: &'a Service,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// The engine's names of its networks, each with the container's names there.
    pub networks: Vec<(String, Vec<String>)>,
    /// The prefix of the engine's names of its volumes.
    pub volume_prefix: &'a str,
}

impl Engine {
    /// Creates a container on all its networks, and returns its id. Does not start it.
    ///
    /// # Errors
    /// [`EngineError`] if it can't be created or connected; then it is removed again.
    pub async fn create_container(&self, new: &NewContainer<'_>) -> Result<String, EngineError> {
        let options = CreateContainerOptions { name: Some(new.name.into()), ..Default::default() };
        let created = self
            .docker
            .create_container(Some(options), self.body(new))
            .await
            .map_err(self.could_not(|| format!("create the container {}", new.name)))?;
        // Engines before API 1.44 accept one network at creation.
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
                ulimits: (!service.ulimits.is_empty()).then(|| ulimits(service)),
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
        let start_interval = health.start_interval.filter(|_| self.api() >= START_INTERVAL_SINCE);
        HealthConfig {
            test: health.test.clone(),
            interval: health.interval.map(nanoseconds),
            timeout: health.timeout.map(nanoseconds),
            retries: health.retries.map(i64::from),
            start_period: health.start_period.map(nanoseconds),
            start_interval: start_interval.map(nanoseconds),
        }
    }
}

fn key(port: &compose_file::Port) -> String {
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

fn ulimits(service: &Service) -> Vec<ResourcesUlimits> {
    let ulimit = |(name, limit): (&String, &compose_file::Ulimit)| ResourcesUlimits {
        name: Some(name.clone()),
        soft: Some(limit.soft),
        hard: Some(limit.hard),
    };
    service.ulimits.iter().map(ulimit).collect()
}

fn mounts(new: &NewContainer<'_>) -> Vec<Mount> {
    let mount = |mount: &compose_file::Mount| Mount {
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

/// Returns whole seconds, rounded up: half a second must not become zero, which means none.
fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(i64::MAX)
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
