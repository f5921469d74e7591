//! The log files of an environment: `<service>.log`, rotated to `<service>.log.1` and so on; one JSON object a line,
//! and what a crashing process printed.

mod backwards;
mod fields;
mod follow;
mod opened;
mod tail;

use std::{borrow::Cow, fmt, path::Path, time::SystemTime};

use contracts::Timestamp;
use serde_json::{Map, Value};

use fields::ParsedFields;
pub use follow::Follower;
pub use opened::{End, open_all};
pub use tail::{Forwards, tail};

/// Longer lines are cut: no service logs more, and a file without line ends must not fill the memory.
pub const LINE_BYTES_MAX: usize = 256 * 1024;

/// One line of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When it was written; a line without a time has that of the line before it.
    pub time: Timestamp,
    /// Its level.
    pub level: Level,
    /// The service that wrote it.
    pub service: String,
    /// What it says.
    pub message: String,
    /// The order that it is about.
    pub order: Option<String>,
    /// Its other fields; empty for a line that is not JSON.
    pub fields: Map<String, Value>,
}

/// The levels of lines, the most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Level {
    /// A failure
    Error,
    /// Something to look at
    Warn,
    /// Progress
    Info,
    /// Details
    Debug,
    /// Every detail
    Trace,
}

impl Level {
    /// Returns its name, five letters at the most.
    pub const fn name(self) -> &'static str {
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
    /// Returns the time that a line has; `None` if it is not in the format of the services.
    pub fn time_of(bytes: &[u8]) -> Option<Timestamp> {
        #[derive(serde::Deserialize)]
        struct Timed {
            time: Timestamp,
        }
        serde_json::from_slice(bytes).ok().map(|Timed { time }| time)
    }

    /// Parses a line. One that is not JSON, such as the text of a panic, is an error of the file's service at
    /// `otherwise`.
    pub fn read(bytes: &[u8], service: &str, otherwise: Timestamp) -> Self {
        // The whole line is checked for UTF-8 at once, rather than each of its texts.
        let parsed = str::from_utf8(bytes).ok().and_then(|text| serde_json::from_str(text).ok());
        match parsed {
            Some(ParsedFields { time, level, service: named, message, order, fields }) => Self {
                time: time.and_then(|time| time.parse().ok()).unwrap_or(otherwise),
                level: level.and_then(|level| Level::parse(&level)).unwrap_or(Level::Info),
                service: named.map_or_else(|| service.to_owned(), Cow::into_owned),
                message: message.unwrap_or_default().into_owned(),
                order,
                fields,
            },
            None => Self::read_text(bytes, service, otherwise),
        }
    }

    /// Makes a line of a text without structure, as an error; the caller may know a better level.
    pub fn read_text(bytes: &[u8], service: &str, time: Timestamp) -> Self {
        Self {
            time,
            level: Level::Error,
            service: service.to_owned(),
            message: String::from_utf8_lossy(bytes).trim_end_matches('\r').to_owned(),
            order: None,
            fields: Map::new(),
        }
    }

    /// Returns its fields as `name=value`, sorted by name, without those that the message contains.
    pub fn details(&self) -> String {
        let mut details = String::new();
        let mut add = |name: &str, value: &str| {
            let blank = if details.is_empty() { "" } else { " " };
            details.extend([blank, name, "=", value]);
        };
        let is_said = |text: &str| self.message.contains(text);
        if let Some(order) = self.order.as_ref().filter(|order| !is_said(order)) {
            add("order_id", order);
        }
        for (name, value) in &self.fields {
            match value {
                Value::String(text) if is_said(text) => {}
                Value::String(text) => add(name, text),
                other => add(name, &other.to_string()),
            }
        }
        details
    }
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (time, level, details) = (self.time, self.level.name(), self.details());
        write!(formatter, "{time} {level:5} {}: {}", self.service, self.message)?;
        if details.is_empty() { Ok(()) } else { write!(formatter, " {details}") }
    }
}

/// Returns the service of a log file, current or rotated.
pub fn service_of(path: &Path) -> Option<&str> {
    let (service, rotation) = path.file_name()?.to_str()?.split_once(".log")?;
    let counted = rotation
        .strip_prefix('.')
        .is_some_and(|count| count.bytes().all(|digit| digit.is_ascii_digit()));
    (!service.is_empty() && (rotation.is_empty() || counted)).then_some(service)
}

/// Returns the last lines that the services of a folder wrote, in order of time, and the time of the last one. Unreadable
/// files count as empty: the caller reports another failure already.
pub fn last_lines(folder: &Path, count: usize) -> (Option<Timestamp>, Vec<String>) {
    let read = || {
        let files = open_all(folder, End::Written)?;
        tail(files, count, |_| true, None)
    };
    let lines = read().map(|tail| tail.lines).unwrap_or_default();
    (lines.last().map(|line| line.time), lines.iter().map(ToString::to_string).collect())
}

/// Returns a file time as a timestamp.
pub fn timestamp(time: SystemTime) -> Timestamp {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use contracts::services::KITCHEN;

    use super::*;

    #[test]
    fn a_line_has_a_service_a_time_and_a_message() {
        let json = br#"{"time":"2026-01-31T12:00:00.000001Z","level":"WARN","service":"kitchen","message":"Hot \u001b[31m",
            "order_id":"7","stoves":8}"#;
        let line = Line::read(json, "embedded", Timestamp::default());
        assert_eq!(
            (line.level, line.service.as_str(), line.message.as_str()),
            (Level::Warn, KITCHEN, "Hot \u{1b}[31m"),
            "text is as it was written: what prints it makes it printable"
        );
        assert_eq!(line.details(), "order_id=7 stoves=8");
    }

    #[test]
    fn only_log_files_are_of_a_service() {
        assert_eq!(service_of(Path::new("/l/kitchen.log")), Some(KITCHEN));
        assert_eq!(service_of(Path::new("/l/kitchen.log.12")), Some(KITCHEN));
        assert_eq!(service_of(Path::new("/l/kitchen.log.gz")), None);
        assert_eq!(service_of(Path::new("/l/.log")), None);
    }
}
