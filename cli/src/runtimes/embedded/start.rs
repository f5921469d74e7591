//! `start`.

use std::time::{Duration, Instant};

use super::{
    ChangeLock, UndoLog,
    plan::{Observed, describe},
};
use crate::{
    config::Settings,
    error::{CliError, Result},
    output::Output,
    progress::Waiting,
    runtimes::embedded,
    signals::Signals,
    state::Environment,
};

/// Starts a stopped environment with its last settings and its data.
///
/// # Errors
/// [`CliError::NotRunning`] if there are none, or the reason why it is not ready.
pub(crate) async fn start_command(
    timeout: Duration,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let Some(settings) = environment.last_settings()? else {
        return Err(CliError::NotRunning { name: environment.name().clone() });
    };
    let work = async |undo_log: &mut UndoLog| {
        start(timeout, &settings, environment, output, undo_log).await
    };
    let undo = async |undo_log: UndoLog| undo_log.undo(environment, output).await;
    signals.or_undo(UndoLog::default(), work, undo).await
}

async fn start(
    timeout: Duration,
    settings: &Settings,
    environment: &Environment,
    output: &Output,
    undo_log: &mut UndoLog,
) -> Result<()> {
    let since = Instant::now();
    undo_log.lock = Some(ChangeLock::take(environment, output).await?);
    let record = match embedded::observe(environment).await? {
        Observed::Running { locked: true, .. } => {
            return Err(CliError::Failed {
                what: "the environment that runs does not accept the key in admin.key".into(),
                hint: format!("`chefcito up{}` replaces it", environment.name().flag()),
                source: None,
            });
        }
        Observed::Running { record, .. } => {
            output.status(format_args!("Already up ({})", describe(&record.settings)));
            *record
        }
        Observed::NoRecord { .. } => {
            return Err(CliError::Failed {
                what: "the environment that runs does not say where it listens".into(),
                hint: format!("`chefcito up{}` replaces it", environment.name().flag()),
                source: None,
            });
        }
        Observed::Nothing { crashed, .. } => {
            if crashed {
                output.warn(format_args!("{}", environment.crashed()));
            }
            let _waiting = Waiting::new(output, "Starting the environment");
            let record = embedded::start(environment, settings, false, timeout, undo_log).await?;
            embedded::await_ready(environment, record.address, timeout).await?;
            output.status(format_args!(
                "Up in {} ms ({})",
                since.elapsed().as_millis(),
                describe(settings)
            ));
            record
        }
    };
    output.data(format_args!("http://{}", record.address))
}
