use clap::Args;
use clap_complete::Shell;

use crate::{
    completion,
    error::{CliError, Result},
    output::{Output, closed_or_broken},
};

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
They know the commands, and the environments of this user with their services, dishes and latest
orders.

Examples:
  chefcito completions bash > ~/.local/share/bash-completion/completions/chefcito
  chefcito completions zsh > ~/.zfunc/_chefcito
  chefcito completions fish > ~/.config/fish/completions/chefcito.fish")]
pub(crate) struct CompletionsArgs {
    /// Shell to complete for
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs, output: &Output) -> Result<()> {
    let script =
        completion::script(args.shell).map_err(CliError::io(|| "write the script".into()))?;
    output.bytes(&script).map_err(closed_or_broken)
}
