//! The log files of a folder, held open: a file that is held keeps its inode, so none is taken for another.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use contracts::Timestamp;

use super::{LINE_BYTES_MAX, service_of, timestamp};

/// What tells one file from another, whatever it is called.
pub(crate) type FileId = (u64, u64);

/// A log file, up to where it is read now.
#[derive(Debug)]
pub(crate) struct LogFile {
    /// The service that it is of.
    pub(crate) service: String,
    /// The file.
    pub(crate) file: File,
    /// How far it is read.
    pub(crate) end: u64,
    /// Its last change: when a line that does not say its time was written at the latest.
    pub(crate) changed: Timestamp,
    /// 0 for the current file, 1 for the one before it, and so on.
    pub(crate) age: u32,
}

/// How far a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All that is written, whole or not.
    Written,
    /// Up to the last line end: the rest of the last line is still to come.
    WholeLines,
}

/// Opens all log files of a folder; a folder that is not there has none.
///
/// # Errors
/// If the folder or a file can't be read.
pub(crate) fn open_all(folder: &Path, end: End) -> io::Result<BTreeMap<FileId, LogFile>> {
    let mut files = BTreeMap::new();
    for path in list(folder)? {
        // A rotation may have renamed it meanwhile; then it is found under its other name, or was dropped for good.
        if let Some((id, file)) = open(&path, end)? {
            files.entry(id).or_insert(file);
        }
    }
    Ok(files)
}

/// Opens one file; `None` if it is gone.
///
/// # Errors
/// If it can't be read.
pub(crate) fn open(path: &Path, end: End) -> io::Result<Option<(FileId, LogFile)>> {
    let Some(service) = service_of(path) else { return Ok(None) };
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let metadata = file.metadata()?;
    let end = match end {
        End::Written => metadata.len(),
        End::WholeLines => last_line_end(&mut file, metadata.len())?,
    };
    let changed = metadata.modified().map(timestamp).unwrap_or_default();
    let age = path.extension().and_then(|age| age.to_str()?.parse().ok()).unwrap_or(0);
    let file = LogFile { service: service.to_owned(), file, end, changed, age };
    Ok(Some(((metadata.dev(), metadata.ino()), file)))
}

/// Returns the paths of all log files of a folder, current ones first: so a rotation meanwhile hides none.
///
/// # Errors
/// If the folder can't be read.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.retain(|path| service_of(path).is_some());
    paths.sort();
    Ok(paths)
}

/// Returns the position after the last line end before `length`.
fn last_line_end(file: &mut File, length: u64) -> io::Result<u64> {
    let searched = length.min(LINE_BYTES_MAX as u64);
    file.seek(SeekFrom::Start(length - searched))?;
    let mut bytes = Vec::new();
    file.by_ref().take(searched).read_to_end(&mut bytes)?;
    let after = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at as u64 + 1);
    Ok(length - searched + after)
}
