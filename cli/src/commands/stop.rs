use clap::Args;

use crate::{
    config::Runtime,
    error::Result,
    output::Output,
    runtimes::{self, compose, embedded, kubernetes},
    state::Environment,
};

/// Stop the environment; `start` starts it again
#[derive(Debug, Args)]
pub(crate) struct StopArgs {}

pub(crate) async fn run(_args: StopArgs, environment: &Environment, output: &Output) -> Result<()> {
    match runtimes::of(environment).await? {
        Some(Runtime::Embedded) => embedded::stop_command(environment, output).await,
        Some(Runtime::Compose) => compose::stop(environment, output).await,
        Some(Runtime::Kubernetes) => kubernetes::stop(environment, output).await,
        None => {
            output.status(format_args!("Nothing is running as `{}`", environment.name()));
            Ok(())
        }
    }
}
