use std::{fs, path::PathBuf};

use clap::Args;
use clap_mangen::Man;

use super::command_line;
use crate::{
    error::{CliError, Result},
    output::{Output, closed_or_broken},
};

/// Print the manual page, or write the pages of all commands into a folder
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chefcito man | man -l -
  chefcito man --out-dir ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Folder to write one page a command into
    #[arg(long, value_name = "FOLDER")]
    out_dir: Option<PathBuf>,
}

pub(crate) fn run(args: &ManArgs, output: &Output) -> Result<()> {
    match &args.out_dir {
        Some(folder) => {
            let write = || {
                fs::create_dir_all(folder)?;
                clap_mangen::generate_to(command_line(), folder)
            };
            write().map_err(CliError::io(|| {
                format!("write manual pages into {}", folder.display())
            }))?;
            output.status(format_args!("Wrote the manual pages into {}", folder.display()));
            Ok(())
        }
        None => {
            let mut page = Vec::new();
            Man::new(command_line())
                .render(&mut page)
                .map_err(CliError::io(|| "render the manual page".into()))?;
            output.bytes(&page).map_err(closed_or_broken)
        }
    }
}
