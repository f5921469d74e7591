//! `start`: starts the stopped containers as they are.

use std::time::{Duration, Instant};

use contracts::Timestamp;
use futures_util::future::try_join_all;

use super::{
    change::last_settings,
    converge::Scope,
    ports,
    project::{ComposeProject, source},
    ready::{Watch, await_ready},
    session::Session,
    up::describe,
    wanted::WantedContainer,
};
use crate::{
    docker::containers::State,
    error::{CliError, Result},
    output::Output,
    runtimes::{ChangeLock, Program},
    state::{ContainersRecord, Environment},
};

/// Starts the stopped containers.
///
/// # Errors
/// [`CliError::NotRunning`] if there are none, or the reason why they are not ready.
pub(crate) async fn start(
    timeout: Duration,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let since = Instant::now();
    let session = Session::open(environment, output).await?;
    let settings = last_settings(environment)?;
    let _lock = ChangeLock::take(environment, output).await?;
    let mut watch = Watch::begin(&session.engine, &session.project_name);
    let observed = super::observed::observe(&session.engine, &session.project_name).await?;
    if observed.containers.is_empty() {
        return Err(CliError::NotRunning { name: environment.name().clone() });
    }
    let port = ports::choose(settings.port, &observed, &session).await?;
    let project = ComposeProject::read(source()?, environment, &settings, port, &Scope::All)?;
    let layout = project.layout(&session, &settings, &observed.images);
    let jobs: Vec<&str> = observed
        .containers
        .iter()
        .flat_map(|seen| seen.needs())
        .filter(|(_, completed)| *completed)
        .map(|(name, _)| name)
        .collect();
    let is_over = |seen: &&super::observed::ObservedContainer| match seen.container.state {
        State::Running | State::Restarting | State::Paused | State::Dead => false,
        State::Exited { code: 0 } => !jobs.contains(&seen.service.as_str()),
        State::Created | State::Exited { .. } => true,
    };
    let over = observed.containers.iter().filter(|seen| !seen.is_one_off).filter(is_over);
    let starts = over.map(|seen| session.engine.start_container(seen.id(), seen.name()));
    let started = try_join_all(starts).await?.len();
    let is_there = |wanted: &&WantedContainer| {
        observed.containers.iter().any(|seen| seen.name() == wanted.name)
    };
    let there = layout.containers.iter().filter(is_there);
    let record = ContainersRecord {
        address: ports::door(port, there, &observed),
        engine: session.engine.host().to_owned(),
        version: Program::this().version,
        started_at: Timestamp::now(),
    };
    if started > 0 || environment.containers()?.is_none() {
        environment.remember_containers(&record)?;
    }
    await_ready(&session, &layout, port, &mut watch, timeout).await?;
    match started {
        0 => output.status(format_args!("Already up ({})", describe())),
        _ => {
            output.status(format_args!("Up in {} ms ({})", since.elapsed().as_millis(), describe()))
        }
    }
    record.address.map_or(Ok(()), |address| output.data(format_args!("http://{address}")))
}
