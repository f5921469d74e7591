//! A namespace of a test on the shared API server, and tests of the simulated parts that other tests rely on.

use std::{fs, net::SocketAddr, time::Instant};

use contracts::services::KITCHEN;
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    batch::v1::Job,
    core::v1::{Event, Namespace, Pod},
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    api_server::{ApiServer, GUEST, OWNER, Pods, client},
    chefcito::{Home, PATIENCE},
};

/// A home whose kubeconfig leads to the API server, and a namespace that is deleted with it.
pub(crate) struct Cluster {
    pub(crate) home: Home,
    /// The name of the namespace, and of the environment.
    pub(crate) name: String,
    server: &'static ApiServer,
}

impl Cluster {
    /// Opens one for a test; `None`, with a printed line, if there is no API server. Does not create the namespace.
    pub(crate) fn open(story: &str) -> Option<Self> {
        let server = ApiServer::shared()?;
        let it =
            Self { home: Home::new(), name: format!("{story}-{}", std::process::id()), server };
        it.show_to(&it.home);
        Some(it)
    }

    /// Gives a home a kubeconfig that leads to it.
    pub(crate) fn show_to(&self, home: &Home) {
        let folder = home.path().join(".kube");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("config"), self.server.kubeconfig()).unwrap();
    }

    /// Runs a future with a client of the owner; not for async tests.
    pub(crate) fn ask<T>(&self, question: impl AsyncFnOnce(Client) -> T) -> T {
        self.server.ask(question)
    }

    /// Adds a context of the owner to the home's kubeconfig, as a tool that creates clusters would; `extension` is what
    /// minikube notes beside a cluster.
    pub(crate) fn put_context(&self, name: &str, extension: Option<&str>) {
        let path = self.home.path().join(".kube/config");
        let kubeconfig = fs::read_to_string(&path).unwrap();
        let context =
            format!("contexts:\n- {{name: {name}, context: {{cluster: test, user: {OWNER}}}}}\n");
        let mut kubeconfig = kubeconfig.replacen("contexts:\n", &context, 1);
        if let Some(provider) = extension {
            let noted = format!(
                "extensions: [{{name: cluster_info, extension: {{provider: {provider}}}}}], server:"
            );
            kubeconfig = kubeconfig.replacen("server:", &noted, 1);
        }
        fs::write(path, kubeconfig).unwrap();
    }

    /// Returns a client for a context of the home's kubeconfig.
    pub(crate) async fn client(&self, context: &str) -> Client {
        let kubeconfig = fs::read_to_string(self.home.path().join(".kube/config")).unwrap();
        client(&kubeconfig, context).await.unwrap()
    }

    /// Sets the behaviour of a service's new pods.
    pub(crate) fn new_pods_become(&self, service: &str, pods: Pods) {
        self.server.node().new_pods_become(&self.name, service, pods);
    }

    /// Sets the behaviour of all pods of a service.
    pub(crate) async fn pods_become(&self, service: &str, pods: Pods) {
        self.server.node().pods_become(&self.name, service, pods).await;
    }

    /// Sets what the containers of a service's new pods print at first.
    pub(crate) fn new_pods_say(&self, service: &str, lines: &[&str]) {
        self.server.node().new_pods_say(&self.name, service, lines);
    }

    /// Sets the server behind the ports of a service's pods.
    pub(crate) fn put_behind(&self, namespace: &str, service: &str, address: SocketAddr) {
        self.server.node().put_behind(namespace, service, address);
    }

    /// Lets the container of a pod print a line.
    pub(crate) fn pod_says(&self, pod: &str, at: Timestamp, line: &str) {
        self.server.node().pod_says(&self.name, pod, at, line);
    }

    /// Begins another file for the log of a pod.
    pub(crate) fn log_rotates(&self, pod: &str) {
        self.server.node().log_rotates(&self.name, pod);
    }

    /// Restarts the container of a pod, as if it had ended with a code.
    pub(crate) async fn container_restarts(&self, pod: &str, exit_code: i32) {
        self.server.node().container_restarts(&self.name, pod, exit_code).await;
    }

    /// Returns the names of a service's pods.
    pub(crate) fn pods_of(&self, service: &str) -> Vec<String> {
        self.server.node().pods_of(&self.name, service)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The test may be async, or panicking.
        let (server, name) = (self.server, self.name.as_str());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                server.ask(async |client| {
                    let namespaces = Api::<Namespace>::all(client);
                    let _gone = namespaces.delete(name, &DeleteParams::default()).await;
                });
            });
        });
    }
}

/// Waits until an object is as a test wants it, and returns it. It polls, so no change is missed.
pub(crate) async fn wait_for<K>(api: &Api<K>, name: &str, mut is: impl FnMut(&K) -> bool) -> K
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let since = Instant::now();
    loop {
        let found = api.get_opt(name).await.unwrap();
        match found {
            Some(object) if is(&object) => return object,
            other => {
                assert!(since.elapsed() < PATIENCE, "{name}: not within {PATIENCE:?}: {other:#?}")
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Waits until an object is gone.
pub(crate) async fn wait_for_absence<K>(api: &Api<K>, name: &str)
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let since = Instant::now();
    while let Some(object) = api.get_opt(name).await.unwrap() {
        assert!(since.elapsed() < PATIENCE, "{name}: there after {PATIENCE:?}: {object:#?}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// The common part of a Deployment, a StatefulSet and a Job.
fn template(name: &str, restarts: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": name}},
        "spec": {
            "restartPolicy": restarts,
            "automountServiceAccountToken": false,
            "containers": [{"name": name, "image": format!("chefcito-{name}:dev")}],
        },
    })
}

/// A Deployment of one container.
pub(crate) fn deployment(name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": template(name, "Always"),
        },
    })
}

impl Cluster {
    /// Creates its namespace.
    pub(crate) async fn make_namespace(&self, client: &Client) {
        let namespace = json!({"metadata": {"name": self.name}});
        let namespace = serde_json::from_value(namespace).unwrap();
        let namespaces = Api::<Namespace>::all(client.clone());
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    }

    /// Applies an object in its namespace.
    pub(crate) async fn apply(&self, client: &Client, object: Value) {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let types = object.types.clone().unwrap();
        let (group, version) = types.api_version.split_once('/').unwrap();
        let kind = kube::core::GroupVersionKind::gvk(group, version, &types.kind);
        let api = Api::<DynamicObject>::namespaced_with(
            client.clone(),
            &self.name,
            &ApiResource::from_gvk(&kind),
        );
        let params = PatchParams::apply("test");
        api.patch(&object.name_any(), &params, &Patch::Apply(&object)).await.unwrap();
    }
}

#[test]
fn everything_that_makes_pods_comes_to_its_end() {
    let Some(cluster) = Cluster::open("makers") else { return };
    cluster.ask(async |client| {
        cluster.make_namespace(&client).await;
        cluster.apply(&client, deployment(KITCHEN, 2)).await;
        let set = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "store"},
            "spec": {
                "replicas": 2,
                "serviceName": "store",
                "selector": {"matchLabels": {"app": "store"}},
                "template": template("store", "Always"),
            },
        });
        cluster.apply(&client, set).await;
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "bootstrap"},
            "spec": {"template": template("bootstrap", "Never")},
        });
        cluster.apply(&client, job).await;

        let deployments = Api::<Deployment>::namespaced(client.clone(), &cluster.name);
        let sets = Api::<StatefulSet>::namespaced(client.clone(), &cluster.name);
        let jobs = Api::<Job>::namespaced(client.clone(), &cluster.name);
        let ready = |replicas: Option<i32>| replicas == Some(2);
        wait_for(&deployments, KITCHEN, |is| ready(is.status.as_ref().unwrap().ready_replicas))
            .await;
        wait_for(&sets, "store", |is| ready(is.status.as_ref().unwrap().ready_replicas)).await;
        wait_for(&jobs, "bootstrap", |is| is.status.as_ref().unwrap().succeeded == Some(1)).await;

        // A pod with a grace period of half a minute is gone as soon as it has ended.
        let pods = Api::<Pod>::namespaced(client.clone(), &cluster.name);
        let (address, uid) = address_and_uid(&pods.get("store-1").await.unwrap());
        pods.delete("store-1", &DeleteParams::default()).await.unwrap();
        let next = wait_for(&pods, "store-1", |pod| {
            pod.uid() != Some(uid.clone()) && address_and_uid(pod).0.is_some()
        })
        .await;
        assert_ne!(address_and_uid(&next).0, address);
    });
}

fn address_and_uid(pod: &Pod) -> (Option<String>, String) {
    let status = pod.status.as_ref();
    (status.and_then(|status| status.pod_ip.clone()), pod.uid().unwrap())
}

#[test]
fn what_a_test_wants_becomes_of_pods() {
    let Some(cluster) = Cluster::open("wanted") else { return };
    let unschedulable = || Pods::Unschedulable { message: "0/1 nodes are available".into() };
    let wanted = [
        ("unready", Pods::Unready, "Running", "Unhealthy"),
        ("imageless", Pods::without_image("nowhere/none:1"), "Pending", "BackOff"),
        ("secretless", Pods::without_secret(KITCHEN), "Pending", "Failed"),
        ("crashing", Pods::Crashing { exit_code: 7, restarts: 3 }, "Running", "BackOff"),
        ("homeless", unschedulable(), "Pending", "FailedScheduling"),
    ];
    cluster.ask(async |client| {
        cluster.make_namespace(&client).await;
        for (service, pods, ..) in &wanted {
            cluster.new_pods_become(service, pods.clone());
            cluster.apply(&client, deployment(service, 1)).await;
        }
        let pods = Api::<Pod>::namespaced(client.clone(), &cluster.name);
        let events = Api::<Event>::namespaced(client.clone(), &cluster.name);
        let deployments = Api::<Deployment>::namespaced(client.clone(), &cluster.name);
        for (service, _, phase, reason) in &wanted {
            let is = async || {
                let of = ListParams::default().labels(&format!("app={service}"));
                let there = pods.list(&of).await.unwrap().items;
                let status = there.first().and_then(|pod| pod.status.clone())?;
                let reported = events.list(&ListParams::default()).await.unwrap().items;
                let reported = reported.iter().any(|event| {
                    event.involved_object.name.as_deref() == there[0].metadata.name.as_deref()
                        && event.reason.as_deref() == Some(reason)
                });
                (reported && status.phase.as_deref() == Some(phase)).then_some(())
            };
            let since = Instant::now();
            while is().await.is_none() {
                assert!(since.elapsed() < PATIENCE, "{service}");
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            // And then the cause is fixed.
            cluster.pods_become(service, Pods::Ready).await;
            wait_for(&deployments, service, |is| {
                is.status.as_ref().unwrap().available_replicas == Some(1)
            })
            .await;
        }
    });
}

#[tokio::test]
async fn a_guest_may_do_nothing() {
    let Some(cluster) = Cluster::open("guest") else { return };
    let owner = cluster.client(OWNER).await;
    cluster.make_namespace(&owner).await;
    let guest = cluster.client(GUEST).await;
    let refused = Api::<Pod>::namespaced(guest, &cluster.name).list(&ListParams::default()).await;
    let Err(kube::Error::Api(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.code, 403, "{refusal:?}");
}
