//! Who may do what with the kind cluster that all environments without a context of their own share.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    time::Duration,
};

use tokio::time::sleep;

use super::local::CLUSTER;
use crate::{
    error::{CliError, Result},
    output::Output,
    state::Environment,
};

/// How often a claim that another command has is tried.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// A claim to the cluster: many may be in it, but one alone makes or removes it. It ends when dropped, and with the process.
#[derive(Debug)]
pub(super) struct Claim {
    file: File,
    path: PathBuf,
}

impl Claim {
    /// Claims to be in the cluster, or will have it made: waits until nobody makes or removes it.
    ///
    /// # Errors
    /// [`CliError::Lacking`] if the state folder can't be written to.
    pub(super) async fn to_be_in(environment: &Environment, output: &Output) -> Result<Self> {
        Self::open(environment)?.wait(File::try_lock_shared, output).await
    }

    /// Claims to make the cluster: waits until nobody is in it who may still fail.
    ///
    /// # Errors
    /// As [`Claim::to_be_in`].
    pub(super) async fn to_make(environment: &Environment, output: &Output) -> Result<Self> {
        Self::open(environment)?.wait(File::try_lock, output).await
    }

    /// Claims to remove the cluster; `None` if another command has a claim.
    ///
    /// # Errors
    /// As [`Claim::to_be_in`].
    pub(super) fn to_remove(environment: &Environment) -> Result<Option<Self>> {
        let claim = Self::open(environment)?;
        Ok(claim.attempt(File::try_lock)?.then_some(claim))
    }

    /// Turns the claim to make the cluster into one to be in it.
    ///
    /// # Errors
    /// [`CliError::Io`] if the file of the claims does not let itself be locked.
    pub(super) fn share(&self) -> Result<()> {
        self.file.lock_shared().map_err(|source| self.broken(source))
    }

    fn open(environment: &Environment) -> Result<Self> {
        let path = environment.kind_lock();
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
        Ok(Self { file: file.map_err(|error| environment.unwritable(&error))?, path })
    }

    async fn wait(
        self,
        lock: fn(&File) -> Result<(), TryLockError>,
        output: &Output,
    ) -> Result<Self> {
        let mut told = false;
        while !self.attempt(lock)? {
            if !told {
                output.status(format_args!(
                    "Waiting for another command that makes or removes the kind cluster {CLUSTER}"
                ));
                told = true;
            }
            sleep(TRY_EVERY).await;
        }
        Ok(self)
    }

    fn attempt(&self, lock: fn(&File) -> Result<(), TryLockError>) -> Result<bool> {
        match lock(&self.file) {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(source)) => Err(self.broken(source)),
        }
    }

    fn broken(&self, source: io::Error) -> CliError {
        CliError::Io { what: format!("lock {}", self.path.display()), source }
    }
}
