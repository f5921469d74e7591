//! The state of each pod, for `status`.

use std::collections::{BTreeMap, HashMap};

use cluster::{Cluster, metrics::Usage, pods::ObservedPod};
use contracts::Timestamp;
use serde::Serialize;

use super::{GATEWAY, session::Session};
use crate::{error::Result, output::Output, state::Environment};

/// A pod, as `status` shows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PodStatus {
    /// Its name.
    pub(crate) name: String,
    /// Its service.
    pub(crate) service: String,
    /// Its state: `running`, `waiting (CrashLoopBackOff)`, `exited`, and so on.
    pub(crate) state: String,
    /// Its exit code, once it has ended.
    pub(crate) exit_code: Option<i64>,
    /// Whether it is ready; `None` for a job.
    pub(crate) ready: Option<bool>,
    /// How often its container restarted.
    pub(crate) restarts: i64,
    /// When its container last started.
    pub(crate) started_at: Option<Timestamp>,
    /// Its container's image, with its tag.
    pub(crate) image: String,
    /// Its node.
    pub(crate) node: Option<String>,
    /// Its share of one processor, in percent.
    pub(crate) cpu_percent: Option<f64>,
    /// Its memory.
    pub(crate) memory_bytes: Option<u64>,
    /// Its memory limit.
    pub(crate) memory_limit_bytes: Option<u64>,
}

impl PodStatus {
    fn new(pod: ObservedPod, usage: Option<Usage>) -> Self {
        Self {
            name: pod.name,
            service: pod.service,
            state: pod.state,
            exit_code: pod.exit_code,
            ready: pod.ready,
            restarts: pod.restarts,
            started_at: pod.started_at,
            image: pod.image,
            node: pod.node,
            cpu_percent: usage.map(|usage| usage.cpu_percent),
            memory_bytes: usage.map(|usage| usage.memory_bytes),
            memory_limit_bytes: pod.memory_limit_bytes,
        }
    }
}

/// Reads the state of pods repeatedly.
#[derive(Debug)]
pub(crate) struct PodStatusReader {
    cluster: Cluster,
    namespace: String,
    with_stats: bool,
}

impl PodStatusReader {
    /// Finds the cluster of an environment.
    ///
    /// # Errors
    /// [`crate::error::CliError::NoCluster`] if it does not answer.
    pub(crate) async fn new(
        environment: &Environment,
        with_stats: bool,
        output: &Output,
    ) -> Result<Self> {
        let Session { cluster, namespace, .. } = Session::of_running(environment, output).await?;
        Ok(Self { cluster, namespace, with_stats })
    }

    /// Returns the context of the cluster.
    pub(crate) fn context(&self) -> &str {
        self.cluster.context()
    }

    /// Reads the state of all pods of the environment.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub(crate) async fn read(&self) -> Result<Vec<PodStatus>> {
        let usages = async {
            match self.with_stats {
                true => self.cluster.usages(&self.namespace).await,
                false => Ok(HashMap::new()),
            }
        };
        let (pods, usages) = tokio::try_join!(self.cluster.pods(&self.namespace), usages)?;
        let status = |pod: ObservedPod| {
            let usage = usages.get(&pod.name).copied();
            PodStatus::new(pod, usage)
        };
        Ok(pods.into_iter().map(status).collect())
    }
}

/// Returns the services without a ready pod, each with the state of its first pod, and the gateway if it has no pods at
/// all.
pub(crate) fn unready(pods: &[PodStatus]) -> BTreeMap<String, String> {
    let mut unready = BTreeMap::from([(GATEWAY.to_owned(), "no pod".to_owned())]);
    for pod in pods.iter().filter(|pod| pod.ready.is_some()) {
        unready.insert(pod.service.clone(), pod.state.clone());
    }
    for pod in pods.iter().filter(|pod| pod.ready == Some(true)) {
        let _ready = unready.remove(&pod.service);
    }
    unready
}

/// Returns whether the gateway has a ready pod.
pub(crate) fn has_gateway(unready: &BTreeMap<String, String>) -> bool {
    !unready.contains_key(GATEWAY)
}
