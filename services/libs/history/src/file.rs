//! Histories as files: how they are opened, appended to, and read line by line.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use crate::{Findings, Line, check, line::VERSION, orders::ORDERS_MAX};

/// The longest line: an answer about a thousand orders is a tenth of it.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;
/// How much of a malformed line an error shows.
const SHOWN_CHARS_MAX: usize = 60;

const VALID_LINE: &str = "one JSON object a line: {\"begin\":…}, {\"invoke\":…} or {\"answer\":…}";

/// Why a history can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The path leads to something that has no content of its own: a folder, a pipe, a device.
    #[error("{} is {what}; it should be a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it leads to, with its article.
        what: &'static str,
    },
    /// The file can't be read or written.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// `read` or `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process records into the file.
    #[error("another process is recording into {}; give each run that is under way its own file", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A line is not what a recorder writes.
    #[error("{}: line {line}: found {found}; valid is {valid}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: u64,
        /// What was found.
        found: String,
        /// What is valid.
        valid: String,
    },
    /// The history has more than a check keeps in memory.
    #[error(
        "{}: line {line}: too many {what}; a history may have {ORDERS_MAX} orders: record shorter runs, each into its own file",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: u64,
        /// What there is too much of.
        what: &'static str,
    },
}

/// What is wrong with a line.
#[derive(Debug)]
pub(crate) enum Fault {
    Malformed { found: String, valid: String },
    TooLarge { what: &'static str },
}

impl Fault {
    pub(crate) fn malformed(found: impl Into<String>, valid: impl Into<String>) -> Self {
        Self::Malformed { found: found.into(), valid: valid.into() }
    }

    fn at(self, path: &Path, line: u64) -> HistoryError {
        let path = path.into();
        match self {
            Self::Malformed { found, valid } => {
                HistoryError::Malformed { path, line, found, valid }
            }
            Self::TooLarge { what } => HistoryError::TooLarge { path, line, what },
        }
    }
}

/// Checks the history in a file, as far as the file reached when it was opened.
///
/// # Errors
/// [`HistoryError`] if the file is no regular file, can't be read, or [`check()`] can't read what is in it.
pub fn check_file(path: &Path) -> Result<Findings, HistoryError> {
    let (file, len) = open_to_read(path)?;
    check(BufReader::new(file.take(len)), path)
}

/// Opens a regular file, whose size is returned, too: a reader that stops there ends, even if the file grows. Anything else
/// is refused unopened, because opening or reading a pipe or a device may wait for ever.
///
/// # Errors
/// [`HistoryError::NotAFile`] and [`HistoryError::Io`].
pub fn open_to_read(path: &Path) -> Result<(File, u64), HistoryError> {
    is_regular(path, &fs::metadata(path).map_err(failed("read", path))?)?;
    let file = File::open(path).map_err(failed("read", path))?;
    let len = file.metadata().map_err(failed("read", path))?.len();
    Ok((file, len))
}

/// Opens a file, made if there is none, so that a further run can be appended to the histories in it. The file is locked as
/// long as it is open. A last line that a killed process left without an end is removed.
///
/// # Errors
/// [`HistoryError`] if the path leads to something else than a history, the file can't be written, or another process
/// records into it.
pub fn open_to_append(path: &Path) -> Result<File, HistoryError> {
    match fs::metadata(path) {
        Ok(found) => is_regular(path, &found)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("write", path)(error)),
    }
    let file = OpenOptions::new().read(true).append(true).create(true).open(path);
    let mut file = file.map_err(failed("write", path))?;
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => HistoryError::InUse { path: path.into() },
        TryLockError::Error(source) => failed("write", path)(source),
    })?;
    let len = file.metadata().map_err(failed("write", path))?.len();
    if len > 0 {
        begins_as_history(&file, path)?;
        let end = end_of_last_line(&mut file, len).map_err(failed("write", path))?;
        if end < len {
            file.set_len(end).map_err(failed("write", path))?;
        }
    }
    Ok(file)
}

/// Reads lines and hands each over, in order. A last line without an end that is cut off is left out.
pub(crate) fn read_lines(
    mut reader: impl BufRead,
    path: &Path,
    mut take: impl FnMut(Line) -> Result<(), Fault>,
) -> Result<(), HistoryError> {
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        // One byte more than a line has shows that it is too long.
        let mut line = reader.by_ref().take(LINE_BYTES_MAX as u64 + 1);
        line.read_until(b'\n', &mut text).map_err(failed("read", path))?;
        if text.is_empty() {
            break;
        }
        let has_end = text.last() == Some(&b'\n');
        match parse(&text) {
            Ok(line) => take(line).map_err(|fault| fault.at(path, number))?,
            Err(NotALine::CutOff) if !has_end && number > 1 => break,
            Err(error) => return Err(error.fault(&text).at(path, number)),
        }
    }
    Ok(())
}

/// Why a text is no line of a history.
enum NotALine {
    TooLong,
    CutOff,
    Wrong(String),
}

fn parse(text: &[u8]) -> Result<Line, NotALine> {
    if text.len() > LINE_BYTES_MAX {
        return Err(NotALine::TooLong);
    }
    serde_json::from_slice(text).map_err(|error| {
        if error.is_eof() {
            return NotALine::CutOff;
        }
        let why = error.to_string();
        let why = why.rsplit_once(" at line ").map_or(why.as_str(), |(why, _)| why);
        NotALine::Wrong(format!("{why}, at column {}", error.column()))
    })
}

impl NotALine {
    fn fault(self, text: &[u8]) -> Fault {
        let shown: String = String::from_utf8_lossy(&text[..text.len().min(4 * SHOWN_CHARS_MAX)])
            .trim_end()
            .chars()
            .flat_map(printable)
            .take(SHOWN_CHARS_MAX)
            .collect();
        if shown.is_empty() {
            return Fault::malformed("an empty line", VALID_LINE);
        }
        let more = if text.len() > shown.len() + 1 { "…" } else { "" };
        match self {
            Self::TooLong => Fault::malformed(
                format!("a line of more than {LINE_BYTES_MAX} bytes, `{shown}…`"),
                format!("a line of {LINE_BYTES_MAX} bytes at the most"),
            ),
            Self::CutOff => {
                Fault::malformed(format!("`{shown}{more}`, which is cut off"), VALID_LINE)
            }
            Self::Wrong(why) => Fault::malformed(format!("`{shown}{more}` ({why})"), VALID_LINE),
        }
    }
}

/// Returns a character as a terminal may be given it.
fn printable(character: char) -> impl Iterator<Item = char> {
    let escaped = character.is_control().then(|| character.escape_unicode());
    let plain = escaped.is_none().then_some(character);
    escaped.into_iter().flatten().chain(plain)
}

/// Refuses a file whose first line is not the beginning of a history of this version: nothing is appended to other files.
fn begins_as_history(file: &File, path: &Path) -> Result<(), HistoryError> {
    let mut text = Vec::new();
    let mut reader = BufReader::new(file.take(LINE_BYTES_MAX as u64 + 1));
    reader.read_until(b'\n', &mut text).map_err(failed("read", path))?;
    match parse(&text) {
        Ok(Line::Begin(begin)) if begin.version == VERSION => Ok(()),
        Ok(_) => Err(Fault::malformed(
            "a line that begins no run of this version",
            format!("a history of version {VERSION}, or a new file"),
        )
        .at(path, 1)),
        Err(error) => Err(error.fault(&text).at(path, 1)),
    }
}

/// Returns where the last line ends that has an end.
fn end_of_last_line(file: &mut File, len: u64) -> io::Result<u64> {
    let mut chunk = vec![0; LINE_BYTES_MAX];
    let mut end = len;
    while end > 0 {
        let start = end.saturating_sub(LINE_BYTES_MAX as u64);
        file.seek(SeekFrom::Start(start))?;
        let part = &mut chunk[..usize::try_from(end - start).unwrap_or(LINE_BYTES_MAX)];
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

fn is_regular(path: &Path, found: &fs::Metadata) -> Result<(), HistoryError> {
    let what = match found.file_type() {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a folder",
        _ => "a pipe, a socket or a device",
    };
    Err(HistoryError::NotAFile { path: path.into(), what })
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HistoryError {
    let path = path.to_owned();
    move |source| HistoryError::Io { doing, path, source }
}
