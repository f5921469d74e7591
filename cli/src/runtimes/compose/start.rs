//! `start`: starts the stopped containers as they are, and resumes the paused ones.

use std::time::{Duration, Instant};

use contracts::Timestamp;
use engine::containers::State;
use futures_util::future::{try_join, try_join_all};

use super::{
    change::last_settings,
    converge::Scope,
    observed::{ObservedContainer, observe},
    ports,
    project::{ComposeProject, source},
    ready::{Watch, await_ready},
    session::Session,
    up::describe,
};
use crate::{
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
    let observed = observe(&session.engine, &session.project_name).await?;
    if observed.containers.is_empty() {
        return Err(CliError::NotRunning { name: environment.name().clone() });
    }
    session.mark_of(observed.labels())?;
    let port = ports::choose(settings.port, &observed, &session).await?;
    let project = ComposeProject::read(source()?, environment, &settings, port, &Scope::All)?;
    let address = ports::address(port, settings.port, &project.compose_file)?;
    let mut layout = project.layout(&session, &settings, &observed.images);
    let all = layout.containers.len();
    // A part of an environment stays a part: what was never made is not waited for.
    layout
        .containers
        .retain(|wanted| observed.containers.iter().any(|seen| seen.name() == wanted.name));
    layout.is_whole = layout.containers.len() == all;
    let jobs: Vec<&str> = observed
        .containers
        .iter()
        .flat_map(|seen| seen.needs())
        .filter(|(_, completed)| *completed)
        .map(|(name, _)| name)
        .collect();
    let is_over = |seen: &&ObservedContainer| match seen.container.state {
        State::Running | State::Restarting | State::Paused | State::Dead => false,
        State::Exited { code: 0 } => !jobs.contains(&seen.service.as_str()),
        State::Created | State::Exited { .. } => true,
    };
    let over = observed.containers.iter().filter(|seen| !seen.is_one_off).filter(is_over);
    let starts = over.map(|seen| session.engine.start_container(seen.id(), seen.name()));
    let is_paused =
        |seen: &&ObservedContainer| seen.container.state == State::Paused && !seen.is_one_off;
    let paused = observed.containers.iter().filter(is_paused);
    let resumes = paused.map(|seen| session.engine.resume_container(seen.id(), seen.name()));
    let (started, resumed) = try_join(try_join_all(starts), try_join_all(resumes)).await?;
    let started = started.len() + resumed.len();
    let record = ContainersRecord {
        address: ports::door(address, &layout.containers, &observed),
        engine: session.engine.host().to_owned(),
        version: Program::this().version,
        started_at: Timestamp::now(),
    };
    if started > 0 || environment.containers()?.is_none() {
        environment.remember_containers(&record)?;
    }
    await_ready(&session, &layout, address, &mut watch, timeout).await?;
    match started {
        0 => output.status(format_args!("Already up ({})", describe())),
        _ => {
            output.status(format_args!("Up in {} ms ({})", since.elapsed().as_millis(), describe()))
        }
    }
    record.address.map_or(Ok(()), |address| output.data(format_args!("http://{address}")))
}
