//! `down` and `stop`: found by label, so that they need no manifests and can be repeated if they were interrupted.

use std::{collections::BTreeSet, convert::Infallible, future::pending};

use futures_util::{StreamExt, future::try_join, stream::FuturesUnordered};

use super::{
    forwarder,
    images::Delivery,
    labels, local,
    plan::{Step, is_data, plan},
    secrets,
    session::Session,
};
use crate::{
    config::Settings,
    error::{CliError, Result},
    images::Contents,
    kubernetes::{objects::Object, pods::PodWatch},
    output::Output,
    progress::Waiting,
    runtimes::{ChangeLock, embedded},
    state::Environment,
};

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
    let session = match Session::find(&settings, environment, output).await {
        Ok(Some(session)) => session,
        Ok(None) => {
            output.status(format_args!(
                "Nothing is running as `{}`: there is no kind cluster `{}`",
                environment.name(),
                local::CLUSTER
            ));
            return forget(volumes, lock, environment, output).await;
        }
        Err(error) if volumes && error.is_lost_cluster() => {
            output.warn(format_args!(
                "{error}: what may be left there in the namespace `{}` stays",
                environment.name()
            ));
            return forget(volumes, lock, environment, output).await;
        }
        Err(error) => return Err(error),
    };
    let (took_down, cluster_gone) = {
        let _waiting = Waiting::new(output, "Stopping the environment");
        let down = async {
            // A cluster that goes takes with it what is in it.
            if volumes && local::remove_if_alone(&session).await? {
                return Ok((true, true));
            }
            let took_down = take_down(&session, &settings, volumes).await?;
            // Of several that go at the same time, the last one is alone.
            Ok((took_down, volumes && local::remove_if_alone(&session).await?))
        };
        try_join(forwarder::end(environment), down).await?.1
    };
    let name = environment.name();
    match took_down {
        true => output.status(format_args!("`{name}` is down")),
        false => output.status(format_args!("Nothing is running as `{name}`")),
    }
    if volumes {
        if cluster_gone {
            output.status(format_args!("The kind cluster `{}` is removed", local::CLUSTER));
        }
        embedded::forget_all(environment)?;
        output.status(format_args!("Removed its data"));
    } else {
        environment.forget_cluster()?;
        embedded::forget_settings(environment)?;
        output.status(format_args!(
            "Its data stay in the cluster `{}`; `chefcito down --volumes{}` removes them",
            session.cluster.context(),
            name.flag()
        ));
    }
    drop(lock);
    Ok(())
}

/// Forgets an environment on a cluster that is gone, or can't be reached.
async fn forget(
    volumes: bool,
    lock: ChangeLock,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    forwarder::end(environment).await?;
    if volumes {
        embedded::forget_all(environment)?;
        output.status(format_args!("`{}` is forgotten", environment.name()));
    } else {
        environment.forget_cluster()?;
        embedded::forget_settings(environment)?;
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
        output.status(format_args!("Nothing is running as `{}`", environment.name()));
        return Ok(());
    };
    let Some(session) = Session::find(&settings, environment, output).await? else {
        output.status(format_args!("Nothing is running as `{}`", environment.name()));
        return Ok(());
    };
    let _waiting = Waiting::new(output, "Stopping the environment");
    let observed = session.observe().await?;
    if observed.is_empty() {
        output.status(format_args!("Nothing is running as `{}`", environment.name()));
        return Ok(());
    }
    let secrets = secrets::of(&session, &observed)?;
    let push = settings.cluster.push.as_deref();
    let contents = Delivery::open(push, output).await.contents().await?;
    let mut objects = session.wanted(&settings, &secrets, &contents)?;
    objects.stop();
    let applying = session.applying();
    let forecasts = applying.forecasts(&objects, &observed).await?;
    // Nothing else changes: what is not as it should be, `up` sees to.
    let mut steps = plan(&objects, &observed, &forecasts);
    steps.retain(|step| matches!(step, Step::Change { id, .. } if objects.has_pods(id)));
    try_join(forwarder::end(environment), applying.carry_out(&steps, &objects)).await?;
    output.status(format_args!("`{}` is stopped", environment.name()));
    Ok(())
}

/// Tells services once more to end when the cluster has told them: else each goes on answering for `CHEFCITO_STOP_DELAY`, for the
/// sake of whoever still sends it requests; and when all goes, nobody does. Where that can't be done it is waited for.
async fn hurry(session: &Session<'_>) -> Infallible {
    let Ok(mut watch) = PodWatch::begin(&session.cluster, &session.namespace).await else {
        return pending().await;
    };
    let mut told = BTreeSet::new();
    let mut telling = FuturesUnordered::new();
    loop {
        for pod in watch.pods() {
            if pod.is_going && pod.is_ours && told.insert(pod.uid.clone()) {
                telling.push(async move {
                    let command = [&*format!("/{}", pod.service), "--stop"];
                    let namespace = &session.namespace;
                    session
                        .cluster
                        .run_unheard(namespace, &pod.name, &pod.container, &command)
                        .await
                });
            }
        }
        tokio::select! {
            changed = watch.changed() => if changed.is_err() { return pending().await },
            Some(told) = telling.next() => {
                if let Err(error) = told {
                    session.output.detail(format_args!("{error}"));
                }
            }
        }
    }
}

/// Removes what is ours: all of it with its namespace if that is ours and the data shall go, else what can be made again.
/// Returns whether there was anything.
///
/// # Errors
/// What the cluster refuses.
pub(super) async fn take_down(
    session: &Session<'_>,
    settings: &Settings,
    volumes: bool,
) -> Result<bool> {
    let name = session.environment.name().to_string();
    let observed = session.observe().await?;
    let goes = |object: &&Object| volumes || !(is_data(object) || object.kind() == "Secret");
    let mut going: Vec<&Object> = observed.iter().filter(goes).collect();
    let has_any = !going.is_empty();
    let claims = match volumes {
        true => session
            .wanted(settings, &secrets::to_look(session, &observed)?, &Contents::default())?
            .claims(),
        false => Vec::new(),
    };
    going.extend(&claims);
    // Before a namespace that goes, too: what is left in it for a moment, it looks for again only after many.
    let applying = session.applying();
    tokio::select! {
        removed = applying.remove(&going) => removed?,
        never = hurry(session) => match never {},
    }
    let namespace = session.cluster.namespace(&session.namespace).await?;
    let own = namespace.filter(|one| one.label(labels::ENVIRONMENT) == Some(name.as_str()));
    match (volumes, own) {
        (true, Some(namespace)) => session.applying().remove(&[&namespace]).await.map(|()| true),
        _ => Ok(has_any),
    }
}
