//! What a compose file is made of. The order and the names of the fields are part of what is hashed: see `compose::spec`.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde::Serialize;

/// Something that runs in one container, or in several alike.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Service {
    /// The image, with its tag.
    pub(crate) image: String,
    /// What runs, in the place of the image's own.
    pub(crate) entrypoint: Option<Vec<String>>,
    /// Its arguments, in the place of the image's own.
    pub(crate) command: Option<Vec<String>>,
    /// Its variables.
    pub(crate) environment: BTreeMap<String, String>,
    /// Who it is: `uid:gid`.
    pub(crate) user: Option<String>,
    /// Further groups that it is in.
    pub(crate) group_add: Vec<String>,
    /// Where it starts.
    pub(crate) working_dir: Option<String>,
    /// What it calls itself.
    pub(crate) hostname: Option<String>,
    /// Ports that are open on the host.
    pub(crate) ports: Vec<Port>,
    /// Ports that are said to be open inside.
    pub(crate) expose: Vec<String>,
    /// What is mounted.
    pub(crate) mounts: Vec<Mount>,
    /// Folders in memory, with their options.
    pub(crate) tmpfs: BTreeMap<String, String>,
    /// The networks that it is on, by key; on none if there are none.
    pub(crate) networks: BTreeMap<String, Attachment>,
    /// Names of hosts, `host:address`.
    pub(crate) extra_hosts: Vec<String>,
    /// How the engine looks after it.
    pub(crate) healthcheck: Option<Health>,
    /// What happens when it ends.
    pub(crate) restart: Restart,
    /// How long it may take to end when asked to.
    pub(crate) stop_grace_period: Option<Duration>,
    /// By which signal it is asked.
    pub(crate) stop_signal: Option<String>,
    /// Whether it may not write to its own root.
    pub(crate) read_only: bool,
    /// Whether the engine puts a small init before it.
    pub(crate) init: bool,
    /// Capabilities that it has beside the usual ones.
    pub(crate) cap_add: Vec<String>,
    /// Capabilities that it does not have.
    pub(crate) cap_drop: Vec<String>,
    /// Such as `no-new-privileges:true`.
    pub(crate) security_opt: Vec<String>,
    /// Memory in bytes.
    pub(crate) mem_limit: Option<u64>,
    /// Processors, in thousand-millionths.
    pub(crate) nano_cpus: Option<u64>,
    /// Processes and threads.
    pub(crate) pids_limit: Option<i64>,
    /// Shared memory in bytes.
    pub(crate) shm_size: Option<u64>,
    /// Where its lines go.
    pub(crate) logging: Option<Logging>,
    /// Labels of its own.
    pub(crate) labels: BTreeMap<String, String>,
    /// What it needs; says when it starts, not what it is.
    #[serde(skip)]
    pub(crate) needs: BTreeMap<String, Need>,
    /// How many there are; says nothing about each.
    #[serde(skip)]
    pub(crate) replicas: u32,
    /// When it is started unasked.
    #[serde(skip)]
    pub(crate) profiles: Vec<String>,
}

impl Service {
    /// Returns the folder in which it keeps data, if it does: one that is mounted for it to write to. What is in `/tmp` is not for
    /// keeping.
    pub(crate) fn store(&self) -> Option<&str> {
        let mounts = self.mounts.iter().filter(|mount| !mount.read_only);
        let mut folders = mounts.map(|mount| &mount.target).chain(self.tmpfs.keys());
        folders.find(|folder| *folder != "/tmp").map(String::as_str)
    }
}

/// A port of the host that leads to one of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Port {
    /// The host's address; all of them without one.
    pub(crate) host_ip: Option<IpAddr>,
    /// The host's port; any free one without it.
    pub(crate) published: Option<u16>,
    /// The container's port.
    pub(crate) target: u16,
    /// Over what.
    pub(crate) protocol: Protocol,
}

/// What a port speaks.
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

/// Something mounted into a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Mount {
    /// What it is.
    pub(crate) kind: MountKind,
    /// A volume's key or a path of the host; a nameless volume without it.
    pub(crate) source: Option<String>,
    /// Where it is in the container.
    pub(crate) target: String,
    /// Whether it may not be written to.
    pub(crate) read_only: bool,
}

/// What is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MountKind {
    Volume,
    Bind,
}

/// How a service is on a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Attachment {
    /// Names that it has there beside its own.
    pub(crate) aliases: Vec<String>,
}

/// How the engine looks after a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Health {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", command]`; the image's own without it.
    pub(crate) test: Option<Vec<String>>,
    /// How often.
    pub(crate) interval: Option<Duration>,
    /// How long one look may take.
    pub(crate) timeout: Option<Duration>,
    /// After how many failures it counts as unhealthy.
    pub(crate) retries: Option<u32>,
    /// How long failures don't count.
    pub(crate) start_period: Option<Duration>,
    /// How often in that time.
    pub(crate) start_interval: Option<Duration>,
}

/// What happens when a container ends by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Restart {
    /// Nothing.
    #[default]
    No,
    /// It is started again.
    Always,
    /// It is started again, also with the engine, unless it was stopped.
    UnlessStopped,
    /// It is started again if it failed, so often at the most; 0 is for ever.
    OnFailure {
        /// How often.
        retries_max: u32,
    },
}

/// Where the lines of a container go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Logging {
    /// The engine's driver.
    pub(crate) driver: String,
    /// Its options.
    pub(crate) options: BTreeMap<String, String>,
}

/// That one service needs another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// Until when it waits.
    pub(crate) condition: Condition,
    /// Whether it is started again after the other was replaced.
    pub(crate) restart: bool,
}

/// Until when a service waits for another, under plain compose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Until it was started.
    Started,
    /// Until it is healthy.
    Healthy,
    /// Until it has ended well.
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
    /// Whether nothing leads out of it.
    pub(crate) internal: bool,
    /// Whether containers of others may join by hand.
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
