//! The tree of commands, and one `match`.

use std::process::ExitCode;

/// Runs the command that was typed, and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
