use clap::Args;

use crate::{
    embedded::{self, ChangeLock, End},
    error::Result,
    output::Output,
    postgres,
    progress::Waiting,
    state::Environment,
};

/// Take the environment down; its data stay unless told otherwise
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chefcito down              Stop the house and forget its settings; `up` finds its data again
  chefcito down --volumes    Forget everything: orders, stock, keys, logs")]
pub(crate) struct DownArgs {
    /// Forget the data, too
    #[arg(long)]
    volumes: bool,
}

pub(crate) async fn run(args: DownArgs, environment: &Environment, output: &Output) -> Result<()> {
    if !environment.folder().exists() {
        output.status(format_args!("Nothing runs as `{}`", environment.name()));
        return Ok(());
    }
    let _lock = ChangeLock::take(environment, output).await?;
    let end = {
        let _waiting = Waiting::new(output, "Closing the house");
        embedded::stop(environment).await?
    };
    say(end, environment, output);
    if !args.volumes {
        return embedded::forget_settings(environment);
    }
    if let Some(url) = environment.former_settings()?.and_then(|settings| settings.database_url) {
        postgres::forget(&url, environment.name()).await?;
    }
    embedded::forget_all(environment)?;
    output.status(format_args!("Its data are gone"));
    Ok(())
}

/// Says how the house ended.
pub(super) fn say(end: End, environment: &Environment, output: &Output) {
    let name = environment.name();
    match end {
        End::NothingRan => output.status(format_args!("Nothing runs as `{name}`")),
        End::HadCrashed => output.status(format_args!(
            "`{name}` was not running; its house had ended without saying goodbye"
        )),
        End::Goodbye => output.status(format_args!("`{name}` is down")),
        End::Killed => output.warn(format_args!(
            "`{name}` did not end when asked and was killed; its data are safe"
        )),
    }
}
