//! The processor and memory that pods use, if the cluster has metrics.

use std::collections::HashMap;

use manifests::quantities::{bytes, nanos};
use serde::Deserialize;

use super::{Cluster, errors::ClusterError};

/// The resources that a pod uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Its share of one processor, in percent.
    pub cpu_percent: f64,
    /// Its memory.
    pub memory_bytes: u64,
}

/// The metrics of a namespace, with the fields that matter here.
#[derive(Debug, Deserialize)]
struct Measured {
    items: Vec<MeasuredPod>,
}

#[derive(Debug, Deserialize)]
struct MeasuredPod {
    metadata: Named,
    containers: Vec<MeasuredContainer>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Deserialize)]
struct MeasuredContainer {
    usage: HashMap<String, String>,
}

impl Cluster {
    /// Returns the resources that each pod uses, by name; empty without metrics or the permission to read them.
    ///
    /// # Errors
    /// [`ClusterError`] if the cluster can't be reached.
    pub async fn usages(&self, namespace: &str) -> Result<HashMap<String, Usage>, ClusterError> {
        let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods");
        let what = || "return the metrics of the pods".into();
        let request = http::Request::get(path).body(Vec::new());
        let request = request.map_err(|error| {
            self.could_not(what)(kube::Error::BuildRequest(
                kube::core::request::Error::BuildRequest(error),
            ))
        })?;
        match self.client().request::<Measured>(request).await {
            Ok(measured) => Ok(measured.usages()),
            // There is no metrics API, it does not answer, or we may not read it.
            Err(kube::Error::Api(_) | kube::Error::SerdeError(_)) => Ok(HashMap::new()),
            Err(error) => Err(self.could_not(what)(error)),
        }
    }
}

impl Measured {
    fn usages(self) -> HashMap<String, Usage> {
        let usage = |pod: MeasuredPod| {
            let sum = |resource: &str, read: fn(&str) -> Option<u64>| {
                let of = |container: &MeasuredContainer| read(container.usage.get(resource)?);
                pod.containers.iter().filter_map(of).sum::<u64>()
            };
            let cpu = std::time::Duration::from_nanos(sum("cpu", nanos));
            let usage = Usage {
                cpu_percent: cpu.as_secs_f64() * 100.0,
                memory_bytes: sum("memory", bytes),
            };
            (pod.metadata.name, usage)
        };
        self.items.into_iter().map(usage).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_takes_what_its_containers_take() {
        let reported = r#"{"kind": "PodMetricsList", "items": [{"metadata": {"name": "kitchen-1"}, "containers": [
            {"name": "kitchen", "usage": {"cpu": "12345678n", "memory": "4096Ki"}},
            {"name": "proxy", "usage": {"cpu": "5m", "memory": "1Mi"}}
        ]}]}"#;
        let usages = serde_json::from_str::<Measured>(reported).unwrap().usages();
        let usage = usages["kitchen-1"];
        assert!((usage.cpu_percent - 1.734_567_8).abs() < 1e-9, "{usage:?}");
        assert_eq!(usage.memory_bytes, 5 << 20);
    }
}
