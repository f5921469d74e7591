//! `start`, `scale` and `restart`: changes of some services of a running or stopped environment.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use cluster::objects::Object;
use futures_util::future::try_join_all;

use super::{labels, rollout::Rollout, secrets, session::Session, up::up};
use crate::{
    config::Settings,
    error::{CliError, Result},
    images::Contents,
    output::Output,
    runtimes::{ChangeLock, Program, Wanted},
    signals::Signals,
    state::Environment,
};

/// Starts the stopped services.
///
/// # Errors
/// [`CliError::NotRunning`] if there are none, or the reason why they are not ready.
pub(crate) async fn start(
    timeout: Duration,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    up(&as_it_was(settings(environment)?, timeout), environment, output, signals).await
}

/// Sets the number of pods of services, and saves it.
///
/// # Errors
/// [`CliError::UnknownService`]; [`CliError::Failed`] if a service can have only one pod; else the reason why it is not ready.
pub(crate) async fn scale(
    replicas: BTreeMap<String, u32>,
    timeout: Duration,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let mut settings = settings(environment)?;
    {
        let session = Session::of_running(environment, output).await?;
        let observed = session.observe().await?;
        replicas
            .iter()
            .try_for_each(|(service, count)| check_store(workload(service, &observed)?, *count))?;
    }
    settings.replicas.extend(replicas.clone());
    let wanted = as_it_was(settings, timeout);
    up(&wanted, environment, output, signals).await?;
    let reported: Vec<String> =
        replicas.iter().map(|(service, count)| format!("{count} of {service}")).collect();
    output.status(format_args!("There are now {}", reported.join(", ")));
    Ok(())
}

/// Restarts services, or all of them, pod by pod; with `build`, replaces only those with a new image.
///
/// # Errors
/// [`CliError::UnknownService`]; else the reason why it is not ready.
pub(crate) async fn restart(
    services: Vec<String>,
    build: bool,
    timeout: Duration,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    if build {
        let wanted = Wanted { build: true, services, ..as_it_was(settings(environment)?, timeout) };
        return up(&wanted, environment, output, signals).await;
    }
    signals.or(restart_pods(&services, timeout, environment, output)).await
}

async fn restart_pods(
    services: &[String],
    timeout: Duration,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let since = Instant::now();
    let session = Session::of_running(environment, output).await?;
    let _lock = ChangeLock::take(environment, output).await?;
    let observed = session.observe().await?;
    let targets: Vec<&Object> = match services {
        [] => workloads(&observed).collect(),
        named => named.iter().map(|service| workload(service, &observed)).collect::<Result<_>>()?,
    };
    let applying = session.applying();
    try_join_all(targets.iter().map(|object| applying.restart(object))).await?;
    let rollout = Rollout {
        cluster: &session.cluster,
        namespace: &session.namespace,
        output,
        since,
        wait_max: timeout,
    };
    let secrets = secrets::to_look(&session, &observed)?;
    let mark = session.mark(&observed)?;
    let mut wanted =
        session.wanted(&settings(environment)?, &secrets, &Contents::default(), &mark)?;
    wanted.retain(|object| targets.iter().any(|one| one.id() == object.id()));
    rollout.wait(&wanted).await?;
    let took = since.elapsed().as_millis();
    let restarted: Vec<&str> = targets.iter().map(|object| object.name()).collect();
    output.status(format_args!("Restarted in {took} ms: {}", restarted.join(", ")));
    Ok(())
}

/// Refuses several pods of a store: each would have a part of the data.
fn check_store(workload: &Object, count: u32) -> Result<()> {
    if count < 2 || workload.label(labels::COMPONENT) != Some(labels::DATABASE) {
        return Ok(());
    }
    Err(CliError::Failed {
        what: format!("{} is a database, so it can have only one pod", workload.name()),
        hint: "scale the services that need it".into(),
        source: None,
    })
}

/// Returns what runs the pods of the services.
fn workloads(observed: &[Object]) -> impl Iterator<Item = &Object> {
    observed.iter().filter(|object| matches!(object.kind(), "Deployment" | "StatefulSet"))
}

/// Returns the workload of a service.
///
/// # Errors
/// [`CliError::UnknownService`].
fn workload<'o>(service: &str, observed: &'o [Object]) -> Result<&'o Object> {
    let found = workloads(observed).find(|object| object.name() == service);
    found.ok_or_else(|| CliError::unknown_service(service, workloads(observed).map(Object::name)))
}

/// Returns the settings of the environment.
fn settings(environment: &Environment) -> Result<Settings> {
    environment
        .last_settings()?
        .ok_or_else(|| CliError::NotRunning { name: environment.name().clone() })
}

fn as_it_was(settings: Settings, timeout: Duration) -> Wanted {
    Wanted {
        settings,
        stated: None,
        program: Program::this(),
        seed: false,
        orders: 0,
        timeout,
        timeout_is_given: true,
        json: false,
        foreground: false,
        build: false,
        force_conflicts: false,
        services: Vec::new(),
    }
}
