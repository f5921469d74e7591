use clap::Args;
use clap_complete::Shell;

use super::command_line;
use crate::{
    error::Result,
    output::{Output, closed_or_broken},
};

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
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
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command_line(), "chefcito", &mut script);
    output.bytes(&script).map_err(closed_or_broken)
}
