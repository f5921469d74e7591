use std::time::Duration;

use clap::Args;

use super::duration;
use crate::{
    config::Runtime,
    error::{CliError, Result},
    output::Output,
    runtimes::{self, compose, embedded, kubernetes},
    signals::Signals,
    state::Environment,
};

/// Start a stopped environment with its last settings and its data
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// How long the environment may take to become ready
    #[arg(
        long,
        value_name = "DURATION",
        env = "CHEFCITO_UP_TIMEOUT",
        default_value = "60s",
        value_parser = duration
    )]
    timeout: Duration,
}

pub(crate) async fn run(
    args: StartArgs,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let timeout = args.timeout;
    match runtimes::of(environment).await? {
        Some(Runtime::Embedded) => {
            embedded::start_again(timeout, environment, output, signals).await
        }
        Some(Runtime::Compose) => signals.or(compose::start(timeout, environment, output)).await,
        Some(Runtime::Kubernetes) => kubernetes::start(timeout, environment, output, signals).await,
        None => Err(CliError::NotRunning { name: environment.name().clone() }),
    }
}
