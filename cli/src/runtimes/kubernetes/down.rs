//! `down` and `stop`. They find everything by label, need no manifests, and can be repeated after an interrupt.

use std::{collections::BTreeSet, convert::Infallible, future::pending};

use cluster::{START_WAIT_MAX, objects::Object, pods::PodWatch};
use futures_util::{
    StreamExt, TryStreamExt,
    future::try_join,
    stream::{self, FuturesUnordered},
};
use tokio::time::{Instant, timeout_at};

use super::{
    apply::{ASKED_MAX, GOING_WAIT_MAX, Progress},
    forwarder,
    images::Delivery,
    labels, local,
    plan::{Step, is_data, steps},
    secrets,
    session::Session,
};
use crate::{
    config::Settings,
    error::{CliError, Result},
    images::Contents,
    output::Output,
    progress::Waiting,
    runtimes::{ChangeLock, embedded},
    state::Environment,
};

/// Takes the environment down. Keeps its data and secrets unless `volumes` is set.
///
/// # Errors
/// [`CliError::NoCluster`] if none answers, or the cluster's refusal.
pub(crate) async fn down(volumes: bool, environment: &Environment, output: &Output) -> Result<()> {
    environment.create()?;
    let lock = ChangeLock::take(environment, output).await?;
    let Some(settings) = environment.former_settings()? else {
        return Err(CliError::NotRunning { name: environment.name().clone() });
    };
    if settings.cluster.are_of_shared() {
        local::remove_abandoned(environment, output).await?;
    }
    let session = match Session::find(&settings, environment, output, START_WAIT_MAX).await {
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
                "{error}: objects in its namespace `{}` may be left",
                environment.name()
            ));
            return forget(volumes, lock, environment, output).await;
        }
        Err(error) => return Err(error),
    };
    let (took_down, cluster_gone) = {
        let _waiting = Waiting::new(output, "Stopping the environment");
        let down = async {
            // Removing the cluster removes all that is in it.
            if volumes && local::remove_if_alone(&session).await? {
                return Ok((TakenDown { had_any: true, keeps_data: false }, true));
            }
            let took_down = take_down(&session, &settings, volumes).await?;
            // Of several commands that do this at the same time, the last one removes the cluster.
            Ok((took_down, volumes && local::remove_if_alone(&session).await?))
        };
        try_join(forwarder::end(environment), down).await?.1
    };
    let name = environment.name();
    match took_down.had_any {
        true => output.status(format_args!("`{name}` is down")),
        false => output.status(format_args!("Nothing is running as `{name}`")),
    }
    if volumes {
        if cluster_gone {
            output.status(format_args!("Removed the kind cluster `{}`", local::CLUSTER));
        }
        embedded::forget_all(environment)?;
        output.status(format_args!("Removed its data"));
    } else {
        environment.forget_cluster()?;
        embedded::forget_settings(environment)?;
    }
    if took_down.keeps_data {
        output.status(format_args!(
            "Its data stay in the cluster `{}`; `chefcito down --volumes{}` removes them",
            session.cluster.context(),
            name.flag()
        ));
    }
    drop(lock);
    Ok(())
}

/// Removes the records of an environment whose cluster is gone or can't be reached.
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
    let found = Session::find(&settings, environment, output, START_WAIT_MAX).await?;
    let Some(session) = found else {
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
    let mark = session.mark(&observed)?;
    let mut objects = session.wanted(&settings, &secrets, &contents, &mark)?;
    objects.stop();
    let applying = session.applying();
    let forecasts = applying.forecasts(&objects, &observed).await?;
    // Changes nothing else: `up` applies other differences.
    let mut steps = steps(&objects, &observed, &forecasts);
    steps.retain(|step| matches!(step, Step::Change { id, .. } if objects.has_pods(id)));
    let progress = Progress::default();
    let changes = steps.iter().map(|step| applying.carry_out(step, &objects, &observed, &progress));
    let changes = stream::iter(changes).buffered(ASKED_MAX).try_collect::<()>();
    try_join(forwarder::end(environment), changes).await?;
    tokio::select! {
        ended = await_end(&session) => ended?,
        never = hurry(&session) => match never {},
    }
    output.status(format_args!("`{}` is stopped", environment.name()));
    Ok(())
}

/// Waits until the pods of services and databases are gone.
async fn await_end(session: &Session<'_>) -> Result<()> {
    let mut watch = PodWatch::begin(&session.cluster, &session.namespace).await?;
    let deadline = Instant::now() + GOING_WAIT_MAX;
    loop {
        let mut left = watch.pods();
        // The pods of completed jobs stay.
        left.retain(|pod| pod.ready.is_some());
        let Some(first) = left.first() else { return Ok(()) };
        let Ok(changed) = timeout_at(deadline, watch.changed()).await else {
            return Err(CliError::Failed {
                what: format!(
                    "{} pods have not ended within {}",
                    left.len(),
                    humantime::format_duration(GOING_WAIT_MAX)
                ),
                hint: format!(
                    "`{} --namespace {} describe pod {}` shows the cause; `chefcito stop{}` waits again",
                    session.cluster.target().kubectl(),
                    session.namespace,
                    first.name,
                    session.environment.name().flag()
                ),
                source: None,
            });
        };
        changed?;
    }
}

/// Sends services SIGTERM once more after the cluster has. On the first one they go on serving for
/// `CHEFCITO_STOP_DELAY`, for clients that still have their address; when everything stops, there are none. If that
/// can't be sent, the stop just takes longer.
async fn hurry(session: &Session<'_>) -> Infallible {
    let Ok(mut watch) = PodWatch::begin(&session.cluster, &session.namespace).await else {
        return pending().await;
    };
    let mut reported = BTreeSet::new();
    let mut telling = FuturesUnordered::new();
    loop {
        for pod in watch.pods() {
            if pod.is_terminating && pod.is_ours && reported.insert(pod.uid.clone()) {
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
            Some(reported) = telling.next() => {
                if let Err(error) = reported {
                    session.output.detail(format_args!("{error}"));
                }
            }
        }
    }
}

/// What there was to take down.
#[derive(Clone, Copy, Debug)]
pub(super) struct TakenDown {
    /// Whether there were any objects to remove.
    had_any: bool,
    /// Whether there are data that were kept.
    keeps_data: bool,
}

/// Removes our objects: with their namespace if that is ours and `volumes` is set, else only what can be created again.
///
/// # Errors
/// The cluster's refusal.
pub(super) async fn take_down(
    session: &Session<'_>,
    settings: &Settings,
    volumes: bool,
) -> Result<TakenDown> {
    let name = session.environment.name().to_string();
    let observed = session.observe().await?;
    let goes = |object: &&Object| volumes || !(is_data(object) || object.kind() == "Secret");
    let mut going: Vec<&Object> = observed.iter().filter(goes).collect();
    let had_any = !going.is_empty();
    let claims = match volumes {
        true => {
            let secrets = secrets::to_look(session, &observed)?;
            let mark = session.mark(&observed)?;
            session.wanted(settings, &secrets, &Contents::default(), &mark)?.claims()
        }
        false => Vec::new(),
    };
    going.extend(&claims);
    // Before removing a namespace, too: the cluster retries what is left in it only after a long pause.
    let applying = session.applying();
    tokio::select! {
        removed = applying.remove(&going) => removed?,
        never = hurry(session) => match never {},
    }
    let namespace = session.cluster.namespace(&session.namespace).await?;
    let own = namespace.filter(|one| {
        one.label(labels::ENVIRONMENT) == Some(name.as_str())
            && session.mark(std::slice::from_ref(one)).is_ok()
    });
    if !volumes {
        let keeps_data = own.is_some() || observed.iter().any(is_data);
        return Ok(TakenDown { had_any, keeps_data });
    }
    let has_own = own.is_some();
    session.applying().remove(&own.iter().collect::<Vec<_>>()).await?;
    Ok(TakenDown { had_any: had_any || has_own, keeps_data: false })
}
