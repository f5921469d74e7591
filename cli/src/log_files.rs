//! The log files of an environment: `<service>.log`, rotated to `<service>.log.1` and so on; one JSON object a line, and
//! whatever a dying process printed.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::SystemTime,
};

use contracts::Timestamp;
use serde_json::{Map, Value};

/// A longer line is cut: nothing that we log is longer, and a file without line ends must not fill the memory.
pub(crate) const LINE_BYTES_MAX: usize = 256 * 1024;
/// How much is read at a time from the end of a file.
const CHUNK_BYTES: u64 = 64 * 1024;

/// One line of a log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// When it was written; a line that does not say so has the time of the one before it.
    pub(crate) time: Timestamp,
    /// How grave it is.
    pub(crate) level: Level,
    /// Who wrote it.
    pub(crate) service: String,
    /// What it says.
    pub(crate) message: String,
    /// The order it is about.
    pub(crate) order: Option<String>,
    /// What else it says; empty for a line that is not JSON.
    pub(crate) fields: Map<String, Value>,
}

/// How grave a line is, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Level {
    /// Something failed for good
    Error,
    /// Something needs a look
    Warn,
    /// What happens
    Info,
    /// How it happens
    Debug,
    /// Every detail
    Trace,
}

impl Level {
    /// Returns its name, five letters at the most.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace]
            .into_iter()
            .find(|level| level.name().eq_ignore_ascii_case(name))
    }
}

impl Line {
    /// Reads a line. One that is not JSON, such as what a panic prints, is an error of the file's service at `otherwise`.
    pub(crate) fn read(bytes: &[u8], service: &str, otherwise: Timestamp) -> Self {
        let Ok(Value::Object(mut fields)) = serde_json::from_slice(bytes) else {
            return Self {
                time: otherwise,
                level: Level::Error,
                service: service.to_owned(),
                message: printable(&String::from_utf8_lossy(bytes)),
                order: None,
                fields: Map::new(),
            };
        };
        let mut take = |name: &str| match fields.remove(name) {
            Some(Value::String(text)) => Some(text),
            Some(other) => Some(other.to_string()),
            None => None,
        };
        Self {
            time: take("time").and_then(|time| time.parse().ok()).unwrap_or(otherwise),
            level: take("level").and_then(|level| Level::parse(&level)).unwrap_or(Level::Info),
            service: take("service").unwrap_or_else(|| service.to_owned()),
            message: printable(&take("message").unwrap_or_default()),
            order: take("order_id"),
            fields,
        }
    }

    /// Returns what it says beside its message: `name=value`, by name.
    pub(crate) fn details(&self) -> String {
        let order = self.order.iter().map(|order| format!("order_id={order}"));
        let others = self.fields.iter().map(|(name, value)| match value {
            Value::String(text) => format!("{name}={}", printable(text)),
            other => format!("{name}={other}"),
        });
        order.chain(others).collect::<Vec<_>>().join(" ")
    }
}

/// Leaves out control characters, so that no log line can speak to the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// Returns the service that a log file is of, whether it is the current one or a rotated one.
pub(crate) fn service_of(path: &Path) -> Option<&str> {
    let (service, rotation) = path.file_name()?.to_str()?.split_once(".log")?;
    let counted = rotation
        .strip_prefix('.')
        .is_some_and(|count| count.bytes().all(|digit| digit.is_ascii_digit()));
    (!service.is_empty() && (rotation.is_empty() || counted)).then_some(service)
}

/// Returns all log files of a folder with their last changes, those last changed first.
///
/// # Errors
/// If the folder can't be read. One that is not there has no files.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<(PathBuf, SystemTime)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        // A rotation may take a file away between these two lines.
        if service_of(&path).is_some()
            && let Ok(changed) = fs::metadata(&path).and_then(|metadata| metadata.modified())
        {
            files.push((path, changed));
        }
    }
    files.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(files)
}

/// The lines of a file from its end to its beginning, without their line ends. The part after the last line end is the
/// first line, if there is one.
#[derive(Debug)]
pub(crate) struct Backwards<F> {
    file: F,
    /// What lies before this has not been read.
    unread: u64,
    /// What has been read and not been given out.
    held: Vec<u8>,
}

impl<F: Read + Seek> Backwards<F> {
    /// Reads from `end` towards the beginning.
    pub(crate) fn new(file: F, end: u64) -> Self {
        Self { file, unread: end, held: Vec::new() }
    }

    fn read_chunk(&mut self) -> io::Result<()> {
        let size = self.unread.min(CHUNK_BYTES);
        self.unread -= size;
        self.file.seek(SeekFrom::Start(self.unread))?;
        let mut chunk =
            Vec::with_capacity(usize::try_from(size).unwrap_or_default() + self.held.len());
        self.file.by_ref().take(size).read_to_end(&mut chunk)?;
        chunk.append(&mut self.held);
        self.held = chunk;
        Ok(())
    }

    /// Returns the line before the one returned last; `None` at the beginning of the file.
    ///
    /// # Errors
    /// If the file can't be read.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            let end = self.held.len() - searched;
            if let Some(at) = self.held[..end].iter().rposition(|byte| *byte == b'\n') {
                let line = self.held.split_off(at + 1);
                self.held.pop();
                if line.is_empty() {
                    searched = 0;
                    continue;
                }
                return Ok(Some(cut(line)));
            }
            if self.unread == 0 {
                return Ok((!self.held.is_empty()).then(|| cut(std::mem::take(&mut self.held))));
            }
            // The end of an endless line is given up.
            self.held.truncate(LINE_BYTES_MAX);
            searched = self.held.len();
            self.read_chunk()?;
        }
    }
}

fn cut(mut line: Vec<u8>) -> Vec<u8> {
    line.truncate(LINE_BYTES_MAX);
    line
}

/// Returns when the services of a folder were last heard of, and the last lines they wrote, merged by time, the last one
/// last. What can't be read is left out: this is asked when something failed already.
pub(crate) fn last_words(folder: &Path, count: usize) -> (Option<Timestamp>, Vec<String>) {
    let files = list(folder).unwrap_or_default();
    let mut lines: Vec<Line> =
        files.iter().flat_map(|(path, changed)| last_lines(path, *changed, count)).collect();
    lines.sort_by_key(|line| line.time);
    let when = lines.last().map(|line| line.time);
    let skipped = lines.len().saturating_sub(count);
    let told = lines.iter().skip(skipped).map(|line| {
        format!(
            "{} {:5} {}: {} {}",
            line.time,
            line.level.name(),
            line.service,
            line.message,
            line.details()
        )
        .trim_end()
        .to_owned()
    });
    (when, told.collect())
}

/// Returns the last lines of one file, the last one first.
fn last_lines(path: &Path, changed: SystemTime, count: usize) -> Vec<Line> {
    let Some(service) = service_of(path) else { return Vec::new() };
    let Ok(file) = File::open(path) else { return Vec::new() };
    let end = file.metadata().map_or(0, |metadata| metadata.len());
    let mut backwards = Backwards::new(file, end);
    let mut otherwise = timestamp(changed);
    std::iter::from_fn(|| backwards.next_line().ok().flatten())
        .take(count)
        .map(|bytes| {
            let line = Line::read(&bytes, service, otherwise);
            otherwise = line.time;
            line
        })
        .collect()
}

/// Returns a file's time as ours.
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn backwards(text: &str) -> Vec<String> {
        let mut lines = Backwards::new(Cursor::new(text.as_bytes()), text.len() as u64);
        std::iter::from_fn(|| lines.next_line().unwrap())
            .map(|line| String::from_utf8(line).unwrap())
            .collect()
    }

    #[test]
    fn lines_come_from_the_end() {
        assert_eq!(backwards("one\ntwo\nthree\n"), ["three", "two", "one"]);
        assert_eq!(backwards("one\n\ntwo\nunfinis"), ["unfinis", "two", "one"]);
        assert_eq!(backwards(""), [""; 0]);
        assert_eq!(backwards("\n"), [""; 0]);
    }

    #[test]
    fn lines_longer_than_a_chunk_are_whole() {
        let long = "x".repeat(150_000);
        assert_eq!(backwards(&format!("a\n{long}\nb\n")), ["b", long.as_str(), "a"]);
    }

    #[test]
    fn a_line_says_who_when_and_what() {
        let json = br#"{"time":"2026-01-31T12:00:00.000001Z","level":"WARN","service":"kitchen","message":"Hot \u001b[31m",
            "order_id":"7","stoves":8}"#;
        let line = Line::read(json, "house", Timestamp::default());
        assert_eq!(
            (line.level, line.service.as_str(), line.message.as_str()),
            (Level::Warn, "kitchen", "Hot  [31m")
        );
        assert_eq!(line.details(), "order_id=7 stoves=8");
    }

    #[test]
    fn only_log_files_are_of_a_service() {
        assert_eq!(service_of(Path::new("/l/kitchen.log")), Some("kitchen"));
        assert_eq!(service_of(Path::new("/l/kitchen.log.12")), Some("kitchen"));
        assert_eq!(service_of(Path::new("/l/kitchen.log.gz")), None);
        assert_eq!(service_of(Path::new("/l/.log")), None);
    }
}
