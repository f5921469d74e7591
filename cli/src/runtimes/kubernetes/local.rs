//! The shared kind cluster: found, created if it does not exist, and removed when it has no environment any more.

use std::path::PathBuf;

use cluster::{
    KubeTarget, has_context,
    kind::{CLUSTER_LABEL, Kind, Making},
    objects::{How, Object},
};
use engine::Engine;
use serde_json::json;

use super::{
    claim::Claim,
    forwarder, labels,
    session::{NODE_PORT, Session},
};
use crate::{
    config::Settings,
    error::{CliError, Result},
    output::Output,
    progress::Waiting,
    state::{Environment, write_private},
};

/// The name of the shared kind cluster.
pub(super) const CLUSTER: &str = "chefcito";
/// The namespace of the mark.
const MARK_NAMESPACE: &str = "default";
/// The ConfigMap by which a cluster is known as created by chefcito.
const MARK: &str = "made-by-chefcito";

/// Returns the target of the cluster; `None` if it does not exist.
///
/// # Errors
/// [`CliError::Lacking`] if that can't be found out without `kind`.
pub(super) async fn find(environment: &Environment) -> Result<Option<KubeTarget>> {
    let context = Kind::context(CLUSTER);
    let of_user = KubeTarget::of_user(Some(context.clone()));
    let kind = match Kind::find().await {
        // The user's kubeconfig has it, too.
        Err(_) if has_context(&of_user, &context) => return Ok(Some(of_user)),
        kind => kind?,
    };
    // An incomplete one is created again.
    if Claim::is_noted(environment) || !kind.has(CLUSTER).await? {
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

/// Looks for the cluster again if it does not answer at its known address: it may be gone or created again. Ends the
/// forwarder to the old one.
///
/// # Errors
/// The error of the cluster that did not answer, if its existence can't be checked, with a hint.
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

/// Adds a hint to the error of a cluster that does not answer though kind lists it.
pub(super) fn is_still_there(error: CliError) -> CliError {
    match error {
        CliError::NoCluster { what, source, is_lost: true, .. } => CliError::NoCluster {
            what,
            hint: format!(
                "kind has it, so its node may be stopped: start it with `docker start {CLUSTER}-control-plane`, then \
                 repeat the command; only if it can't be started any more, `kind delete cluster --name {CLUSTER}` removes \
                 it with all data"
            ),
            source,
            is_lost: false,
        },
        error => error,
    }
}

/// Creates the cluster, in place of an incomplete one. `port` is the port of this machine that leads to the gateway of the default environment.
///
/// # Errors
/// kind's error.
pub(super) async fn make(
    settings: &Settings,
    port: u16,
    claim: &Claim,
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
    if Claim::is_noted(environment) {
        remove_unfinished(claim, environment, output).await?;
    }
    claim.note_incomplete()?;
    let shown = Waiting::new(output, format_args!("Creating the kind cluster `{}`", making.name));
    let tell = |line: &str| {
        shown.say(format_args!("Creating the kind cluster `{}`: {line}", making.name));
        output.detail(format_args!("kind: {line}"));
    };
    kind.create(&making, claim.lent()?, tell).await?;
    Ok(ours(kubeconfig))
}

fn ours(kubeconfig: PathBuf) -> KubeTarget {
    KubeTarget { context: Some(Kind::context(CLUSTER)), kubeconfig: Some(kubeconfig) }
}

/// Returns the configuration of the cluster: one node, with one published port.
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

/// Marks the cluster as created by chefcito, so that the last environment's `down` may remove it.
///
/// # Errors
/// The cluster's refusal.
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

/// Removes the cluster if chefcito created it and no other environment uses it or is about to. Returns whether it did.
///
/// # Errors
/// The cluster's refusal, or kind's error.
pub(super) async fn remove_if_alone(session: &Session<'_>) -> Result<bool> {
    if Kind::cluster_of(session.cluster.context()) != Some(CLUSTER) {
        return Ok(false);
    }
    let Some(_claim) = Claim::to_remove(session.environment)? else { return Ok(false) };
    let is_ours = session.cluster.read(&the_mark()?, MARK_NAMESPACE).await?.is_some();
    let name = session.environment.name().to_string();
    let environments = session.cluster.namespaces(labels::ENVIRONMENT).await?;
    let mut names = environments.iter().filter_map(|one| one.label(labels::ENVIRONMENT));
    // The one of that name may be another one.
    if !is_ours || names.any(|one| one != name) || session.mark(&environments).is_err() {
        return Ok(false);
    }
    Kind::find().await?.delete(CLUSTER, &session.environment.kubeconfig_file()).await?;
    Ok(true)
}

/// Removes an incomplete cluster, unless another command has found it.
///
/// # Errors
/// kind's error.
pub(super) async fn remove_unfinished(
    claim: &Claim,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    if !claim.is_alone()? {
        return Ok(());
    }
    output.progress(format_args!("Removing the incomplete kind cluster `{CLUSTER}`"));
    Kind::find().await?.delete(CLUSTER, &environment.kubeconfig_file()).await?;
    claim.forget_note()
}

/// Removes a cluster that a command was killed in creating.
///
/// # Errors
/// kind's error.
pub(crate) async fn remove_abandoned(environment: &Environment, output: &Output) -> Result<()> {
    if !Claim::is_noted(environment) {
        return Ok(());
    }
    // kind works on when its command is killed, and keeps the claim.
    let claim = Claim::to_make(environment, output).await?;
    match Claim::is_noted(environment) {
        true => remove_unfinished(&claim, environment, output).await,
        false => Ok(()),
    }
}

/// Returns the port of this machine that is published from the gateway's port of the node; with one, no forwarder is
/// needed.
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
