//! The kind cluster of ours: found, or made where there is none, and removed when nothing of ours is in it any more.

use std::path::PathBuf;

use serde_json::json;

use super::{
    claim::Claim,
    forwarder, labels,
    session::{NODE_PORT, Session},
};
use crate::{
    config::Settings,
    docker::Engine,
    error::{CliError, Result},
    kubernetes::{
        KubeTarget, has_context,
        kind::{CLUSTER_LABEL, Kind, Making},
        objects::{How, Object},
    },
    output::Output,
    state::{Environment, write_private},
};

/// The name of the cluster that all environments without a context of their own share.
pub(super) const CLUSTER: &str = "chefcito";
/// Where it is written down in a cluster that we made it.
const MARK_NAMESPACE: &str = "default";
/// What is written there.
const MARK: &str = "made-by-chefcito";

/// Returns where the cluster is; nothing if there is none.
///
/// # Errors
/// [`CliError::Lacking`] if it can't be looked for without `kind`.
pub(super) async fn find(environment: &Environment) -> Result<Option<KubeTarget>> {
    let context = Kind::context(CLUSTER);
    let of_user = KubeTarget::of_user(Some(context.clone()));
    let kind = match Kind::find().await {
        // Somebody else's kubeconfig leads to it.
        Err(_) if has_context(&of_user, &context) => return Ok(Some(of_user)),
        kind => kind?,
    };
    if !kind.has(CLUSTER).await? {
        return Ok(None);
    }
    environment.create()?;
    let kubeconfig = environment.kubeconfig_file();
    write_private(&kubeconfig, kind.kubeconfig(CLUSTER).await?.as_bytes())?;
    Ok(Some(ours(kubeconfig)))
}

/// Returns whether a target is the shared kind cluster.
pub(super) fn is_at(target: &KubeTarget) -> bool {
    target.context.as_deref().and_then(Kind::cluster_of) == Some(CLUSTER)
}

/// Looks for the cluster again where it does not answer as it is known here: it may be gone, or have been made anew. Nothing
/// leads there any more in the background.
///
/// # Errors
/// The error of the cluster that did not answer, if nobody can tell, with what to try.
pub(super) async fn find_again(
    unanswered: CliError,
    environment: &Environment,
) -> Result<Option<KubeTarget>> {
    let found = find(environment).await.map_err(|error| match (unanswered, error.hint()) {
        (CliError::NoCluster { what, source, .. }, Some(hint)) => {
            let is_lost = matches!(error, CliError::Lacking { .. });
            CliError::NoCluster { what, hint, source, is_lost }
        }
        (unanswered, _) => unanswered,
    })?;
    forwarder::end(environment).await?;
    Ok(found)
}

/// Says of a cluster that does not answer, and that kind has, how to get on.
pub(super) fn is_still_there(error: CliError) -> CliError {
    match error {
        CliError::NoCluster { what, source, is_lost: true, .. } => CliError::NoCluster {
            what,
            hint: format!(
                "kind has it, so its node may be stopped: start it with `docker start {CLUSTER}-control-plane`, \
                 or remove the cluster with `kind delete cluster --name {CLUSTER}`"
            ),
            source,
            is_lost: false,
        },
        error => error,
    }
}

/// Makes the cluster. `port` is the port of this machine that leads to the gateway of the default environment.
///
/// # Errors
/// What keeps kind from making it, with its own words.
pub(super) async fn make(
    settings: &Settings,
    port: u16,
    environment: &Environment,
    output: &Output,
) -> Result<KubeTarget> {
    let kind = Kind::find().await?;
    output.detail(format_args!("kind has {}", kind.version()));
    let kubeconfig = environment.kubeconfig_file();
    let making = Making {
        name: CLUSTER,
        config: &config(port),
        node_image: settings.cluster.node_image.as_deref(),
        kubeconfig: &kubeconfig,
    };
    kind.create(&making, output).await?;
    Ok(ours(kubeconfig))
}

fn ours(kubeconfig: PathBuf) -> KubeTarget {
    KubeTarget { context: Some(Kind::context(CLUSTER)), kubeconfig: Some(kubeconfig) }
}

/// Returns what the cluster is to be like: one node, one port of which leads out.
fn config(port: u16) -> String {
    // JSON is YAML, too.
    json!({
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "kind": "Cluster",
        "nodes": [{
            "role": "control-plane",
            "extraPortMappings": [{
                "containerPort": NODE_PORT,
                "hostPort": port,
                "listenAddress": "127.0.0.1",
                "protocol": "TCP",
            }],
        }],
    })
    .to_string()
}

/// Writes down in the cluster that we made it, so that whoever removes the last of ours may remove it, too.
///
/// # Errors
/// What the cluster refuses.
pub(super) async fn mark(session: &Session<'_>) -> Result<()> {
    let how = How { dry_run: false, force: true };
    session.cluster.apply(&the_mark()?, MARK_NAMESPACE, how).await?;
    Ok(())
}

fn the_mark() -> Result<Object> {
    let object = Object::from_value(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": MARK, "labels": {labels::MANAGED_BY: labels::CHEFCITO}},
    }));
    object.map_err(CliError::failed)
}

/// Removes the cluster with all that is in it, if we made it, and no other environment is in it or about to be. Returns whether
/// it did.
///
/// # Errors
/// What the cluster refuses, or kind's own words.
pub(super) async fn remove_if_alone(session: &Session<'_>) -> Result<bool> {
    if Kind::cluster_of(session.cluster.context()) != Some(CLUSTER) {
        return Ok(false);
    }
    let Some(_claim) = Claim::to_remove(session.environment)? else { return Ok(false) };
    let is_ours = session.cluster.read(&the_mark()?, MARK_NAMESPACE).await?.is_some();
    let name = session.environment.name().to_string();
    let environments = session.cluster.namespaces(labels::ENVIRONMENT).await?;
    let mut names = environments.iter().filter_map(|one| one.label(labels::ENVIRONMENT));
    if !is_ours || names.any(|one| one != name) {
        return Ok(false);
    }
    Kind::find().await?.delete(CLUSTER, &session.environment.kubeconfig_file()).await?;
    Ok(true)
}

/// Removes a cluster that was only half made, unless another command has found it.
///
/// # Errors
/// kind's own words.
pub(super) async fn remove_unfinished(environment: &Environment) -> Result<()> {
    let Some(_claim) = Claim::to_remove(environment)? else { return Ok(()) };
    Kind::find().await?.delete(CLUSTER, &environment.kubeconfig_file()).await
}

/// Returns the port of this machine that leads to the gateway's port of the node, if there is one: then no process of ours has
/// to carry anything.
pub(super) async fn mapped_port(session: &Session<'_>) -> Option<u16> {
    let name = Kind::cluster_of(session.cluster.context()).filter(|_| session.has_door())?;
    let engine = Engine::connect().await.ok().filter(Engine::is_local)?;
    let nodes = engine.containers(&[format!("{CLUSTER_LABEL}={name}")]).await.ok()?;
    let mut ports = nodes.iter().flat_map(|node| &node.ports);
    Some(ports.find(|port| port.target == NODE_PORT)?.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_has_one_node_and_one_door_on_loopback() {
        let config: serde_json::Value = serde_json::from_str(&config(7373)).unwrap();
        let mapping = &config["nodes"][0]["extraPortMappings"][0];
        assert_eq!(
            (&mapping["hostPort"], &mapping["listenAddress"]),
            (&json!(7373), &json!("127.0.0.1"))
        );
        assert_eq!(config["nodes"].as_array().unwrap().len(), 1);
    }
}
