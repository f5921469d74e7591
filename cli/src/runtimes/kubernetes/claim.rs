//! Claims on the shared kind cluster, which the environments without a context of their own use.

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

/// How often a claim is tried while another command has one.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// A claim on the cluster: many commands may use it, but only one at a time creates or removes it. Released when
/// dropped, and with the end of the process.
#[derive(Debug)]
pub(super) struct Claim {
    file: File,
    path: PathBuf,
}

impl Claim {
    /// Claims to use the cluster: waits until no command creates or removes it.
    ///
    /// # Errors
    /// [`CliError::Lacking`] if the state folder can't be written to.
    pub(super) async fn to_be_in(environment: &Environment, output: &Output) -> Result<Self> {
        Self::open(environment)?.wait(File::try_lock_shared, output).await
    }

    /// Claims to create the cluster: waits until no command uses it that may still fail.
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

    /// Turns the claim to create the cluster into one to use it.
    ///
    /// # Errors
    /// [`CliError::Io`] if the lock file can't be locked.
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
        let mut reported = false;
        while !self.attempt(lock)? {
            if !reported {
                output.status(format_args!(
                    "Waiting for another command that creates or removes the kind cluster {CLUSTER}"
                ));
                reported = true;
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
