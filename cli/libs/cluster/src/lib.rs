//! A Kubernetes cluster and its API.
//!
//! Guarantees: a cluster that does not answer, refuses or is too old is an error that says what to try; objects are applied by the
//! server, field by field, under our name; what others have set is never taken over without being asked for.
//!
//! Does not know: environments, commands, output and exit codes.
//!
//! Any cluster with server-side apply works, which is 1.20 or newer; an error names features beyond that which the
//! overlays for production need and the cluster lacks.

pub mod diff;
pub mod errors;
mod exec;
mod fields;
pub mod forward;
pub mod kind;
pub mod loaders;
pub mod loading;
pub mod logs;
mod maker;
pub mod metrics;
pub mod nodes;
pub mod objects;
pub mod pods;
mod proxy;
mod removal;
mod retries;
mod target;
pub mod workloads;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::Request;
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::Client;
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

use self::{
    errors::{ClusterError, Named},
    target::{Kubeconfigs, address},
};
pub use self::{
    maker::Maker,
    target::{KubeTarget, has_context, server_of},
};
use crate::errors::{Error, Result};

/// The oldest supported minor version of Kubernetes 1: the first with a mature server-side apply.
pub const MINOR_MIN: u32 = 20;
/// How long a cluster may take to report its version.
const HELLO_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a command waits for an API server that is starting, unless it has a time-out of its own.
pub const START_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often a starting API server is asked.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long logging in may take: a person may have to do it in a browser.
const LOGIN_WAIT_MAX: Duration = Duration::from_secs(5 * 60);
/// How long a connection to an API server may take.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);

/// A cluster that has answered.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    target: KubeTarget,
    maker: Maker,
    named: Arc<Named>,
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
pub struct Version {
    /// `33` of 1.33.
    pub minor: u32,
    /// As the server reports it: `v1.33.1`.
    pub text: String,
}

impl Cluster {
    /// Connects to the cluster that `kubectl` would use, and asks for its version. Waits for an API server that is
    /// starting for up to `wait_max`, and passes once to `tell` that it waits.
    ///
    /// # Errors
    /// [`errors::Error::NoCluster`] with a hint: there is no kubeconfig or no such context, the API server
    /// does not answer, the credentials or certificates are refused, or the cluster is too old.
    pub async fn connect(
        target: &KubeTarget,
        wait_max: Duration,
        tell: impl Fn(&str),
    ) -> Result<Self> {
        let kubeconfigs = Kubeconfigs::read(target)?;
        let context = kubeconfigs.context(target.context.as_deref())?;
        let target = KubeTarget { context: Some(context.clone()), ..target.clone() };
        let maker = Maker::of(&context, &kubeconfigs.merged);
        let mut config = kubeconfigs.config(&context, &target.kubectl())?;
        config.connect_timeout = Some(CONNECT_WAIT_MAX);
        // Repeating is ours: the library does it inside of a request, where no error shows what it waits for.
        config.default_retry = false;
        let server = address(&config);
        let through = config.proxy_url.as_ref().map(proxy::without_login);
        let through = through.map(|proxy| format!(" through the proxy {proxy}"));
        let named = Arc::new(Named {
            kubectl: target.kubectl(),
            server: server.clone() + &through.unwrap_or_default(),
            login: kubeconfigs.login(&context),
            context,
        });
        // The library runs the program that the kubeconfig logs in with, and blocks its thread meanwhile.
        let login = timeout(LOGIN_WAIT_MAX, spawn_blocking(|| Client::try_from(config)));
        let client = login.await.map_err(|_| errors::silent(&named, LOGIN_WAIT_MAX))?;
        let client = client.map_err(|error| Error::io(|| "log in".into())(error.into()))?;
        let client = client.map_err(|error| errors::no_hello(&named, &error))?;
        let info = greet(&client, &named, wait_max, tell).await?;
        // Some clouds report `33+`.
        let minor = info.minor.trim_end_matches(|end: char| !end.is_ascii_digit()).parse().ok();
        let Some(minor) = minor else { return Err(errors::no_cluster_there(&named)) };
        if minor < MINOR_MIN {
            return Err(errors::too_old(&named.context, &info.git_version));
        }
        Ok(Self {
            client: retries::repeating(client),
            target,
            maker,
            named,
            server,
            version: Version { minor, text: info.git_version },
        })
    }

    /// Returns its context.
    pub fn context(&self) -> &str {
        self.target.context.as_deref().unwrap_or_default()
    }

    /// Returns its target, with the context resolved.
    pub const fn target(&self) -> &KubeTarget {
        &self.target
    }

    /// Returns the tool that created it.
    pub const fn maker(&self) -> &Maker {
        &self.maker
    }

    /// Returns the address of its API server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Returns its version.
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// Returns the library's client.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Returns a function that adds the operation to a cluster's error: `.map_err(cluster.could_not(|| "list the
    /// pods".into()))`.
    pub(crate) fn could_not(
        &self,
        what: impl FnOnce() -> String,
    ) -> impl FnOnce(kube::Error) -> ClusterError {
        move |error| ClusterError::new(&self.named, what(), error)
    }

    /// Returns it as errors name it.
    const fn named(&self) -> &Arc<Named> {
        &self.named
    }
}

/// Asks a server for its version, and waits until it has started.
async fn greet(
    client: &Client,
    named: &Named,
    wait_max: Duration,
    tell: impl Fn(&str),
) -> Result<Info> {
    let since = Instant::now();
    let mut reported = false;
    loop {
        let answer = timeout(HELLO_WAIT_MAX, async {
            let info = client.apiserver_version().await?;
            let ready = Request::get("/readyz").body(Vec::new()).map_err(kube::Error::HttpError)?;
            Ok((info, client.request_text(ready).await))
        });
        let answer = answer.await.map_err(|_| errors::silent(named, HELLO_WAIT_MAX))?;
        let (error, answered) = match answer {
            Ok((info, Ok(_))) => return Ok(info),
            // We may not be allowed to ask, and it may be well enough for us.
            Ok((info, Err(error))) => (error, Ok(info)),
            Err(error) => {
                let refused = errors::no_hello(named, &error);
                (error, Err(refused))
            }
        };
        let patience = match &answered {
            Ok(_) if matches!(&error, kube::Error::Api(status) if status.code < 429) => {
                Duration::ZERO
            }
            _ => errors::starting_for(&error),
        };
        if since.elapsed() >= patience.min(wait_max) {
            return answered;
        }
        if !reported {
            tell(&format!("Waiting until the cluster `{}` has started", named.context));
            reported = true;
        }
        sleep(LOOK_EVERY).await;
    }
}
