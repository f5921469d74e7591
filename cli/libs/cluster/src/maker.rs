//! The tool that created a cluster, as far as the kubeconfig shows. It decides how images reach the nodes.

use kube::config::Kubeconfig;

use super::kind::Kind;

/// The prefix of k3d's contexts.
const K3D: &str = "k3d-";
/// minikube's name in a kubeconfig.
const MINIKUBE_PROVIDER: &str = "minikube.sigs.k8s.io";
/// minikube's default context.
const MINIKUBE: &str = "minikube";
/// The contexts of products whose nodes use the images of the engine.
const DESKTOPS: [&str; 3] = ["docker-desktop", "orbstack", "rancher-desktop"];

/// The tool that created a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maker {
    /// kind; this is the cluster's name.
    Kind(String),
    /// k3d; this is the cluster's name.
    K3d(String),
    /// minikube; this is its profile.
    Minikube(String),
    /// Docker Desktop, OrbStack or Rancher Desktop: the nodes use the engine's images.
    Desktop,
    /// Another tool.
    Unknown,
}

impl Maker {
    /// Returns the tool that created the cluster of a context.
    pub(super) fn of(context: &str, kubeconfig: &Kubeconfig) -> Self {
        if let Some(name) = Kind::cluster_of(context) {
            return Self::Kind(name.to_owned());
        }
        if let Some(name) = context.strip_prefix(K3D) {
            return Self::K3d(name.to_owned());
        }
        if DESKTOPS.contains(&context) {
            return Self::Desktop;
        }
        match minikube_profile(context, kubeconfig) {
            Some(profile) => Self::Minikube(profile),
            None => Self::Unknown,
        }
    }
}

/// Returns the profile of a context that minikube wrote: the name of its cluster.
fn minikube_profile(context: &str, kubeconfig: &Kubeconfig) -> Option<String> {
    let named = kubeconfig.contexts.iter().find(|one| one.name == context)?;
    let name = &named.context.as_ref()?.cluster;
    let cluster = kubeconfig.clusters.iter().find(|one| one.name == *name);
    let extensions = cluster.and_then(|one| one.cluster.as_ref()?.extensions.as_ref());
    let is_marked = extensions.into_iter().flatten().any(|one| {
        one.extension.get("provider").is_some_and(|provider| provider == MINIKUBE_PROVIDER)
    });
    (is_marked || context == MINIKUBE).then(|| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_shows_the_tool_that_created_its_cluster() {
        let kubeconfig = Kubeconfig::from_yaml(
            "
clusters:
- name: tasting
  cluster:
    server: https://192.0.2.1:8443
    extensions: [{name: cluster_info, extension: {provider: minikube.sigs.k8s.io}}]
- name: cloud
  cluster: {server: https://192.0.2.2}
contexts:
- {name: tasting, context: {cluster: tasting, user: tasting}}
- {name: minikube, context: {cluster: minikube, user: minikube}}
- {name: cloud, context: {cluster: cloud, user: chef}}
",
        )
        .unwrap();
        let of = |context| Maker::of(context, &kubeconfig);
        assert_eq!(of("kind-chefcito"), Maker::Kind("chefcito".into()));
        assert_eq!(of("k3d-chefcito"), Maker::K3d("chefcito".into()));
        assert_eq!(of("tasting"), Maker::Minikube("tasting".into()));
        assert_eq!(of("minikube"), Maker::Minikube("minikube".into()));
        assert_eq!(of("orbstack"), Maker::Desktop);
        assert_eq!(of("cloud"), Maker::Unknown);
    }
}
