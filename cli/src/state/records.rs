//! What an environment's files say of what runs there.

use std::net::SocketAddr;

use contracts::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{config::Settings, kubernetes::KubeTarget};

/// What an environment that runs says about itself in `environment.json`, written once it listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EnvironmentRecord {
    /// Where the gateway listens.
    pub(crate) address: SocketAddr,
    /// Where the simulated market listens, if it is open.
    pub(crate) market_sim_address: Option<SocketAddr>,
    /// The process.
    pub(crate) pid: u32,
    /// The version of the program.
    pub(crate) version: String,
    /// Tells one build of a version from another.
    pub(crate) build: String,
    /// What it was started with.
    pub(crate) settings: Settings,
    /// When it was ready to listen.
    pub(crate) started_at: Timestamp,
}

/// What is known of an environment in containers, in `containers.json`, from the moment on at which they were started until
/// they are stopped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ContainersRecord {
    /// Where the gateway listens; absent where only services without a door were brought up.
    pub(crate) address: Option<SocketAddr>,
    /// The engine, as `DOCKER_HOST` says it.
    pub(crate) engine: String,
    /// The version of the program that started them.
    pub(crate) version: String,
    /// When they were started.
    pub(crate) started_at: Timestamp,
}

/// What is known of an environment on a cluster, in `cluster.json`, from the first `up` on until `down`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClusterRecord {
    /// Where the cluster is.
    pub(crate) target: KubeTarget,
    /// The address of its API server.
    pub(crate) server: String,
    /// The namespace.
    pub(crate) namespace: String,
    /// The loopback port at which the gateway is reached.
    pub(crate) port: u16,
    /// Whether a process of ours carries what comes to that port, or the cluster itself does.
    pub(crate) is_forwarded: bool,
    /// The version of the program that applied it.
    pub(crate) version: String,
    /// When it was ready.
    pub(crate) started_at: Timestamp,
}

/// What can be seen of an embedded process.
#[derive(Clone, Debug)]
pub(crate) enum EmbeddedState {
    /// Nobody holds the lock, and the last one said goodbye.
    Stopped,
    /// Nobody holds the lock, and the last one left its record lying about.
    Crashed,
    /// The lock is held, and nothing is said yet about where it listens.
    Starting {
        /// Who holds the lock; absent for the moment before it wrote itself down.
        pid: Option<u32>,
    },
    /// The lock is held, and the environment listens.
    Running(Box<EnvironmentRecord>),
}
