use clap::Args;

use crate::{
    config::Runtime,
    error::Result,
    output::Output,
    runtimes::{self, compose, embedded, kubernetes},
    state::Environment,
};

/// Take the environment down, and keep its data unless --volumes is given
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chefcito down              Stop the environment and forget its settings; `up` finds its data again
  chefcito down --volumes    Also remove its data: orders, stock, keys, logs")]
pub(crate) struct DownArgs {
    /// Remove the data, too
    #[arg(long)]
    volumes: bool,
}

pub(crate) async fn run(args: DownArgs, environment: &Environment, output: &Output) -> Result<()> {
    match runtimes::of_former(environment).await? {
        Some(Runtime::Embedded) => embedded::down(args.volumes, environment, output).await,
        Some(Runtime::Compose) => compose::down(args.volumes, environment, output).await,
        Some(Runtime::Kubernetes) => kubernetes::down(args.volumes, environment, output).await,
        // An interrupted `up` may have left something.
        None if environment.folder().exists() => {
            embedded::down(args.volumes, environment, output).await
        }
        None => {
            output.status(format_args!("Nothing is running as `{}`", environment.name()));
            Ok(())
        }
    }
}
