//! What pods print, line by line.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::LogParams};

use super::{Cluster, errors::ClusterError};

/// Which lines of a pod are asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Of which container; of its only one without it.
    pub(crate) container: Option<String>,
    /// So many from the end; all without it.
    pub(crate) tail: Option<usize>,
    /// Those of the container that ended before.
    pub(crate) previous: bool,
}

impl Asked {
    fn params(&self) -> LogParams {
        LogParams {
            container: self.container.clone(),
            previous: self.previous,
            tail_lines: self.tail.map(|lines| i64::try_from(lines).unwrap_or(i64::MAX)),
            ..LogParams::default()
        }
    }
}

impl Cluster {
    /// Returns the last lines of a pod; those of the container that runs now if none ended before.
    ///
    /// # Errors
    /// What the cluster refuses.
    pub(crate) async fn last_lines(
        &self,
        namespace: &str,
        pod: &str,
        asked: Asked,
    ) -> Result<Vec<String>, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client(), namespace);
        let what = || format!("tell what {pod} printed");
        let text = match api.logs(pod, &asked.params()).await {
            Err(kube::Error::Api(_)) if asked.previous => {
                let now = Asked { previous: false, ..asked };
                api.logs(pod, &now.params()).await.map_err(self.could_not(what))?
            }
            told => told.map_err(self.could_not(what))?,
        };
        Ok(text.lines().map(ToOwned::to_owned).collect())
    }
}
