//! `start`.

use std::time::{Duration, Instant};

use super::{
    ChangeLock, Started,
    plan::{Observed, Step, describe},
    up::Process,
};
use crate::{
    config::Settings,
    error::{CliError, Result},
    output::Output,
    plan::{Deadline, Execution, Plan},
    runtimes::embedded,
    signals::Signals,
    state::Environment,
};

/// Starts a stopped environment with its last settings and its data. A signal undoes it.
///
/// # Errors
/// [`CliError::NotRunning`] if there are none, or the reason why it is not ready.
pub(crate) async fn start_command(
    timeout: Duration,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let since = Instant::now();
    let Some(settings) = environment.last_settings()? else {
        return Err(CliError::NotRunning { name: environment.name().clone() });
    };
    let looked = async {
        let lock = ChangeLock::take(environment, output).await?;
        Ok((lock, embedded::observe(environment).await?))
    };
    let (_lock, observed) = signals.or(looked).await?;
    let refused = |what: &str| {
        Err(CliError::Failed {
            what: what.into(),
            hint: "`chefcito up` replaces it".into(),
            source: None,
        })
    };
    let crashed = match observed {
        Observed::Running { locked: true, .. } => {
            return refused("the environment that runs does not accept the key in admin.key");
        }
        Observed::NoRecord { .. } => {
            return refused("the environment that runs does not say where it listens");
        }
        Observed::Running { record, .. } => {
            output.status(format_args!("Already up ({})", describe(&record.settings)));
            return output.data(format_args!("http://{}", record.address));
        }
        Observed::Nothing { crashed, .. } => crashed,
    };
    if crashed {
        output.warn(format_args!("{}", environment.crashed()));
    }
    let steps = [Step::Start { port: settings.port, after_crash: crashed }, Step::AwaitReady];
    carry_out(steps, &settings, timeout, environment, output, signals).await?;
    output.status(format_args!(
        "Up in {} ms ({})",
        since.elapsed().as_millis(),
        describe(&settings)
    ));
    output.data(format_args!("http://{}", environment.running()?.address))
}

/// Carries out steps one after the other. A signal undoes a start.
pub(super) async fn carry_out(
    steps: impl IntoIterator<Item = Step>,
    settings: &Settings,
    timeout: Duration,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let mut plan = Plan::default();
    for step in steps {
        plan.add_after_all(step);
    }
    let deadline = Deadline::new(timeout, true);
    let process = Process {
        environment,
        output,
        deadline: &deadline,
        settings,
        attached: false,
        ran_before: false,
        started: Started::default(),
    };
    Execution::of(&plan).run_or_undo(&process, |_| true, &deadline, signals, output).await
}
