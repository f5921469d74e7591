//! A Kubernetes cluster and its API. Only this module and those below use the client library.
//!
//! Any cluster with server-side apply works, which is 1.20 or newer; an error names features beyond that which the
//! overlays for production need and the cluster lacks.

pub(crate) mod diff;
pub(crate) mod errors;
mod exec;
mod fields;
pub(crate) mod forward;
pub(crate) mod kind;
pub(crate) mod loaders;
pub(crate) mod logs;
mod maker;
pub(crate) mod metrics;
pub(crate) mod nodes;
pub(crate) mod objects;
pub(crate) mod pods;
pub(crate) mod quantities;
mod removal;
mod target;
pub(crate) mod workloads;

use std::time::Duration;

use kube::{Client, Config, config::KubeConfigOptions};

use self::{errors::ClusterError, target::Kubeconfigs};
pub(crate) use self::{
    maker::Maker,
    target::{KubeTarget, has_context},
};
use crate::error::{CliError, Result};

/// The oldest supported minor version of Kubernetes 1: the first with a mature server-side apply.
pub(crate) const MINOR_MIN: u32 = 20;
/// How long a cluster may take to report its version.
const HELLO_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a connection to an API server may take.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);

/// A cluster that has answered.
#[derive(Clone)]
pub(crate) struct Cluster {
    client: Client,
    target: KubeTarget,
    maker: Maker,
    server: String,
    version: Version,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cluster").field("target", &self.target).finish_non_exhaustive()
    }
}

/// A version of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// `33` of 1.33.
    pub(crate) minor: u32,
    /// As the server reports it: `v1.33.1`.
    pub(crate) text: String,
}

impl Cluster {
    /// Connects to the cluster that `kubectl` would use, and asks for its version.
    ///
    /// # Errors
    /// [`CliError::NoCluster`], exit code 7, with a hint: there is no kubeconfig or no such context, the API server
    /// does not answer, the credentials or certificates are refused, or the cluster is too old.
    pub(crate) async fn connect(target: &KubeTarget) -> Result<Self> {
        let kubeconfigs = Kubeconfigs::read(target)?;
        let context = kubeconfigs.context(target.context.as_deref())?;
        let target = KubeTarget { context: Some(context.clone()), ..target.clone() };
        let maker = Maker::of(&context, &kubeconfigs.merged);
        let options = KubeConfigOptions { context: Some(context.clone()), ..Default::default() };
        let mut config = Config::from_custom_kubeconfig(kubeconfigs.merged, &options)
            .await
            .map_err(|error| errors::bad_context(&context, error))?;
        config.connect_timeout = Some(CONNECT_WAIT_MAX);
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client::try_from(config)
            .map_err(|error| errors::no_hello(&context, &server, &error))?;
        let info = tokio::time::timeout(HELLO_WAIT_MAX, client.apiserver_version())
            .await
            .map_err(|_| errors::silent(&context, &server, HELLO_WAIT_MAX))?
            .map_err(|error| errors::no_hello(&context, &server, &error))?;
        // Some clouds report `33+`.
        let minor = info.minor.trim_end_matches(|end: char| !end.is_ascii_digit()).parse().ok();
        let Some(minor) = minor else { return Err(errors::no_cluster_there(&context, &server)) };
        if minor < MINOR_MIN {
            return Err(errors::too_old(&context, &info.git_version));
        }
        Ok(Self {
            client,
            target,
            maker,
            server,
            version: Version { minor, text: info.git_version },
        })
    }

    /// Returns its context.
    pub(crate) fn context(&self) -> &str {
        self.target.context.as_deref().unwrap_or_default()
    }

    /// Returns its target, with the context resolved.
    pub(crate) const fn target(&self) -> &KubeTarget {
        &self.target
    }

    /// Returns the tool that created it.
    pub(crate) const fn maker(&self) -> &Maker {
        &self.maker
    }

    /// Returns the address of its API server.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Returns its version.
    pub(crate) const fn version(&self) -> &Version {
        &self.version
    }

    /// Returns the library's client.
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Returns a function that adds the operation to a cluster's error: `.map_err(cluster.could_not(|| "list the
    /// pods".into()))`.
    pub(super) fn could_not(
        &self,
        what: impl FnOnce() -> String,
    ) -> impl FnOnce(kube::Error) -> ClusterError {
        move |error| ClusterError::new(self.context(), what(), error)
    }
}

impl From<ClusterError> for CliError {
    fn from(error: ClusterError) -> Self {
        Self::Cluster(error)
    }
}
