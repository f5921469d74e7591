//! The question before a command destroys what nothing brings back.

use std::{
    fmt,
    io::{self, IsTerminal},
};

use clap::Args;
use tokio::task::spawn_blocking;

use crate::{
    ci,
    error::{CliError, Result},
    output::Output,
    signals::Signals,
};

/// The flag of commands that ask.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Confirmation {
    /// Do not ask for confirmation; without a terminal, and in a pipeline (CI), nothing is asked anyway
    #[arg(short, long)]
    yes: bool,
}

impl Confirmation {
    /// Returns whether a user has to be asked: `--yes` is not given, and a user at a terminal can answer.
    pub(crate) fn is_needed(self) -> bool {
        !self.yes
            && io::stdin().is_terminal()
            && io::stderr().is_terminal()
            && !ci::is_any_pipeline()
    }

    /// Names what will be lost, and waits for the answer. Only `y` and `yes` confirm. A signal ends the wait.
    ///
    /// # Errors
    /// [`CliError::Failed`] if the user does not confirm, or the error of the signal; nothing has happened then.
    pub(crate) async fn ask(
        self,
        loss: impl fmt::Display,
        output: &Output,
        signals: &mut Signals,
    ) -> Result<()> {
        output.ask(format_args!("{loss}\nNothing can bring this back. Remove it? [y/N] "));
        let answer = signals.or(answer()).await.inspect_err(|_| {
            // The question has no end of line yet.
            output.ask(format_args!("\n"));
            output.status(format_args!("Nothing was removed"));
        })?;
        if !answer.ends_with('\n') {
            output.ask(format_args!("\n"));
        }
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(CliError::Failed {
                what: "nothing was removed: it was not confirmed".into(),
                hint: "answer `y`, or add `--yes`".into(),
                source: None,
            }),
        }
    }
}

/// Reads a line from stdin; an empty one is its end.
async fn answer() -> Result<String> {
    let read = || {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    };
    // On a thread of its own: a signal ends the command while the read goes on.
    let line = spawn_blocking(read).await.map_err(anyhow::Error::from)?;
    line.map_err(CliError::io(|| "read the answer".into()))
}
