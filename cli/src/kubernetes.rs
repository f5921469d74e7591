//! A Kubernetes cluster: where it is, and what it is asked. Only here and below is the library named that speaks to it.
//!
//! Any cluster will do whose API server knows server-side apply, which is 1.20 or newer; what the overlays for production ask
//! for beyond that is named when a cluster lacks it.

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

/// The oldest minor version of Kubernetes 1 that is spoken here: its server-side apply is good enough.
pub(crate) const MINOR_MIN: u32 = 20;
/// How long a cluster may take to say which version it has.
const HELLO_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long an API server may take to let a connection through.
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
    /// As the server says it: `v1.33.1`.
    pub(crate) text: String,
}

impl Cluster {
    /// Finds a cluster as `kubectl` would, and asks it which version it has.
    ///
    /// # Errors
    /// [`CliError::NoCluster`], exit code 7: there is no kubeconfig, no such context, nobody answers, nobody is trusted, or
    /// the cluster is too old; each with what to try.
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
        // Some clouds say `33+`.
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

    /// Returns the context by which it is known.
    pub(crate) fn context(&self) -> &str {
        self.target.context.as_deref().unwrap_or_default()
    }

    /// Returns where it was found, its context resolved.
    pub(crate) const fn target(&self) -> &KubeTarget {
        &self.target
    }

    /// Returns who made it.
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

    /// Returns what the library asks with.
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Returns a function that puts a cluster's refusal into words: `.map_err(cluster.could_not(|| "list the pods".into()))`.
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
