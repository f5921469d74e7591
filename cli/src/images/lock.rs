//! The lock on builds in a checkout, held by one command at a time.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    time::Duration,
};

use tokio::time::sleep;

use super::checkout::Checkout;
use crate::{
    error::{CliError, Result},
    output::Output,
};

/// How often the lock is tried.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The lock; released when dropped, and with the end of the process.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock. Says so if another command holds it.
    ///
    /// # Errors
    /// [`CliError::Io`] if the target folder can't be written to.
    pub(super) async fn take(checkout: &Checkout, output: &Output) -> Result<Self> {
        let folder = checkout.images();
        fs::create_dir_all(&folder)
            .map_err(CliError::io(|| format!("make {}", folder.display())))?;
        let path = folder.join("lock");
        let mut reported = false;
        loop {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(CliError::io(|| format!("open {}", path.display())))?;
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) => {
                    if !reported {
                        output.progress(format_args!(
                            "Waiting for another build in {}",
                            checkout.root().display()
                        ));
                        reported = true;
                    }
                    sleep(LOOK_EVERY).await;
                }
                Err(TryLockError::Error(source)) => {
                    return Err(CliError::Io { what: format!("lock {}", path.display()), source });
                }
            }
        }
    }
}
