//! `restart`.

use std::time::{Duration, Instant};

use super::{
    ChangeLock,
    plan::{Step, describe},
    start::carry_out,
};
use crate::{
    error::{CliError, Result},
    output::Output,
    signals::Signals,
    state::{EmbeddedState, Environment},
};

/// Ends the process and starts it again with its last settings and its data. One that is stopped or has crashed is started.
///
/// # Errors
/// [`CliError::NotRunning`] if there are no settings, or the reason why it is not ready.
pub(crate) async fn restart(
    timeout: Duration,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let since = Instant::now();
    let Some(settings) = environment.last_settings()? else {
        return Err(CliError::NotRunning { name: environment.name().clone() });
    };
    let _lock = signals.or(ChangeLock::take(environment, output)).await?;
    let stop = |pid| Step::Stop { pid, why: "it is restarted as asked".into() };
    let (stop, after_crash) = match environment.embedded()? {
        EmbeddedState::Running(record) => (Some(stop(Some(record.pid))), false),
        EmbeddedState::Starting { pid } => (Some(stop(pid)), false),
        EmbeddedState::Stopped => (None, false),
        EmbeddedState::Crashed => (None, true),
    };
    if after_crash {
        output.warn(format_args!("{}", environment.crashed()));
    }
    let steps = stop
        .into_iter()
        .chain([Step::Start { port: settings.port, after_crash }, Step::AwaitReady]);
    let restarted = carry_out(steps, &settings, timeout, environment, output, signals).await;
    if restarted.is_err() && matches!(environment.embedded(), Ok(EmbeddedState::Stopped)) {
        output.warn(format_args!(
            "the environment is stopped now; `chefcito start` starts it with its last settings"
        ));
    }
    restarted?;
    let took = since.elapsed().as_millis();
    output.status(format_args!("Restarted in {took} ms ({})", describe(&settings)));
    output.data(format_args!("http://{}", environment.running()?.address))
}
