use clap::Args;

use super::exec::only_with_containers;
use crate::{
    config::Runtime,
    error::Result,
    output::Output,
    runtimes::{compose, kubernetes},
    signals::Signals,
    state::Environment,
};

/// Restart services and apply pending changes to them (not when embedded)
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chefcito restart kitchen            Stop it and start it again
  chefcito restart kitchen --build    Build its image first, and replace it if that changed")]
pub(crate) struct RestartArgs {
    /// Services to restart
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
    /// Build their images first
    #[arg(long)]
    build: bool,
    /// How long they may take to become ready
    #[arg(long, value_name = "DURATION", env = "CHEFCITO_TIMEOUT", default_value = "60s")]
    timeout: humantime::Duration,
}

pub(crate) async fn run(
    args: RestartArgs,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let timeout = args.timeout.into();
    let RestartArgs { services, build, .. } = args;
    match only_with_containers("restart", environment).await? {
        Runtime::Kubernetes => {
            kubernetes::restart(services, build, timeout, environment, output, signals).await
        }
        _ => signals.or(compose::restart(services, build, timeout, environment, output)).await,
    }
}
