//! A node that is played: it takes every pod, as a scheduler and a kubelet would, and makes of it what a test wants.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use futures_util::{StreamExt, pin_mut};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Node as NodeObject, Pod};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};

use super::pods::{Pods, Told, seconds};

/// The name of the node.
const NAME: &str = "player";

/// A service of a namespace.
type Service = (String, String);

/// The one node of the cluster. It plays from its start until the process ends.
pub(crate) struct Node {
    played: Arc<Played>,
}

/// What is played, and with whom.
struct Played {
    client: Client,
    /// What pods become from when they are first seen. All others become ready.
    wanted: Mutex<HashMap<Service, Pods>>,
    /// What each pod has become, by its uid.
    pods: Mutex<HashMap<String, Pods>>,
    next_address: AtomicU16,
}

impl Node {
    /// Puts it into the cluster.
    pub(super) async fn start(client: Client) -> kube::Result<Self> {
        let node = json!({
            "metadata": {"name": NAME, "labels": {"kubernetes.io/hostname": NAME, "kubernetes.io/os": "linux"}},
        });
        let nodes: Api<NodeObject> = Api::all(client.clone());
        nodes.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await?;
        let status = json!({"status": {
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "allocatable": {"cpu": "8", "memory": "16Gi", "pods": "500"},
            "capacity": {"cpu": "8", "memory": "16Gi", "pods": "500"},
        }});
        nodes.patch_status(NAME, &PatchParams::default(), &Patch::Merge(status)).await?;
        let played = Arc::new(Played {
            client,
            wanted: Mutex::default(),
            pods: Mutex::default(),
            next_address: AtomicU16::new(1),
        });
        tokio::spawn(play(Arc::clone(&played)));
        Ok(Self { played })
    }

    /// Says what pods of a service become that are made from now on. Those that are there stay as they are.
    pub(crate) fn new_pods_become(&self, namespace: &str, service: &str, pods: Pods) {
        self.played.wanted.lock().unwrap().insert((namespace.into(), service.into()), pods);
    }

    /// Says what all pods of a service become: those that are there and those that will be.
    pub(crate) async fn pods_become(&self, namespace: &str, service: &str, pods: Pods) {
        self.new_pods_become(namespace, service, pods.clone());
        let there = Api::<Pod>::namespaced(self.played.client.clone(), namespace);
        for pod in there.list(&Default::default()).await.unwrap() {
            if service_of(&pod) == service {
                self.played.become_of(&pod, pods.clone()).await;
            }
        }
    }
}

/// Looks after each pod whenever it changes. What is refused, as it is gone meanwhile, comes up again if it matters.
async fn play(played: Arc<Played>) {
    let pods = Api::<Pod>::all(played.client.clone());
    let changed = watcher(pods, watcher::Config::default()).default_backoff().applied_objects();
    pin_mut!(changed);
    while let Some(pod) = changed.next().await {
        if let Ok(pod) = pod {
            played.look_after(&pod).await;
        }
    }
}

impl Played {
    async fn look_after(&self, pod: &Pod) {
        let uid = pod.uid().unwrap_or_default();
        if pod.meta().deletion_timestamp.is_some() {
            // What it ran ends at once.
            let at_once = DeleteParams::default().grace_period(0);
            let _gone = self.of(pod).delete(&pod.name_any(), &at_once).await;
            self.pods.lock().unwrap().remove(&uid);
            return;
        }
        if self.pods.lock().unwrap().contains_key(&uid) {
            return;
        }
        let service = (pod.namespace().unwrap_or_default(), service_of(pod));
        let wanted = self.wanted.lock().unwrap().get(&service).cloned().unwrap_or_default();
        self.become_of(pod, wanted).await;
    }

    async fn become_of(&self, pod: &Pod, pods: Pods) {
        let name = pod.name_any();
        self.pods.lock().unwrap().insert(pod.uid().unwrap_or_default(), pods.clone());
        if pods.are_bound() {
            let binding = json!({
                "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": NAME},
            });
            // It may have been bound before.
            let _bound = self
                .of(pod)
                .create_subresource::<_, Value>("binding", &name, &PostParams::default(), &binding)
                .await;
        }
        let now = Timestamp::now();
        let status = pods.status(pod, &self.address_of(pod), now);
        let patch = Patch::Merge(json!({"status": status}));
        let _written = self.of(pod).patch_status(&name, &PatchParams::default(), &patch).await;
        for told in pods.told(pod) {
            self.tell(pod, told, now).await;
        }
    }

    async fn tell(&self, pod: &Pod, (who, reason, message): Told, now: Timestamp) {
        let namespace = pod.namespace().unwrap_or_default();
        let event = json!({
            "metadata": {"generateName": format!("{}.", pod.name_any()), "namespace": namespace},
            "involvedObject": pod.object_ref(&()),
            "type": "Warning", "reason": reason, "message": message,
            "source": {"component": who, "host": NAME},
            "firstTimestamp": seconds(now), "lastTimestamp": seconds(now), "count": 1,
        });
        let events = Api::<Event>::namespaced(self.client.clone(), &namespace);
        let event = serde_json::from_value(event).unwrap();
        // Its namespace may be about to end.
        let _told = events.create(&PostParams::default(), &event).await;
    }

    fn of(&self, pod: &Pod) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default())
    }

    /// The address that it has, or the next one: no two pods have the same.
    fn address_of(&self, pod: &Pod) -> String {
        let has = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        has.unwrap_or_else(|| {
            let [high, low] = self.next_address.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            format!("10.244.{high}.{low}")
        })
    }
}

/// Returns the name of whoever made a pod: a Deployment, a StatefulSet, a Job; its own if nobody did.
fn service_of(pod: &Pod) -> String {
    let Some(owner) = pod.owner_references().first() else { return pod.name_any() };
    let template = pod.labels().get("pod-template-hash");
    let suffix = template.map(|hash| format!("-{hash}")).unwrap_or_default();
    owner.name.strip_suffix(&suffix).unwrap_or(&owner.name).to_owned()
}
