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

/// The format of the records that this version writes. What an earlier version would get wrong, or drop when it writes the
/// record again, raises it.
const FORMAT: u64 = 1;
/// The field of a record with its format.
const FORMAT_FIELD: &str = "format";

/// Removes a file; a missing one is not an error.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(CliError::Io { what: format!("remove {}", path.display()), source: error })
        }
        _ => Ok(()),
    }
}

/// Reads a record of the state folder; `None` if it is missing.
///
/// # Errors
/// [`CliError::BadRecord`] if it is damaged; [`CliError::Io`] if it can't be read.
pub(super) fn read_record<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
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

/// Returns a field at the top level of a JSON file; `None` if there is none, no such file, or no JSON in it.
pub(super) fn field(path: &Path, field: &str) -> Option<Value> {
    let value: Value = serde_json::from_slice(&read_regular(path).ok()?).ok()?;
    value.get(field).cloned()
}

/// Refuses a record of a later format. Those of versions before the first format say none.
///
/// # Errors
/// [`CliError::NewerRecord`].
pub(super) fn refuse_newer(path: &Path) -> Result<()> {
    match field(path, FORMAT_FIELD).and_then(|format| format.as_u64()) {
        Some(format) if format > FORMAT => {
            Err(CliError::NewerRecord { path: path.to_owned(), format, known: FORMAT })
        }
        _ => Ok(()),
    }
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

/// Writes a record, as [`write_private`] does, with its format.
///
/// # Errors
/// [`CliError::Io`] if it can't be written.
pub(crate) fn write_record(path: &Path, record: &impl Serialize) -> Result<()> {
    let mut record = serde_json::to_value(record).map_err(anyhow::Error::from)?;
    record[FORMAT_FIELD] = FORMAT.into();
    write_json(path, &record)
}
