//! The log files of a folder, held open: an open file keeps its inode, so a rotation can't confuse them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use contracts::Timestamp;
use files::open_regular;

use super::{LINE_BYTES_MAX, service_of, timestamp};

/// Device and inode: they identify a file across renames.
pub(super) type FileId = (u64, u64);

/// An open log file.
#[derive(Debug)]
pub struct LogFile {
    /// The service that it is of.
    pub service: String,
    /// The file.
    pub file: File,
    /// The offset up to which it is read.
    pub end: u64,
    /// Its last change: an upper bound for the time of lines without one.
    pub changed: Timestamp,
    /// 0 for the current file, 1 for the one before it, and so on.
    pub age: u32,
}

impl LogFile {
    /// Says whether a folder still holds it: a deleted file has no name.
    pub(super) fn is_listed(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
    }
}

/// Up to where a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// To its end, even if the last line is incomplete.
    Written,
    /// To the last line end: the writer may not have completed the last line.
    WholeLines,
}

/// Opens all log files of a folder; a missing folder has none.
///
/// # Errors
/// If the folder or a file can't be read.
pub fn open_all(folder: &Path, end: End) -> io::Result<BTreeMap<FileId, LogFile>> {
    let mut files = BTreeMap::new();
    open_missing(folder, end, &mut files, |file| file)?;
    Ok(files)
}

/// Opens the log files of a folder that `files` lacks.
///
/// A rotation between listing and opening hides the file that it renamed, and leaves one in its place that is new: it looks
/// again until there is none. What is known is then in order: no file is left out that is older than one that was found.
///
/// # Errors
/// If the folder or a file can't be read.
pub(super) fn open_missing<T>(
    folder: &Path,
    end: End,
    files: &mut BTreeMap<FileId, T>,
    make: impl Fn(LogFile) -> T,
) -> io::Result<()> {
    loop {
        let known = files.len();
        for path in list(folder)? {
            if let Some((id, file)) = open(&path, end)? {
                files.entry(id).or_insert_with(|| make(file));
            }
        }
        if files.len() == known {
            return Ok(());
        }
    }
}

/// Opens one file; `None` if it is gone.
///
/// # Errors
/// If it can't be read.
fn open(path: &Path, end: End) -> io::Result<Option<(FileId, LogFile)>> {
    let Some(service) = service_of(path) else { return Ok(None) };
    let mut file = match open_regular(path) {
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

/// Returns the paths of all log files of a folder, current ones first.
///
/// # Errors
/// If the folder can't be read.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
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
