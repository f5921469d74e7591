//! The lock by which one command at a time changes an environment.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    time::Duration,
};

use tokio::time::sleep;

use crate::{
    error::{CliError, Result},
    output::Output,
    state::Environment,
};

/// How often the lock is tried while another command holds it. A try takes some ten microseconds.
const TRY_EVERY: Duration = Duration::from_millis(5);

/// The lock on changes of an environment, held by one command at a time.
#[derive(Debug)]
pub(crate) struct ChangeLock {
    _file: File,
}

impl ChangeLock {
    /// Waits for the lock. Says so if another command holds it.
    ///
    /// # Errors
    /// [`CliError::Lacking`] if the state folder can't be written to.
    pub(crate) async fn take(environment: &Environment, output: &Output) -> Result<Self> {
        let path = environment.change_lock();
        let broken = |source| CliError::Io { what: format!("lock {}", path.display()), source };
        let mut reported = false;
        loop {
            let mut options = OpenOptions::new();
            let file =
                match options.write(true).create(true).truncate(false).mode(0o600).open(&path) {
                    // `down --volumes` has just removed the folder.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        environment.create()?;
                        continue;
                    }
                    file => file.map_err(|error| environment.unwritable(&error))?,
                };
            match file.try_lock() {
                // Or it has removed the file between the two.
                Ok(()) if is_still_at(&file, &path) => return Ok(Self { _file: file }),
                Ok(()) => environment.create()?,
                Err(TryLockError::WouldBlock) => {
                    if !reported {
                        output.progress(format_args!(
                            "Waiting for another command that changes `{}`",
                            environment.name()
                        ));
                        reported = true;
                    }
                    sleep(TRY_EVERY).await;
                }
                Err(TryLockError::Error(source)) => return Err(broken(source)),
            }
        }
    }
}

fn is_still_at(file: &File, path: &std::path::Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(named)) => held.ino() == named.ino() && held.dev() == named.dev(),
        _ => false,
    }
}
