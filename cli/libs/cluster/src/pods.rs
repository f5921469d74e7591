//! The pods of a namespace.

use contracts::Timestamp;
use futures_util::{StreamExt, stream::BoxStream};
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::{
    Api,
    api::ListParams,
    runtime::{reflector::Store, watcher},
};
use manifests::quantities::bytes;

use super::{Cluster, errors::ClusterError, forward::is_ready, workloads::reflect};

/// The label with a pod's service.
pub const SERVICE: &str = "app.kubernetes.io/name";
/// The label with a pod's role: a service of ours, a database, a job.
const COMPONENT: &str = "app.kubernetes.io/component";
/// The selector of all pods of services.
const OURS: &str = "app.kubernetes.io/part-of=chefcito,app.kubernetes.io/name";

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedPod {
    /// Its name.
    pub name: String,
    /// Its uid: a new pod of the same name has another one.
    pub uid: String,
    /// Its service.
    pub service: String,
    /// Whether that is one of ours, not a database or a job.
    pub is_ours: bool,
    /// Its container; the first one if it has several.
    pub container: String,
    /// The container's image, with its tag.
    pub image: String,
    /// Its state: `running`, `waiting (ImagePullBackOff)`, `exited`, and so on.
    pub state: String,
    /// Its exit code, once it has ended.
    pub exit_code: Option<i64>,
    /// Whether its container runs, and the pod is not terminating.
    pub is_running: bool,
    /// Whether it is terminating.
    pub is_terminating: bool,
    /// Whether its container has ever run, so that it may have logs.
    pub has_run: bool,
    /// Whether its container has ended, or waits to be restarted.
    pub is_at_rest: bool,
    /// Whether it is ready; `None` if it is a job's.
    pub ready: Option<bool>,
    /// How often its container restarted.
    pub restarts: i64,
    /// When its container last started.
    pub started_at: Option<Timestamp>,
    /// Its memory limit.
    pub memory_limit_bytes: Option<u64>,
    /// Its node.
    pub node: Option<String>,
}

impl Cluster {
    /// Returns all pods of services in a namespace, by service and age.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub async fn pods(&self, namespace: &str) -> Result<Vec<ObservedPod>, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client(), namespace);
        let listed = api
            .list(&ListParams::default().labels(OURS))
            .await
            .map_err(self.could_not(|| "list the pods".into()))?;
        Ok(observed_pods(listed.items.iter()))
    }
}

/// A watch on the pods of a namespace.
pub struct PodWatch {
    pods: Store<Pod>,
    events: BoxStream<'static, Result<(), ClusterError>>,
}

impl std::fmt::Debug for PodWatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PodWatch").finish_non_exhaustive()
    }
}

impl PodWatch {
    /// Begins to watch; returns once all pods of services are listed.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub async fn begin(cluster: &Cluster, namespace: &str) -> Result<Self, ClusterError> {
        let (pods, events) = reflect(cluster, namespace, watcher::Config::default().labels(OURS));
        let mut watch = Self { pods, events };
        let seen = watch.pods.clone();
        let mut all = Box::pin(async move {
            // The sender is dropped only with the stream, which this struct owns.
            let _all = seen.wait_until_ready().await;
        });
        loop {
            tokio::select! {
                () = &mut all => return Ok(watch),
                changed = watch.changed() => changed?,
            }
        }
    }

    /// Returns the current pods, by service and age.
    pub fn pods(&self) -> Vec<ObservedPod> {
        let pods = self.pods.state();
        observed_pods(pods.iter().map(AsRef::as_ref))
    }

    /// Waits for a change. Reconnects after an error.
    ///
    /// # Errors
    /// An error that waiting does not help.
    pub async fn changed(&mut self) -> Result<(), ClusterError> {
        // The stream never ends.
        self.events.next().await.unwrap_or(Ok(()))
    }
}

fn observed_pods<'p>(pods: impl Iterator<Item = &'p Pod>) -> Vec<ObservedPod> {
    let mut pods: Vec<&Pod> = pods.collect();
    pods.sort_by_key(|pod| {
        let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (label(pod, SERVICE), created, pod.metadata.name.as_deref())
    });
    pods.into_iter().map(ObservedPod::of).collect()
}

impl ObservedPod {
    /// Returns the state of a pod.
    pub fn of(pod: &Pod) -> Self {
        let spec = pod.spec.as_ref().and_then(|spec| spec.containers.first());
        let status = pod.status.as_ref();
        let container = status.and_then(|status| status.container_statuses.as_ref()?.first());
        let state = container.and_then(|container| container.state.as_ref());
        let ended = state.and_then(|state| state.terminated.as_ref());
        let running = state.and_then(|state| state.running.as_ref());
        let was =
            container.and_then(|container| container.last_state.as_ref()?.terminated.as_ref());
        let is_job =
            pod.spec.as_ref().is_some_and(|spec| spec.restart_policy.as_deref() != Some("Always"));
        let limit =
            spec.and_then(|spec| spec.resources.as_ref()?.limits.as_ref()?.get("memory").cloned());
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            service: label(pod, SERVICE).to_owned(),
            is_ours: label(pod, COMPONENT) == "service",
            container: spec.map(|spec| spec.name.clone()).unwrap_or_default(),
            image: spec.and_then(|spec| spec.image.clone()).unwrap_or_default(),
            state: word(pod, state),
            exit_code: ended.map(|ended| ended.exit_code.into()),
            is_running: running.is_some() && pod.metadata.deletion_timestamp.is_none(),
            is_terminating: pod.metadata.deletion_timestamp.is_some(),
            has_run: running.is_some() || ended.is_some() || was.is_some(),
            is_at_rest: running.is_none(),
            ready: (!is_job).then(|| is_ready(pod)),
            restarts: container.map_or(0, |container| container.restart_count.into()),
            started_at: running.and_then(|running| {
                Some(Timestamp::from_micros(running.started_at.as_ref()?.0.as_microsecond()))
            }),
            memory_limit_bytes: limit.and_then(|limit| bytes(&limit.0)),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        }
    }
}

fn label<'p>(pod: &'p Pod, name: &str) -> &'p str {
    let labels = pod.metadata.labels.as_ref();
    labels.and_then(|all| all.get(name)).map(String::as_str).unwrap_or_default()
}

fn word(pod: &Pod, state: Option<&ContainerState>) -> String {
    if pod.metadata.deletion_timestamp.is_some() {
        return "terminating".into();
    }
    let Some(state) = state else {
        let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
        return phase.unwrap_or_else(|| "unknown".into()).to_lowercase();
    };
    match (&state.running, &state.waiting, &state.terminated) {
        (Some(_), ..) => "running".into(),
        (_, Some(waiting), _) => match waiting.reason.as_deref() {
            Some(reason) => format!("waiting ({reason})"),
            None => "waiting".into(),
        },
        (.., Some(_)) => "exited".into(),
        _ => "unknown".into(),
    }
}
