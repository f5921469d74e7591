//! Claims on the shared kind cluster, which the environments without a context of their own use.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::PathBuf,
    process::Stdio,
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
/// The note in the lock file while a cluster is incomplete.
const NOTE: &[u8] = b"incomplete\n";

/// A claim on the cluster: many commands may use it, but only one at a time creates or removes it. Released when
/// dropped, and with the end of the process.
///
/// The lock file is empty, except while a cluster is incomplete: then it has a note, which outlives a killed command.
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
    pub(super) async fn share(&self) -> Result<()> {
        // Another command may have it for a moment.
        while !self.attempt(File::try_lock_shared)? {
            sleep(TRY_EVERY).await;
        }
        Ok(())
    }

    /// Returns whether a cluster is incomplete, without a claim: another command may be creating it.
    pub(super) fn is_noted(environment: &Environment) -> bool {
        fs::metadata(environment.kind_lock()).is_ok_and(|file| file.len() > 0)
    }

    /// Notes that the cluster is incomplete.
    ///
    /// # Errors
    /// [`CliError::Io`] if the lock file can't be written.
    pub(super) fn note_incomplete(&self) -> Result<()> {
        self.file.write_all_at(NOTE, 0).map_err(|source| self.broken(source))
    }

    /// Notes that the cluster is complete, or removed.
    ///
    /// # Errors
    /// As [`Claim::note_incomplete`].
    pub(super) fn forget_note(&self) -> Result<()> {
        self.file.set_len(0).map_err(|source| self.broken(source))
    }

    /// Returns the lock for a program: the claim is released only when that program has ended, too.
    ///
    /// # Errors
    /// [`CliError::Io`] if the system refuses.
    pub(super) fn lent(&self) -> Result<Stdio> {
        Ok(self.file.try_clone().map_err(|source| self.broken(source))?.into())
    }

    /// Returns whether no other command has a claim, and lets none have one from now on if so.
    ///
    /// # Errors
    /// [`CliError::Io`] if the lock file can't be locked.
    pub(super) fn is_alone(&self) -> Result<bool> {
        self.attempt(File::try_lock)
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
                output.progress(format_args!(
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
