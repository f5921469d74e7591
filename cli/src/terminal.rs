//! Programs in containers and pods: their output becomes that of the command, and their exit code its own.

use std::io::{self, Write};

use engine::terminal::ProgramOutput;

use crate::{
    error::{CliError, Result},
    output::{Output, closed_or_broken},
};

/// Copies output of the program to the same stream of ours.
///
/// # Errors
/// [`CliError::OutputClosed`] if the reader has closed stdout.
pub(crate) fn copy_output(piece: ProgramOutput, output: &Output) -> Result<()> {
    match piece {
        ProgramOutput::Out(bytes) => output.bytes(&bytes).map_err(closed_or_broken),
        // A reader that has closed stderr does not want errors about it.
        ProgramOutput::Err(bytes) => {
            let _unheard = io::stderr().write_all(&bytes);
            Ok(())
        }
    }
}

/// Returns the result of a command for the exit code of a program.
///
/// # Errors
/// [`CliError::Ended`] with the code if that is not 0.
pub(crate) fn ended(code: i64) -> Result<()> {
    match u8::try_from(code) {
        Ok(0) => Ok(()),
        Ok(code) => Err(CliError::Ended { code }),
        Err(_) => Err(CliError::failed(format!("it ended with exit code {code}"))),
    }
}
