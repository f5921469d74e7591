//! `down` and `stop`.

use super::{ChangeLock, End};
use crate::{
    error::Result, output::Output, postgres, progress::Waiting, runtimes::embedded,
    state::Environment,
};

/// Stops the environment, and removes its data if asked to.
///
/// # Errors
/// An error if it does not end, or its data can't be removed.
pub(crate) async fn down(volumes: bool, environment: &Environment, output: &Output) -> Result<()> {
    let _lock = ChangeLock::take(environment, output).await?;
    let end = {
        let _waiting = Waiting::new(output, "Stopping the environment");
        embedded::stop(environment).await?
    };
    say(end, environment, output);
    if !volumes {
        return embedded::forget_settings(environment);
    }
    embedded::refuse_links(environment)?;
    if let Some(url) = environment.former_settings()?.and_then(|settings| settings.database_url) {
        postgres::forget(&url, environment).await?;
    }
    embedded::forget_all(environment)?;
    output.status(format_args!("Removed its data"));
    Ok(())
}

/// Reports how the environment ended.
fn say(end: End, environment: &Environment, output: &Output) {
    let name = environment.name();
    match end {
        End::NothingRan => output.status(format_args!("Nothing is running as `{name}`")),
        End::HadCrashed => output.status(format_args!("`{name}` was not running; it had crashed")),
        End::Stopped => output.status(format_args!("`{name}` is down")),
        End::Killed => output.warn(format_args!(
            "`{name}` did not end after SIGTERM and was killed; its data are safe"
        )),
    }
}

/// Stops the environment; `start` starts it again.
///
/// # Errors
/// An error if it does not end.
pub(crate) async fn stop_command(environment: &Environment, output: &Output) -> Result<()> {
    let _lock = ChangeLock::take(environment, output).await?;
    let _waiting = Waiting::new(output, "Stopping the environment");
    let end = embedded::stop(environment).await?;
    say(end, environment, output);
    Ok(())
}
