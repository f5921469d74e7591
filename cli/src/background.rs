//! Processes of ours that stay in the background: how they leave the terminal, and the first word that they say to whoever
//! started them.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use contracts::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::CliError;

/// What a process that starts says on its stdout, once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FirstWord {
    /// It listens, and has written its record.
    Listening,
    /// Somebody else has the port.
    PortTaken {
        /// The port.
        port: u16,
    },
    /// It can't start.
    Failed {
        /// What failed, and why.
        reason: String,
    },
}

impl FirstWord {
    /// Returns what is said of an error that kept it from beginning.
    pub(crate) fn of_error(error: &CliError) -> Self {
        match error {
            CliError::PortTaken { port, .. } => Self::PortTaken { port: *port },
            error => Self::Failed { reason: chain(error) },
        }
    }
}

/// Says the first word to whoever started this, and from then on lets stdout go where stderr goes.
///
/// # Errors
/// Nobody listens any more.
pub(crate) fn say(word: &FirstWord) -> io::Result<()> {
    let mut stdout = io::stdout();
    let said = serde_json::to_writer(&mut stdout, word)
        .map_err(io::Error::from)
        .and_then(|()| stdout.flush());
    rustix::stdio::dup2_stdout(io::stderr())?;
    said
}

/// Writes a line into the process's own log, which stderr is, in the shape that every line has.
pub(crate) fn note(service: &str, message: &str) {
    let line =
        json!({"time": Timestamp::now(), "level": "INFO", "service": service, "message": message});
    // A full disk must not stop it.
    let _unwritten = writeln!(io::stderr(), "{line}");
}

/// Leaves the session of whoever started it, so that no Ctrl-C of theirs and no hang-up ends it.
pub(crate) fn leave_the_terminal() {
    // Only a leader of a process group can't, and that one has no terminal to leave.
    let _already_alone = rustix::process::setsid();
}

/// Returns an error with all that caused it, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// Returns the file to run: this program, even if its file was replaced meanwhile.
pub(crate) fn program_file() -> PathBuf {
    std::env::current_exe()
        .ok()
        .filter(|file| file.exists())
        .unwrap_or_else(|| "/proc/self/exe".into())
}
