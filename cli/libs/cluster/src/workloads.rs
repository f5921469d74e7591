//! A watch on the workloads of a namespace.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::{
    Stream, StreamExt,
    stream::{BoxStream, SelectAll, select_all},
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, ReplicaSet, StatefulSet},
        batch::v1::Job,
        core::v1::{Event, Pod},
    },
};
use kube::{
    Api, Resource,
    api::ListParams,
    runtime::{
        WatchStreamExt,
        reflector::{self, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;

use super::{Cluster, errors::ClusterError};

/// The reasons by which the cluster autoscaler and Karpenter note that they make a node for a pod.
const GROWTH: [&str; 2] = ["TriggeredScaleUp", "Nominated"];

/// The workloads of a namespace and their pods, kept up to date.
#[derive(Clone, Debug)]
pub struct Workloads {
    deployments: Store<Deployment>,
    replica_sets: Store<ReplicaSet>,
    stateful_sets: Store<StatefulSet>,
    jobs: Store<Job>,
    pods: Store<Pod>,
}

impl Workloads {
    /// Returns a Deployment.
    pub fn deployment(&self, name: &str) -> Option<Arc<Deployment>> {
        self.deployments.find(|one| one.metadata.name.as_deref() == Some(name))
    }

    /// Returns a StatefulSet.
    pub fn stateful_set(&self, name: &str) -> Option<Arc<StatefulSet>> {
        self.stateful_sets.find(|one| one.metadata.name.as_deref() == Some(name))
    }

    /// Returns a Job.
    pub fn job(&self, name: &str) -> Option<Arc<Job>> {
        self.jobs.find(|one| one.metadata.name.as_deref() == Some(name))
    }

    /// Returns all replica sets.
    pub fn replica_sets(&self) -> Vec<Arc<ReplicaSet>> {
        self.replica_sets.state()
    }

    /// Returns all pods.
    pub fn pods(&self) -> Vec<Arc<Pod>> {
        self.pods.state()
    }
}

/// A watch on workloads.
pub struct Watch {
    workloads: Workloads,
    events: SelectAll<BoxStream<'static, Result<(), ClusterError>>>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    /// Begins to watch; returns once everything is listed.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub async fn begin(cluster: &Cluster, namespace: &str) -> Result<Self, ClusterError> {
        let all = watcher::Config::default();
        let (deployments, first) = reflect::<Deployment>(cluster, namespace, all.clone());
        let (replica_sets, second) = reflect::<ReplicaSet>(cluster, namespace, all.clone());
        let (stateful_sets, third) = reflect::<StatefulSet>(cluster, namespace, all.clone());
        let (jobs, fourth) = reflect::<Job>(cluster, namespace, all.clone());
        let (pods, fifth) = reflect::<Pod>(cluster, namespace, all);
        let workloads = Workloads { deployments, replica_sets, stateful_sets, jobs, pods };
        let mut watch =
            Self { workloads, events: select_all([first, second, third, fourth, fifth]) };
        let seen = watch.workloads.clone();
        let all = async move {
            // The senders are dropped only with the streams, which this struct owns.
            let _all = tokio::join!(
                seen.deployments.wait_until_ready(),
                seen.replica_sets.wait_until_ready(),
                seen.stateful_sets.wait_until_ready(),
                seen.jobs.wait_until_ready(),
                seen.pods.wait_until_ready(),
            );
        };
        let mut all = Box::pin(all);
        loop {
            tokio::select! {
                () = &mut all => return Ok(watch),
                changed = watch.changed() => changed?,
            }
        }
    }

    /// Returns the current workloads.
    pub const fn workloads(&self) -> &Workloads {
        &self.workloads
    }

    /// Waits for a change. Reconnects after an error.
    ///
    /// # Errors
    /// An error that waiting does not help.
    pub async fn changed(&mut self) -> Result<(), ClusterError> {
        // The streams never end.
        self.events.next().await.unwrap_or(Ok(()))
    }
}

/// Returns a store of the objects of a kind, kept up to date while the stream beside it is polled, and that stream of
/// changes.
pub(super) fn reflect<K>(
    cluster: &Cluster,
    namespace: &str,
    which: watcher::Config,
) -> (Store<K>, BoxStream<'static, Result<(), ClusterError>>)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let api: Api<K> = Api::namespaced(cluster.client(), namespace);
    let (store, writer) = reflector::store();
    let reported = watcher(api, which).default_backoff();
    let cluster = cluster.clone();
    let changes = reflector::reflector(writer, reported);
    (store, settled(changes, cluster).boxed())
}

/// Returns a stream with only those errors that waiting does not help.
fn settled<K>(
    changes: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static,
    cluster: Cluster,
) -> impl Stream<Item = Result<(), ClusterError>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Send + 'static,
{
    changes.filter_map(move |change| {
        let said = match change {
            Ok(_) => Some(Ok(())),
            Err(
                watcher::Error::InitialListFailed(error @ kube::Error::Api(_))
                | watcher::Error::WatchStartFailed(error @ kube::Error::Api(_)),
            ) => {
                let what = || format!("watch each {}", K::kind(&()));
                let error = cluster.could_not(what)(error);
                error.is_forbidden().then_some(Err(error))
            }
            // It reconnects.
            Err(_) => None,
        };
        std::future::ready(said)
    })
}

impl Cluster {
    /// Returns the warnings about an object, the newest last: `FailedMount: …`.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub async fn warnings(
        &self,
        namespace: &str,
        kind: &str,
        name: &str,
    ) -> Result<Vec<String>, ClusterError> {
        let api: Api<Event> = Api::namespaced(self.client(), namespace);
        let fields = format!("involvedObject.kind={kind},involvedObject.name={name},type=Warning");
        let listed = api
            .list(&ListParams::default().fields(&fields))
            .await
            .map_err(self.could_not(|| format!("list the events of {name}")))?;
        let mut events = listed.items;
        events.sort_by_key(|event| {
            let seen = event.last_timestamp.as_ref().map(|time| time.0);
            seen.or_else(|| event.event_time.as_ref().map(|time| time.0))
        });
        let reported = events.into_iter().map(|event| {
            let reason = event.reason.unwrap_or_default();
            format!("{reason}: {}", event.message.unwrap_or_default().trim())
        });
        let mut reported: Vec<String> = reported.collect();
        reported.dedup();
        Ok(reported)
    }

    /// Returns whether the cluster is making a node for a pod, as its autoscaler notes it.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub async fn is_growing_for(&self, namespace: &str, pod: &str) -> Result<bool, ClusterError> {
        let api: Api<Event> = Api::namespaced(self.client(), namespace);
        let fields = format!("involvedObject.kind=Pod,involvedObject.name={pod},type=Normal");
        let listed = api
            .list(&ListParams::default().fields(&fields))
            .await
            .map_err(self.could_not(|| format!("list the events of {pod}")))?;
        let is_growth =
            |event: &Event| event.reason.as_deref().is_some_and(|reason| GROWTH.contains(&reason));
        Ok(listed.items.iter().any(is_growth))
    }

    /// Returns the pods with a volume that can't be mounted, with the cluster's message.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub async fn unmounted(
        &self,
        namespace: &str,
    ) -> Result<BTreeMap<String, String>, ClusterError> {
        let api: Api<Event> = Api::namespaced(self.client(), namespace);
        let fields = "involvedObject.kind=Pod";
        let listed = api
            .list(&ListParams::default().fields(fields))
            .await
            .map_err(self.could_not(|| "list the events of failed mounts".into()))?;
        Ok(lacking(listed.items))
    }
}

/// Returns the pods with a failed mount among these events, with the message. A pod whose image is being pulled has all
/// its mounts, whatever came before.
fn lacking(events: Vec<Event>) -> BTreeMap<String, String> {
    let name = |event: &Event| event.involved_object.name.clone();
    let is = |event: &Event, reasons: &[&str]| {
        event.reason.as_deref().is_some_and(|reason| reasons.contains(&reason))
    };
    let mounted: BTreeSet<String> =
        events.iter().filter(|event| is(event, &["Pulling", "Pulled"])).filter_map(name).collect();
    let reported =
        events.into_iter().filter(|event| is(event, &["FailedMount"])).filter_map(|event| {
            let message = event.message.filter(|message| is_missing(message))?;
            Some((event.involved_object.name?, message.trim().to_owned()))
        });
    reported.filter(|(pod, _)| !mounted.contains(pod)).collect()
}

/// Returns whether the message is about a missing object, which the user has to create, rather than a delay.
fn is_missing(message: &str) -> bool {
    ["not found", "non-existent"].iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ObjectReference;

    use super::*;

    #[test]
    fn a_pod_lacks_what_it_could_not_mount_until_its_image_is_seen_to() {
        let event = |pod: &str, reason: &str, message: &str| Event {
            involved_object: ObjectReference { name: Some(pod.into()), ..Default::default() },
            reason: Some(reason.into()),
            message: Some(message.into()),
            ..Default::default()
        };
        let missing = "secret \"secrets\" not found";
        let reported = lacking(vec![
            event("waits", "FailedMount", missing),
            event("pulls", "FailedMount", missing),
            event("pulls", "Pulling", "Pulling image"),
            event("slow", "FailedMount", "timed out waiting for the condition"),
            event("fine", "Pulled", "already present"),
        ]);
        assert_eq!(reported, BTreeMap::from([("waits".to_owned(), missing.to_owned())]));
    }
}
