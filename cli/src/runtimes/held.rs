//! The state folder of an environment, held by a command that changes what runs.

use super::{ChangeLock, embedded};
use crate::{
    error::{CliError, Result},
    output::Output,
    state::{EmbeddedState, Environment},
};

/// The state folder, and the lock on changes while the command needs it.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    environment: &'a Environment,
    /// Whether this command made the folder, so that it removes it again if nothing comes of it.
    is_new: bool,
    lock: Option<ChangeLock>,
}

impl<'a> Held<'a> {
    /// Looks whether there is a folder. Makes nothing.
    pub(crate) fn new(environment: &'a Environment) -> Self {
        Self { environment, is_new: !environment.folder().exists(), lock: None }
    }

    /// Creates the folder, and waits for the lock.
    ///
    /// # Errors
    /// [`CliError::Lacking`] if the folder can't be created; as [`ChangeLock::take`].
    pub(crate) async fn take(&mut self, output: &Output) -> Result<()> {
        self.environment.create()?;
        self.lock = Some(ChangeLock::take(self.environment, output).await?);
        Ok(())
    }

    /// Keeps the folder, and releases the lock.
    pub(crate) fn release(&mut self) {
        (self.is_new, self.lock) = (false, None);
    }

    /// Removes a folder that this command made if it failed.
    ///
    /// # Errors
    /// Why it failed, or why the folder can't be removed.
    pub(crate) fn or_forget<T>(&mut self, result: Result<T>) -> Result<T> {
        // Something runs by the settings, if there are any.
        if result.is_err() && self.environment.last_settings()?.is_none() {
            self.forget()?;
        }
        result
    }

    /// Removes a folder that this command made, with its settings, if a signal ended it and all that it made was undone.
    ///
    /// # Errors
    /// Why it failed, or why the folder can't be removed.
    pub(crate) fn or_forget_undone<T>(&mut self, result: Result<T>, is_undone: bool) -> Result<T> {
        if is_undone && result.as_ref().is_err_and(CliError::is_signal) {
            self.forget()?;
        }
        result
    }

    /// Removes a folder that this command made, unless something runs there.
    fn forget(&mut self) -> Result<()> {
        let Self { environment, .. } = *self;
        // Without the lock, another command may be at work in it.
        if self.is_new
            && self.lock.is_some()
            && matches!(environment.embedded()?, EmbeddedState::Stopped)
        {
            embedded::forget_all(environment)?;
        }
        self.lock = None;
        Ok(())
    }
}
