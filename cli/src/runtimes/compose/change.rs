//! `scale` and `restart`: changes of some services of a running environment.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{
    converge::{Converged, Goal, converge},
    observed,
    session::Session,
};
use crate::{
    config::Settings,
    error::{CliError, Result},
    output::Output,
    plan::Deadline,
    runtimes::ChangeLock,
    state::Environment,
};

/// Sets the number of containers of services, and saves it.
///
/// # Errors
/// [`CliError::UnknownService`]; [`CliError::Failed`] if a service can have only one container; else as [`converge`].
pub(crate) async fn scale(
    replicas: BTreeMap<String, u32>,
    timeout: Duration,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let session = Session::open(environment, output).await?;
    let _lock = ChangeLock::take(environment, output).await?;
    let mut settings = last_settings(environment)?;
    settings.replicas.extend(replicas.clone());
    let goal = Goal::of(&settings, replicas.keys().cloned().collect());
    let Converged { plan, .. } = converge(&goal, &session, &Deadline::new(timeout, true)).await?;
    let reported: Vec<String> =
        replicas.iter().map(|(service, count)| format!("{count} of {service}")).collect();
    match plan.is_empty() {
        true => output.status(format_args!("There are already {}", reported.join(", "))),
        false => output.status(format_args!("There are now {}", reported.join(", "))),
    }
    Ok(())
}

/// Restarts services, or all that have containers. A service with another configuration than the file and the settings say is replaced, and the
/// differences are printed.
///
/// # Errors
/// As [`converge`].
pub(crate) async fn restart(
    services: Vec<String>,
    build: bool,
    timeout: Duration,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let session = Session::open(environment, output).await?;
    let _lock = ChangeLock::take(environment, output).await?;
    let settings = last_settings(environment)?;
    let services = if services.is_empty() { existing(&session).await? } else { services };
    let since = Instant::now();
    // With `--build`, only services with a new image are replaced.
    let goal = Goal { build, restart: !build, ..Goal::of(&settings, services.clone()) };
    let Converged { plan, has_made } =
        converge(&goal, &session, &Deadline::new(timeout, !build)).await?;
    let (took, reported) = (since.elapsed().as_millis(), services.join(", "));
    if plan.is_empty() || build && !has_made {
        output.status(format_args!("Nothing changed: {reported}"));
    } else if has_made {
        output.status(format_args!("Replaced in {took} ms: {reported}"));
    } else {
        output.status(format_args!("Restarted in {took} ms: {reported}"));
    }
    Ok(())
}

/// Returns the services that have containers.
///
/// # Errors
/// [`CliError::NotRunning`] if none has.
async fn existing(session: &Session<'_>) -> Result<Vec<String>> {
    let containers = observed::containers(&session.engine, &session.project_name).await?;
    let services: BTreeSet<String> =
        containers.into_iter().filter(|seen| !seen.is_one_off).map(|seen| seen.service).collect();
    if services.is_empty() {
        return Err(CliError::NotRunning { name: session.environment.name().clone() });
    }
    Ok(services.into_iter().collect())
}

/// Returns the settings of the last start.
///
/// # Errors
/// [`CliError::Failed`] if there are none.
pub(super) fn last_settings(environment: &Environment) -> Result<Settings> {
    environment.last_settings()?.ok_or_else(|| CliError::Failed {
        what: format!("the settings of `{}` are not known here", environment.name()),
        hint: format!("`chefcito up --runtime compose{}` adopts it", environment.name().flag()),
        source: None,
    })
}
