//! Background processes: how they leave the terminal, and the first message that they send to the command that started
//! them.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use contracts::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::CliError;

/// The message that a background process writes to stdout once it has started or failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StartMessage {
    /// It listens, and has written its record.
    Listening,
    /// Another process listens on the port.
    PortTaken {
        /// The port.
        port: u16,
    },
    /// It can't start.
    Failed {
        /// The error and its causes.
        reason: String,
    },
}

impl StartMessage {
    /// Returns the message for an error that prevents the start.
    pub(crate) fn of_error(error: &CliError) -> Self {
        match error {
            CliError::PortTaken { port, .. } => Self::PortTaken { port: *port },
            error => Self::Failed { reason: chain(error) },
        }
    }
}

/// Writes the first message to stdout, and redirects stdout to stderr.
///
/// # Errors
/// The command that started this process may have closed the pipe.
pub(crate) fn send(message: &StartMessage) -> io::Result<()> {
    let mut stdout = io::stdout();
    let said = serde_json::to_writer(&mut stdout, message)
        .map_err(io::Error::from)
        .and_then(|()| stdout.flush());
    rustix::stdio::dup2_stdout(io::stderr())?;
    said
}

/// Writes a line to the process's own log, to which stderr leads, in the format of all log lines.
pub(crate) fn note(service: &str, message: &str) {
    let line =
        json!({"time": Timestamp::now(), "level": "INFO", "service": service, "message": message});
    // A full disk must not stop the process.
    let _unwritten = writeln!(io::stderr(), "{line}");
}

/// Starts a session of its own, so that neither Ctrl-C nor a hang-up of the starting command's terminal ends it.
pub(crate) fn leave_the_terminal() {
    // Fails only for the leader of a process group, which has no terminal to leave.
    let _already_alone = rustix::process::setsid();
}

/// Returns an error with all its causes, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// Returns the file to run: this program, even if its file has been replaced meanwhile.
pub(crate) fn program_file() -> PathBuf {
    std::env::current_exe()
        .ok()
        .filter(|file| file.exists())
        .unwrap_or_else(|| "/proc/self/exe".into())
}
