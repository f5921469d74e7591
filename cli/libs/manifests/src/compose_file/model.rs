//! The types of a compose file. The order and the names of their fields are part of a hash: see `compose::spec`.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde::Serialize;

/// A service: one container, or several with the same configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Service {
    /// The image, with its tag.
    pub image: String,
    /// The name of its only container, instead of one of the environment's.
    pub container_name: Option<String>,
    /// The entrypoint, instead of the image's own.
    pub entrypoint: Option<Vec<String>>,
    /// The command, instead of the image's own.
    pub command: Option<Vec<String>>,
    /// Its variables.
    pub environment: BTreeMap<String, String>,
    /// Its user: `uid:gid`.
    pub user: Option<String>,
    /// Additional groups of the user.
    pub group_add: Vec<String>,
    /// The working directory.
    pub working_dir: Option<String>,
    /// Its own host name.
    pub hostname: Option<String>,
    /// Published ports.
    pub ports: Vec<Port>,
    /// Exposed ports.
    pub expose: Vec<String>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// Folders in memory, with their options.
    pub tmpfs: BTreeMap<String, String>,
    /// Its networks, by key; empty for none.
    pub networks: BTreeMap<String, Attachment>,
    /// Additional host names, `host:address`.
    pub extra_hosts: Vec<String>,
    /// The health check.
    pub healthcheck: Option<Health>,
    /// The restart policy.
    pub restart: Restart,
    /// The time between the stop signal and SIGKILL.
    pub stop_grace_period: Option<Duration>,
    /// The stop signal.
    pub stop_signal: Option<String>,
    /// Whether its root file system is read-only.
    pub read_only: bool,
    /// Whether the engine runs an init process in it.
    pub init: bool,
    /// Additional capabilities.
    pub cap_add: Vec<String>,
    /// Removed capabilities.
    pub cap_drop: Vec<String>,
    /// Such as `no-new-privileges:true`.
    pub security_opt: Vec<String>,
    /// The memory limit, in bytes.
    pub mem_limit: Option<u64>,
    /// The limit of processors, in billionths.
    pub nano_cpus: Option<u64>,
    /// The limit of processes and threads.
    pub pids_limit: Option<i64>,
    /// The size of shared memory, in bytes.
    pub shm_size: Option<u64>,
    /// Limits of its processes, by name, such as `nofile`.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Its log driver.
    pub logging: Option<Logging>,
    /// Labels of its own.
    pub labels: BTreeMap<String, String>,
    /// The services that it needs. Not part of the configuration of a container.
    #[serde(skip)]
    pub needs: BTreeMap<String, Need>,
    /// The number of containers. Not part of the configuration of a container.
    #[serde(skip)]
    pub replicas: u32,
    /// The profiles that start it. Not part of the configuration of a container.
    #[serde(skip)]
    pub profiles: Vec<String>,
}

impl Service {
    /// Returns the folder in which it keeps data, if there is one: a writable mount outside of `/tmp`.
    pub fn store(&self) -> Option<&str> {
        let mounts = self.mounts.iter().filter(|mount| !mount.read_only);
        let mut folders = mounts.map(|mount| &mount.target).chain(self.tmpfs.keys());
        folders.find(|folder| *folder != "/tmp").map(String::as_str)
    }
}

/// A limit of a process; -1 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ulimit {
    /// The limit at first.
    pub soft: i64,
    /// How far the process may raise it.
    pub hard: i64,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Port {
    /// The host's address; all of them without one.
    pub host_ip: Option<IpAddr>,
    /// The host's port; any free one without it.
    pub published: Option<u16>,
    /// The container's port.
    pub target: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// The protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A mount of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// Its kind.
    pub kind: MountKind,
    /// A volume's key or a path of the host; without it, an anonymous volume.
    pub source: Option<String>,
    /// The path in the container.
    pub target: String,
    /// Whether it is read-only.
    pub read_only: bool,
}

/// The kind of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A volume of the engine.
    Volume,
    /// A file or folder of the host.
    Bind,
}

/// The connection of a service to a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Attachment {
    /// Additional names of the service there.
    pub aliases: Vec<String>,
}

/// The health check of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", command]`; without it, the image's own.
    pub test: Option<Vec<String>>,
    /// The interval of checks.
    pub interval: Option<Duration>,
    /// The time-out of a check.
    pub timeout: Option<Duration>,
    /// The number of failures after which the container is unhealthy.
    pub retries: Option<u32>,
    /// The time after the start in which failures don't count.
    pub start_period: Option<Duration>,
    /// The interval of checks in that time.
    pub start_interval: Option<Duration>,
}

/// The restart policy of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
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
pub struct Logging {
    /// The engine's driver.
    pub driver: String,
    /// Its options.
    pub options: BTreeMap<String, String>,
}

/// A dependency of a service on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The condition to wait for.
    pub condition: Condition,
    /// Whether the service restarts after the other was replaced.
    pub restart: bool,
}

/// The condition to wait for, under plain compose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The other has started.
    Started,
    /// The other is healthy.
    Healthy,
    /// The other has completed with exit code 0.
    Completed,
}

impl Condition {
    /// Returns its name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Started => "service_started",
            Self::Healthy => "service_healthy",
            Self::Completed => "service_completed_successfully",
        }
    }
}

/// A network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Network {
    /// The engine's driver; `bridge` without it.
    pub driver: Option<String>,
    /// Its options.
    pub driver_opts: BTreeMap<String, String>,
    /// Whether it has no way out.
    pub internal: bool,
    /// Whether containers outside the environment may join it.
    pub attachable: bool,
    /// Labels of its own.
    pub labels: BTreeMap<String, String>,
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// The engine's driver; `local` without it.
    pub driver: Option<String>,
    /// Its options.
    pub driver_opts: BTreeMap<String, String>,
    /// Labels of its own.
    pub labels: BTreeMap<String, String>,
}
