//! `scale` and `restart`: changes of some services of a running environment.

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

/// Sets the number of containers of services, and saves it.
///
/// # Errors
/// [`CliError::Failed`] if there is no such service, or it can have only one container; else as [`converge`].
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
    let reported: Vec<String> =
        replicas.iter().map(|(service, count)| format!("{count} of {service}")).collect();
    match converged.plan.steps.is_empty() {
        true => output.status(format_args!("There are already {}", reported.join(", "))),
        false => output.status(format_args!("There are now {}", reported.join(", "))),
    }
    Ok(())
}

/// Restarts services. A service with another configuration than the file and the settings say is replaced, and the
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
    let goal = Goal {
        settings: &settings,
        scope: Scope::Alone(services.clone()),
        build,
        // With `--build`, only services with a new image are replaced.
        restart: !build,
        timeout,
    };
    let converged = converge(&goal, &session, |_| Ok(())).await?;
    let is_new = |step: &Step| matches!(step, Step::Replace { .. } | Step::Create { .. });
    let reported = services.join(", ");
    match (converged.plan.steps.is_empty(), converged.plan.steps.iter().any(is_new)) {
        (true, _) => output.status(format_args!("Nothing changed: {reported}")),
        (false, true) => {
            output.status(format_args!("Replaced in {} ms: {reported}", converged.took.as_millis()))
        }
        (false, false) => output
            .status(format_args!("Restarted in {} ms: {reported}", converged.took.as_millis())),
    }
    Ok(())
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
