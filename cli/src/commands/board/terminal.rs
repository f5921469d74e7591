//! The terminal, while the board has it.

use contracts::Timestamp;
use crossterm::style::force_color_output;
use ratatui::DefaultTerminal;
use screen::State;

use crate::{
    error::{CliError, Result},
    output::closed_or_broken,
};

/// The terminal in raw mode with its alternate screen. However it ends, also by a panic, the terminal is as it was before.
pub(super) struct Terminal(DefaultTerminal);

impl Terminal {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// [`CliError::Io`] if there is no terminal to read keys from.
    pub(super) fn open(colors: bool) -> Result<Self> {
        // Without this, `NO_COLOR` would count for more than `--color always`.
        force_color_output(colors);
        ratatui::try_init().map(Self).map_err(|error| {
            restore();
            CliError::io(|| "take the terminal over".into())(error)
        })
    }

    /// Draws what differs from the frame before.
    ///
    /// # Errors
    /// As [`crate::output::Output::data`].
    pub(super) fn draw(&mut self, state: &State) -> Result<()> {
        let now = Timestamp::now();
        self.0.draw(|frame| screen::draw(frame, state, now)).map_err(closed_or_broken)?;
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    // A terminal that is gone needs it no more.
    let _gone = ratatui::try_restore();
}
