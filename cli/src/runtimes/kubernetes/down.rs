//! `down` and `stop`: found by label, so that they need no manifests and can be repeated if they were interrupted.

use std::time::Duration;

use super::{
    apply::Applying,
    forwarder,
    images::Delivery,
    labels, local,
    plan::{Step, is_data, plan},
    secrets,
    site::Site,
};
use crate::{
    error::{CliError, Result},
    kubernetes::objects::Object,
    output::Output,
    progress::Waiting,
    runtimes::{ChangeLock, embedded},
    state::Environment,
};
use futures_util::future::{try_join, try_join_all};

/// How long objects may take to go: their pods end first.
const GOING_WAIT_MAX: Duration = Duration::from_secs(60);

/// Takes the environment down. Its data stay, and the secrets that open them, unless told otherwise.
///
/// # Errors
/// [`CliError::NoCluster`] if none answers, or what the cluster refuses.
pub(crate) async fn down(volumes: bool, environment: &Environment, output: &Output) -> Result<()> {
    environment.create()?;
    let lock = ChangeLock::take(environment, output).await?;
    let Some(settings) = environment.former_settings()? else {
        return Err(CliError::NotRunning { name: environment.name().clone() });
    };
    let site = Site::open(&settings, environment, output).await?;
    let took_down = {
        let _waiting = Waiting::new(output, "Closing the house");
        let (_, took_down) =
            try_join(forwarder::end(environment), take_down(&site, volumes)).await?;
        took_down
    };
    let name = environment.name();
    match took_down {
        true => output.status(format_args!("`{name}` is down")),
        false => output.status(format_args!("Nothing runs as `{name}`")),
    }
    if volumes {
        if local::remove_if_done(&site).await? {
            output.status(format_args!("The kind cluster `{}` is removed", local::CLUSTER));
        }
        embedded::forget_all(environment)?;
        output.status(format_args!("Its data are gone"));
    } else {
        environment.forget_cluster()?;
        embedded::forget_settings(environment)?;
        output.status(format_args!(
            "Its data stay in the cluster `{}`; `chefcito down --volumes{}` removes them",
            site.cluster.context(),
            name.flag()
        ));
    }
    drop(lock);
    Ok(())
}

/// Stops all pods and keeps everything else.
///
/// # Errors
/// As [`down`].
pub(crate) async fn stop(environment: &Environment, output: &Output) -> Result<()> {
    let _lock = ChangeLock::take(environment, output).await?;
    let Some(settings) = environment.last_settings()? else {
        output.status(format_args!("Nothing runs as `{}`", environment.name()));
        return Ok(());
    };
    let site = Site::open(&settings, environment, output).await?;
    let _waiting = Waiting::new(output, "Closing the house");
    let observed = site.observe().await?;
    if observed.is_empty() {
        output.status(format_args!("Nothing runs as `{}`", environment.name()));
        return Ok(());
    }
    let secrets = secrets::of(&site, &observed)?;
    let contents = Delivery::open(output).await.contents().await?;
    let mut objects = site.wanted(&settings, &secrets, &contents)?;
    objects.stop();
    let applying =
        Applying { cluster: &site.cluster, namespace: &site.namespace, force: false, output };
    let forecasts = applying.forecasts(&objects, &observed).await?;
    // Nothing else changes: what is not as it should be, `up` sees to.
    let mut steps = plan(&objects, &observed, &forecasts);
    steps.retain(|step| matches!(step, Step::Change { id, .. } if objects.has_pods(id)));
    try_join(forwarder::end(environment), applying.carry_out(&steps, &objects)).await?;
    output.status(format_args!("`{}` is stopped", environment.name()));
    Ok(())
}

/// Removes what is ours: all of it with its namespace if that is ours and the data shall go, else what can be made again.
/// Returns whether there was anything.
///
/// # Errors
/// What the cluster refuses.
pub(super) async fn take_down(site: &Site<'_>, volumes: bool) -> Result<bool> {
    let name = site.environment.name().to_string();
    let namespace = site.cluster.namespace(&site.namespace).await?;
    let own = namespace.filter(|one| one.label(labels::ENVIRONMENT) == Some(name.as_str()));
    if let (true, Some(namespace)) = (volumes, own) {
        remove(site, &namespace).await?;
        return Ok(true);
    }
    let observed = site.observe().await?;
    let goes = |object: &&Object| volumes || !(is_data(object) || object.kind() == "Secret");
    let going: Vec<&Object> = observed.iter().filter(goes).collect();
    try_join_all(going.iter().map(|object| remove(site, object))).await?;
    Ok(!going.is_empty())
}

async fn remove(site: &Site<'_>, object: &Object) -> Result<()> {
    match site.cluster.remove(object, &site.namespace, GOING_WAIT_MAX).await? {
        true => Ok(()),
        false => Err(CliError::Failed {
            what: format!(
                "{} did not go within {}",
                object.id(),
                humantime::format_duration(GOING_WAIT_MAX)
            ),
            hint: format!(
                "`kubectl{} describe {} {}` tells what holds it; `down` again goes on from here",
                site.cluster.place().kubectl_flags(),
                object.kind().to_lowercase(),
                object.name()
            ),
            source: None,
        }),
    }
}
