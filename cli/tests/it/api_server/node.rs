//! A simulated node: it takes every pod, as a scheduler and a kubelet would, and lets it behave as a test wants.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
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
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    kubelet,
    logs::Log,
    pods::{self, PodEvent, Pods, seconds},
};

/// The name of the node.
const NAME: &str = "player";

/// A service of a namespace.
type Service = (String, String);

/// The only node of the cluster. It runs from its start until the process ends.
pub(crate) struct Node {
    played: Arc<Played>,
}

/// The state of the node.
pub(super) struct Played {
    client: Client,
    wanted: Mutex<HashMap<Service, Wanted>>,
    /// The pods of the node, by uid.
    lives: Mutex<HashMap<String, Life>>,
    next_address: AtomicU16,
}

/// The behaviour of a service's pods from when they are first seen. By default they become ready and print nothing.
#[derive(Clone, Default)]
struct Wanted {
    pods: Pods,
    /// What their containers print at first.
    says: Vec<String>,
    /// The server behind their ports.
    behind: Option<SocketAddr>,
}

/// The state of a pod.
#[derive(Clone)]
pub(super) struct Life {
    namespace: String,
    name: String,
    pub(super) service: String,
    pub(super) pods: Pods,
    pub(super) log: watch::Sender<Log>,
    pub(super) ended: CancellationToken,
}

impl Node {
    /// Registers it in the cluster.
    pub(super) async fn start(client: Client, certificates: &Path) -> Result<Self, String> {
        let played = Arc::new(Played {
            client,
            wanted: Mutex::default(),
            lives: Mutex::default(),
            next_address: AtomicU16::new(1),
        });
        let port = kubelet::start(Arc::clone(&played), certificates).await?;
        played.join(port).await.map_err(|error| error.to_string())?;
        tokio::spawn(play(Arc::clone(&played)));
        Ok(Self { played })
    }

    /// Sets the behaviour of a service's new pods. Existing ones stay as they are.
    pub(crate) fn new_pods_become(&self, namespace: &str, service: &str, pods: Pods) {
        self.played.want(namespace, service, |wanted| wanted.pods = pods);
    }

    /// Sets the behaviour of all pods of a service, existing and new ones.
    pub(crate) async fn pods_become(&self, namespace: &str, service: &str, pods: Pods) {
        self.new_pods_become(namespace, service, pods.clone());
        let there = Api::<Pod>::namespaced(self.played.client.clone(), namespace);
        for pod in there.list(&ListParams::default()).await.unwrap() {
            if service_of(&pod) == service {
                self.played.become_of(&pod, pods.clone()).await;
            }
        }
    }

    /// Sets what the containers of a service's new pods print at first.
    pub(crate) fn new_pods_say(&self, namespace: &str, service: &str, lines: &[&str]) {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        self.played.want(namespace, service, |wanted| wanted.says = lines);
    }

    /// Sets the server behind the ports of a service's pods.
    pub(crate) fn put_behind(&self, namespace: &str, service: &str, address: SocketAddr) {
        self.played.want(namespace, service, |wanted| wanted.behind = Some(address));
    }

    /// Lets the container of a pod print a line.
    pub(crate) fn pod_says(&self, namespace: &str, pod: &str, at: Timestamp, line: &str) {
        self.log(namespace, pod).send_modify(|log| log.add(at, line));
    }

    /// Begins another file for the log of a pod.
    pub(crate) fn log_rotates(&self, namespace: &str, pod: &str) {
        self.log(namespace, pod).send_modify(Log::rotate);
    }

    /// Restarts the container of a pod, as if it had ended with a code.
    pub(crate) async fn container_restarts(&self, namespace: &str, pod: &str, exit_code: i32) {
        self.log(namespace, pod).send_modify(Log::restart);
        let pods = Api::<Pod>::namespaced(self.played.client.clone(), namespace);
        let there = pods.get(pod).await.unwrap();
        let patch =
            Patch::Merge(json!({"status": pods::restarted(&there, exit_code, Timestamp::now())}));
        pods.patch_status(pod, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Returns the names of a service's pods.
    pub(crate) fn pods_of(&self, namespace: &str, service: &str) -> Vec<String> {
        let lives = self.played.lives.lock().unwrap();
        let of = |life: &&Life| life.namespace == namespace && life.service == service;
        lives.values().filter(of).map(|life| life.name.clone()).collect()
    }

    fn log(&self, namespace: &str, pod: &str) -> watch::Sender<Log> {
        self.played.life(namespace, pod).unwrap_or_else(|| panic!("there is no pod {pod}")).log
    }
}

/// Handles each change of a pod. A refused update, for a pod that is gone, comes again if it matters.
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
    /// Registers the node in the cluster.
    async fn join(&self, port: u16) -> kube::Result<()> {
        let labels = json!({"kubernetes.io/hostname": NAME, "kubernetes.io/os": "linux"});
        let node = json!({"metadata": {"name": NAME, "labels": labels}});
        let nodes: Api<NodeObject> = Api::all(self.client.clone());
        nodes.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await?;
        let room = json!({"cpu": "8", "memory": "16Gi", "pods": "500"});
        let status = json!({"status": {
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "allocatable": room,
            "capacity": room,
        }});
        nodes.patch_status(NAME, &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(())
    }

    fn want(&self, namespace: &str, service: &str, change: impl FnOnce(&mut Wanted)) {
        let service = (namespace.to_owned(), service.to_owned());
        change(self.wanted.lock().unwrap().entry(service).or_default());
    }

    fn wanted(&self, namespace: &str, service: &str) -> Wanted {
        let service = (namespace.to_owned(), service.to_owned());
        self.wanted.lock().unwrap().get(&service).cloned().unwrap_or_default()
    }

    /// Returns the server behind the ports of a service's pods.
    pub(super) fn behind(&self, namespace: &str, service: &str) -> Option<SocketAddr> {
        self.wanted(namespace, service).behind
    }

    /// Returns the state of a pod.
    pub(super) fn life(&self, namespace: &str, pod: &str) -> Option<Life> {
        let lives = self.lives.lock().unwrap();
        lives.values().find(|life| life.namespace == namespace && life.name == pod).cloned()
    }

    async fn look_after(&self, pod: &Pod) {
        let uid = pod.uid().unwrap_or_default();
        if pod.meta().deletion_timestamp.is_some() {
            // Its programs end at once.
            if let Some(life) = self.lives.lock().unwrap().remove(&uid) {
                life.log.send_modify(|log| log.end());
                life.ended.cancel();
            }
            let at_once = DeleteParams::default().grace_period(0);
            let _gone = self.of(pod).delete(&pod.name_any(), &at_once).await;
            return;
        }
        if self.lives.lock().unwrap().contains_key(&uid) {
            return;
        }
        let (namespace, service) = (pod.namespace().unwrap_or_default(), service_of(pod));
        let wanted = self.wanted(&namespace, &service);
        let life = Life {
            namespace,
            name: pod.name_any(),
            service,
            pods: wanted.pods.clone(),
            log: watch::Sender::new(Log::new(wanted.says)),
            ended: CancellationToken::new(),
        };
        self.lives.lock().unwrap().insert(uid, life);
        self.become_of(pod, wanted.pods).await;
    }

    async fn become_of(&self, pod: &Pod, pods: Pods) {
        let name = pod.name_any();
        if let Some(life) = self.lives.lock().unwrap().get_mut(&pod.uid().unwrap_or_default()) {
            life.pods = pods.clone();
        }
        if pods.are_bound() {
            let binding = json!({
                "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": NAME},
            });
            // It may be bound already.
            let _bound = self
                .of(pod)
                .create_subresource::<_, Value>("binding", &name, &PostParams::default(), &binding)
                .await;
        }
        let now = Timestamp::now();
        let status = pods.status(pod, &self.address_of(pod), now);
        let patch = Patch::Merge(json!({"status": status}));
        let _written = self.of(pod).patch_status(&name, &PatchParams::default(), &patch).await;
        for event in pods.events(pod) {
            self.publish(pod, event, now).await;
        }
    }

    async fn publish(&self, pod: &Pod, (who, reason, message): PodEvent, now: Timestamp) {
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
        // Its namespace may be terminating.
        let _reported = events.create(&PostParams::default(), &event).await;
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

/// Returns the name of the owner of a pod: a Deployment, a StatefulSet, a Job; its own without an owner.
fn service_of(pod: &Pod) -> String {
    let Some(owner) = pod.owner_references().first() else { return pod.name_any() };
    let template = pod.labels().get("pod-template-hash");
    let suffix = template.map(|hash| format!("-{hash}")).unwrap_or_default();
    owner.name.strip_suffix(&suffix).unwrap_or(&owner.name).to_owned()
}
