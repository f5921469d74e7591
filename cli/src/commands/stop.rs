use clap::Args;

use super::down::say;
use crate::{
    embedded::{self, ChangeLock},
    error::Result,
    output::Output,
    progress::Waiting,
    state::Environment,
};

/// Stop the house; `start` opens it again as it was
#[derive(Debug, Args)]
pub(crate) struct StopArgs {}

pub(crate) async fn run(_args: StopArgs, environment: &Environment, output: &Output) -> Result<()> {
    if !environment.folder().exists() {
        output.status(format_args!("Nothing runs as `{}`", environment.name()));
        return Ok(());
    }
    let _lock = ChangeLock::take(environment, output).await?;
    let _waiting = Waiting::new(output, "Closing the house");
    let end = embedded::stop(environment).await?;
    say(end, environment, output);
    Ok(())
}
