use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::usage_error;
use crate::{
    completion,
    config::Runtime,
    error::{CliError, Result},
    output::Output,
    runtimes::{self, compose, kubernetes},
    state::Environment,
};

/// Run a program in the container of a service (not when embedded)
#[derive(Debug, Args)]
#[command(after_help = "\
The exit code is the program's own; 126 if it can't be run, 127 if it does not exist, 3 if the
service is not running. On a terminal the program gets the terminal, else stdin is piped to it.

Examples:
  chefcito exec orders -- /orders --version
  chefcito exec postgres -- psql --username postgres chefcito")]
pub(crate) struct ExecArgs {
    /// Service
    #[arg(add = ArgValueCandidates::new(completion::services_in_containers))]
    service: String,
    /// Number of the container or pod, if the service has several
    #[arg(long, value_name = "N", default_value_t = 1)]
    index: u32,
    /// The program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    command: Vec<String>,
}

pub(crate) async fn run(args: ExecArgs, environment: &Environment, output: &Output) -> Result<()> {
    match only_with_containers("exec", environment).await? {
        Runtime::Kubernetes => {
            kubernetes::exec(&args.service, args.index, args.command, environment, output).await
        }
        _ => compose::exec(&args.service, args.index, args.command, environment, output).await,
    }
}

/// Refuses commands for containers where the environment has none.
///
/// # Errors
/// A usage error in an embedded environment; [`CliError::NotRunning`] if nothing runs.
pub(super) async fn only_with_containers(
    command: &str,
    environment: &Environment,
) -> Result<Runtime> {
    match runtimes::of(environment).await? {
        Some(runtime @ (Runtime::Compose | Runtime::Kubernetes)) => Ok(runtime),
        Some(Runtime::Embedded) => Err(usage_error(
            command,
            format_args!(
                "`{}` is embedded: all its services are one process\n\n  tip: `chefcito up --runtime compose --name NAME` \
                 starts one in containers, which has this command",
                environment.name()
            ),
        )),
        None => Err(CliError::NotRunning { name: environment.name().clone() }),
    }
}
