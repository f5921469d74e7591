//! `scale` and `restart`: some services of an environment that is up.

use std::{collections::BTreeMap, time::Duration};

use super::{
    converge::{Goal, Scope, converge},
    plan::Step,
    session::Session,
};
use crate::{
    config::Settings,
    error::{CliError, Result},
    output::Output,
    runtimes::ChangeLock,
    state::Environment,
};

/// Gives services another number of containers, and remembers it.
///
/// # Errors
/// [`CliError::Failed`] if there is no such service, or there can only be one of it; else as [`converge`].
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
    let scope = Scope::Alone(replicas.keys().cloned().collect());
    let goal = Goal { settings: &settings, scope, build: false, restart: false, timeout };
    let converged = converge(&goal, &session, |_| Ok(())).await?;
    let told: Vec<String> =
        replicas.iter().map(|(service, count)| format!("{count} of {service}")).collect();
    match converged.plan.steps.is_empty() {
        true => output.status(format_args!("There are already {}", told.join(", "))),
        false => output.status(format_args!("There are now {}", told.join(", "))),
    }
    Ok(())
}

/// Restarts services. Those that are not as the file and the settings say are replaced, and it is said what differs.
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
    let goal = Goal {
        settings: &settings,
        scope: Scope::Alone(services.clone()),
        build,
        // With `--build`, what has not changed is left alone.
        restart: !build,
        timeout,
    };
    let converged = converge(&goal, &session, |_| Ok(())).await?;
    let is_new = |step: &Step| matches!(step, Step::Replace { .. } | Step::Create { .. });
    let told = services.join(", ");
    match (converged.plan.steps.is_empty(), converged.plan.steps.iter().any(is_new)) {
        (true, _) => output.status(format_args!("Nothing changed: {told}")),
        (false, true) => {
            output.status(format_args!("Replaced in {} ms: {told}", converged.took.as_millis()))
        }
        (false, false) => {
            output.status(format_args!("Restarted in {} ms: {told}", converged.took.as_millis()))
        }
    }
    Ok(())
}

/// Returns what the environment was started with.
///
/// # Errors
/// [`CliError::Failed`] if nobody here knows.
pub(super) fn last_settings(environment: &Environment) -> Result<Settings> {
    environment.last_settings()?.ok_or_else(|| CliError::Failed {
        what: format!("nobody here knows how `{}` was started", environment.name()),
        hint: format!("`chefcito up --runtime compose{}` takes it over", environment.name().flag()),
        source: None,
    })
}
