//! Connections into pods, through the API server.

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    runtime::{WatchStreamExt, reflector, reflector::Store, watcher},
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Cluster, errors::ClusterError};

/// The pods of a service, as the cluster reports them.
#[derive(Debug)]
pub struct Pods {
    store: Store<Pod>,
    task: tokio::task::JoinHandle<()>,
}

impl Pods {
    /// Begins to watch the pods with a label.
    pub fn watch(cluster: &Cluster, namespace: &str, selector: &str) -> Self {
        let api: Api<Pod> = Api::namespaced(cluster.client(), namespace);
        let (store, writer) = reflector::store();
        let config = watcher::Config::default().labels(selector);
        let reported = reflector::reflector(writer, watcher(api, config).default_backoff());
        // It reconnects by itself; waits for a pod have a time-out of their own.
        let task = tokio::spawn(reported.for_each(|_| std::future::ready(())));
        Self { store, task }
    }

    /// Returns the names of the ready pods that are not terminating, the newest first.
    pub fn ready(&self) -> Vec<String> {
        let mut ready = self.store.state_filter(is_ready);
        ready.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
        ready.iter().rev().filter_map(|pod| pod.metadata.name.clone()).collect()
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns whether a pod is ready.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    let is_ready = conditions.into_iter().any(|one| one.type_ == "Ready" && one.status == "True");
    is_ready && pod.metadata.deletion_timestamp.is_none()
}

impl Cluster {
    /// Opens a connection to a port of a pod. It ends when the pod does.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub async fn connect_to(
        &self,
        namespace: &str,
        pod: &str,
        port: u16,
    ) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>, ClusterError> {
        let what = || format!("open a connection to {pod}");
        let api: Api<Pod> = Api::namespaced(self.client(), namespace);
        let mut forwarder = api.portforward(pod, &[port]).await.map_err(self.could_not(what))?;
        // The connection was opened for one port, so it has one stream.
        forwarder
            .take_stream(port)
            .ok_or_else(|| ClusterError::gone(self.named(), what(), "the connection has no stream"))
    }
}
