//! The types of a compose file. The order and the names of their fields are part of a hash: see `compose::spec`.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde::Serialize;

/// A service: one container, or several with the same configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Service {
    /// The image, with its tag.
    pub(crate) image: String,
    /// The entrypoint, instead of the image's own.
    pub(crate) entrypoint: Option<Vec<String>>,
    /// The command, instead of the image's own.
    pub(crate) command: Option<Vec<String>>,
    /// Its variables.
    pub(crate) environment: BTreeMap<String, String>,
    /// Its user: `uid:gid`.
    pub(crate) user: Option<String>,
    /// Additional groups of the user.
    pub(crate) group_add: Vec<String>,
    /// The working directory.
    pub(crate) working_dir: Option<String>,
    /// Its own host name.
    pub(crate) hostname: Option<String>,
    /// Published ports.
    pub(crate) ports: Vec<Port>,
    /// Exposed ports.
    pub(crate) expose: Vec<String>,
    /// Mounts.
    pub(crate) mounts: Vec<Mount>,
    /// Folders in memory, with their options.
    pub(crate) tmpfs: BTreeMap<String, String>,
    /// Its networks, by key; empty for none.
    pub(crate) networks: BTreeMap<String, Attachment>,
    /// Additional host names, `host:address`.
    pub(crate) extra_hosts: Vec<String>,
    /// The health check.
    pub(crate) healthcheck: Option<Health>,
    /// The restart policy.
    pub(crate) restart: Restart,
    /// The time between the stop signal and SIGKILL.
    pub(crate) stop_grace_period: Option<Duration>,
    /// The stop signal.
    pub(crate) stop_signal: Option<String>,
    /// Whether its root file system is read-only.
    pub(crate) read_only: bool,
    /// Whether the engine runs an init process in it.
    pub(crate) init: bool,
    /// Additional capabilities.
    pub(crate) cap_add: Vec<String>,
    /// Removed capabilities.
    pub(crate) cap_drop: Vec<String>,
    /// Such as `no-new-privileges:true`.
    pub(crate) security_opt: Vec<String>,
    /// The memory limit, in bytes.
    pub(crate) mem_limit: Option<u64>,
    /// The limit of processors, in billionths.
    pub(crate) nano_cpus: Option<u64>,
    /// The limit of processes and threads.
    pub(crate) pids_limit: Option<i64>,
    /// The size of shared memory, in bytes.
    pub(crate) shm_size: Option<u64>,
    /// Its log driver.
    pub(crate) logging: Option<Logging>,
    /// Labels of its own.
    pub(crate) labels: BTreeMap<String, String>,
    /// The services that it needs. Not part of the configuration of a container.
    #[serde(skip)]
    pub(crate) needs: BTreeMap<String, Need>,
    /// The number of containers. Not part of the configuration of a container.
    #[serde(skip)]
    pub(crate) replicas: u32,
    /// The profiles that start it. Not part of the configuration of a container.
    #[serde(skip)]
    pub(crate) profiles: Vec<String>,
}

impl Service {
    /// Returns the folder in which it keeps data, if there is one: a writable mount outside of `/tmp`.
    pub(crate) fn store(&self) -> Option<&str> {
        let mounts = self.mounts.iter().filter(|mount| !mount.read_only);
        let mut folders = mounts.map(|mount| &mount.target).chain(self.tmpfs.keys());
        folders.find(|folder| *folder != "/tmp").map(String::as_str)
    }
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Port {
    /// The host's address; all of them without one.
    pub(crate) host_ip: Option<IpAddr>,
    /// The host's port; any free one without it.
    pub(crate) published: Option<u16>,
    /// The container's port.
    pub(crate) target: u16,
    /// The protocol.
    pub(crate) protocol: Protocol,
}

/// The protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    /// Returns its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A mount of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Mount {
    /// Its kind.
    pub(crate) kind: MountKind,
    /// A volume's key or a path of the host; without it, an anonymous volume.
    pub(crate) source: Option<String>,
    /// The path in the container.
    pub(crate) target: String,
    /// Whether it is read-only.
    pub(crate) read_only: bool,
}

/// The kind of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MountKind {
    Volume,
    Bind,
}

/// The connection of a service to a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Attachment {
    /// Additional names of the service there.
    pub(crate) aliases: Vec<String>,
}

/// The health check of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Health {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", command]`; without it, the image's own.
    pub(crate) test: Option<Vec<String>>,
    /// The interval of checks.
    pub(crate) interval: Option<Duration>,
    /// The time-out of a check.
    pub(crate) timeout: Option<Duration>,
    /// The number of failures after which the container is unhealthy.
    pub(crate) retries: Option<u32>,
    /// The time after the start in which failures don't count.
    pub(crate) start_period: Option<Duration>,
    /// The interval of checks in that time.
    pub(crate) start_interval: Option<Duration>,
}

/// The restart policy of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Restart {
    /// Never restart it.
    #[default]
    No,
    /// Always restart it.
    Always,
    /// Restart it, also with the engine, unless it was stopped.
    UnlessStopped,
    /// Restart it after a failure.
    OnFailure {
        /// The most restarts; 0 for no limit.
        retries_max: u32,
    },
}

/// The log driver of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Logging {
    /// The engine's driver.
    pub(crate) driver: String,
    /// Its options.
    pub(crate) options: BTreeMap<String, String>,
}

/// A dependency of a service on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// The condition to wait for.
    pub(crate) condition: Condition,
    /// Whether the service restarts after the other was replaced.
    pub(crate) restart: bool,
}

/// The condition to wait for, under plain compose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The other has started.
    Started,
    /// The other is healthy.
    Healthy,
    /// The other has completed with exit code 0.
    Completed,
}

impl Condition {
    /// Returns its name in the file.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Started => "service_started",
            Self::Healthy => "service_healthy",
            Self::Completed => "service_completed_successfully",
        }
    }
}

/// A network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Network {
    /// The engine's driver; `bridge` without it.
    pub(crate) driver: Option<String>,
    /// Its options.
    pub(crate) driver_opts: BTreeMap<String, String>,
    /// Whether it has no way out.
    pub(crate) internal: bool,
    /// Whether containers outside the environment may join it.
    pub(crate) attachable: bool,
    /// Labels of its own.
    pub(crate) labels: BTreeMap<String, String>,
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Volume {
    /// The engine's driver; `local` without it.
    pub(crate) driver: Option<String>,
    /// Its options.
    pub(crate) driver_opts: BTreeMap<String, String>,
    /// Labels of its own.
    pub(crate) labels: BTreeMap<String, String>,
}
