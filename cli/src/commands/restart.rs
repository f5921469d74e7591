use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::{duration, usage_error};
use crate::{
    completion,
    config::Runtime,
    error::{CliError, Result},
    output::Output,
    runtimes::{self, compose, embedded, kubernetes},
    signals::Signals,
    state::Environment,
};

/// Restart everything, or the named services, and apply pending changes to them
#[derive(Debug, Args)]
#[command(after_help = "\
The data are kept, and the command returns once everything is ready again. The embedded environment
is one process: it restarts as a whole, with its last settings.

Examples:
  chefcito restart                    Stop everything and start it again
  chefcito restart kitchen            Stop it and start it again
  chefcito restart kitchen --build    Build its image first, and replace it if that changed")]
pub(crate) struct RestartArgs {
    /// Services to restart (with containers only) [default: all]
    #[arg(
        value_name = "SERVICE",
        add = ArgValueCandidates::new(completion::services_in_containers)
    )]
    services: Vec<String>,
    /// Build their images first (not when embedded)
    #[arg(long)]
    build: bool,
    /// How long they may take to become ready
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
    args: RestartArgs,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let timeout = args.timeout;
    let RestartArgs { services, build, .. } = args;
    match runtimes::of(environment).await? {
        Some(Runtime::Embedded) => {
            check_embedded(&services, build, environment)?;
            embedded::restart(timeout, environment, output, signals).await
        }
        Some(Runtime::Compose) => {
            signals.or(compose::restart(services, build, timeout, environment, output)).await
        }
        Some(Runtime::Kubernetes) => {
            kubernetes::restart(services, build, timeout, environment, output, signals).await
        }
        None => Err(CliError::NotRunning { name: environment.name().clone() }),
    }
}

/// Refuses what only containers can do.
fn check_embedded(services: &[String], build: bool, environment: &Environment) -> Result<()> {
    let name = environment.name();
    let what = match (services.is_empty(), build) {
        (true, false) => return Ok(()),
        (false, _) => "all its services are one process",
        (true, true) => "it has no images to build",
    };
    Err(usage_error(
        "restart",
        format_args!(
            "`{name}` is embedded: {what}\n\n  tip: `chefcito restart` restarts all of it; `chefcito up \
             --runtime compose --name NAME` starts one in containers, which restart one by one"
        ),
    ))
}
