//! Files of a state folder. Writes are atomic and synced: a reader sees the old content or the new one, after a power cut, too.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use files::read_regular;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::error::{CliError, Result};

/// Removes a file; a missing one is not an error.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(CliError::Io { what: format!("remove {}", path.display()), source: error })
        }
        _ => Ok(()),
    }
}

/// Reads a JSON file of the state folder; `None` if it is missing.
///
/// # Errors
/// [`CliError::BadRecord`] if it is damaged or of another version; [`CliError::Io`] if it can't be read.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match read_regular(path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(source) => Err(CliError::BadRecord { path: path.to_owned(), source }),
        },
        Err(error) if is_missing(&error) => Ok(None),
        Err(source) => Err(CliError::Io { what: format!("read {}", path.display()), source }),
    }
}

/// Returns whether there is no file, or no folder that it could be in.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Returns whether a JSON file has a field at its top level; `false` if there is no such file, or it is not JSON.
pub(super) fn has_field(path: &Path, field: &str) -> bool {
    let value =
        read_regular(path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    value.is_some_and(|value| value.get(field).is_some())
}

/// Writes a file that only its owner may read, atomically.
///
/// # Errors
/// [`CliError::Io`] if it can't be written.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(|source| {
        // A partial file is useless.
        let _gone = fs::remove_file(&temporary);
        CliError::Io { what: format!("write {}", path.display()), source }
    })
}

/// Writes a value as JSON, as [`write_private`] does.
///
/// # Errors
/// [`CliError::Io`] if it can't be written.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    write_private(path, &serde_json::to_vec_pretty(value).map_err(anyhow::Error::from)?)
}
