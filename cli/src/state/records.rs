//! Records in the state folder about what runs.

use std::net::SocketAddr;

use cluster::KubeTarget;
use contracts::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::Settings;

/// The record of an embedded process, `environment.json`, written once it listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EnvironmentRecord {
    /// Where the gateway listens.
    pub(crate) address: SocketAddr,
    /// Where the simulated market listens, if it is used.
    pub(crate) market_sim_address: Option<SocketAddr>,
    /// The process id.
    pub(crate) pid: u32,
    /// The version of the program.
    pub(crate) version: String,
    /// Distinguishes builds of one version.
    pub(crate) build: String,
    /// The settings that it was started with.
    pub(crate) settings: Settings,
    /// When it began to listen.
    pub(crate) started_at: Timestamp,
}

/// The record of an environment in containers, `containers.json`, from their start until they are stopped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ContainersRecord {
    /// Where the gateway listens; `None` if the gateway was not started.
    pub(crate) address: Option<SocketAddr>,
    /// The engine, as `DOCKER_HOST` says it.
    pub(crate) engine: String,
    /// The version of the program that started them.
    pub(crate) version: String,
    /// When they were started.
    pub(crate) started_at: Timestamp,
}

/// The record of an environment on a cluster, `cluster.json`, from the first `up` until `down`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClusterRecord {
    /// The kubeconfig and the context of the cluster.
    pub(crate) target: KubeTarget,
    /// The address of its API server.
    pub(crate) server: String,
    /// The namespace.
    pub(crate) namespace: String,
    /// The loopback port that leads to the gateway.
    pub(crate) port: u16,
    /// Whether a forwarder of ours serves that port; else the cluster itself does.
    pub(crate) is_forwarded: bool,
    /// The version of the program that applied it.
    pub(crate) version: String,
    /// When it was ready.
    pub(crate) started_at: Timestamp,
}

/// The state of an embedded process, as seen from outside.
#[derive(Clone, Debug)]
pub(crate) enum EmbeddedState {
    /// The lock is free, and there is no record: nothing runs.
    Stopped,
    /// The lock is free, but the record is still there.
    Crashed,
    /// The lock is held, but there is no record of that process yet.
    Starting {
        /// The process id from the lock file; `None` until the process has written it.
        pid: Option<u32>,
    },
    /// The lock is held, and the process listens.
    Running(Box<EnvironmentRecord>),
}
