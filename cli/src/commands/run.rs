use clap::Args;

use super::up::{self, UpArgs};
use crate::{
    error::Result, output::Output, settings::Origins, signals::Signals, state::Environment,
};

/// Build the images and bring the environment up: `build`, then `up` with containers
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chefcito run                 Build what has changed, and bring up what differs
  chefcito run --orders 50     … and follow fifty orders to the table")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    up: UpArgs,
}

pub(crate) async fn run(
    args: RunArgs,
    origins: Origins,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    up::run(args.up.with_build(), origins, environment, output, signals).await
}

/// Adjusts the flags of `up`: the default runtime has containers, and `--build` is implied.
pub(super) fn adjust(command: clap::Command) -> clap::Command {
    let runtime = "How the services run: compose or kubernetes [default: compose]";
    command.mut_arg("runtime", |arg| arg.help(runtime)).mut_arg("build", |arg| arg.hide(true))
}
