//! The writers of lines, and how their lines are parsed.

use std::time::Duration;

use contracts::services;
use serde_json::Value;

use super::Printed;
use crate::files::{Level, Line};

/// The largest difference between a line's own time and the engine's; beyond it, the line's clock is wrong.
const BELIEVED_MAX: Duration = Duration::from_secs(5);

/// A writer: a container or a pod.
#[derive(Clone, Debug)]
pub struct Writer {
    /// Its id: a new container of the same name is another writer.
    pub id: String,
    /// Its service.
    pub service: String,
    /// Its field among the service's writers, if there are several: the name of the field and its value.
    which: Option<(&'static str, Value)>,
}

impl Writer {
    /// Returns the only writer of a service.
    pub fn new(id: &str, service: &str) -> Self {
        Self { id: id.to_owned(), service: service.to_owned(), which: None }
    }

    /// Returns the same writer as one of several: its lines have this field.
    #[must_use]
    pub fn which(self, name: &'static str, value: impl Into<Value>) -> Self {
        Self { which: Some((name, value.into())), ..self }
    }

    /// Parses a line that it printed.
    pub(super) fn line(&self, printed: &Printed) -> Line {
        let is_ours = services::ALL.contains(&self.service.as_str());
        let mut line = match is_ours || printed.text.starts_with(b"{") {
            true => Line::read(&printed.text, &self.service, printed.time),
            false => Line {
                level: level_of(&printed.text),
                ..Line::read_text(&printed.text, &self.service, printed.time)
            },
        };
        // A service's own time is when the line was written; the engine's time is later, by a moment or by long.
        if line.time.since(printed.time).max(printed.time.since(line.time)) > BELIEVED_MAX {
            line.time = printed.time;
        }
        line.service.clone_from(&self.service);
        if let Some((name, value)) = &self.which {
            line.fields.insert((*name).to_owned(), value.clone());
        }
        line
    }
}

/// Returns the level of a line of PostgreSQL, Redis or another program, by its words.
fn level_of(text: &[u8]) -> Level {
    let start = String::from_utf8_lossy(&text[..text.len().min(160)]);
    let says = |words: &[&str]| words.iter().any(|word| start.contains(word));
    if says(&["FATAL:", "PANIC:", "ERROR:", "error:"]) {
        Level::Error
    } else if says(&["WARNING:", "warning:", " # "]) {
        Level::Warn
    } else if says(&["DEBUG:", "DETAIL:", " . ", " - "]) && !says(&["LOG:"]) {
        Level::Debug
    } else {
        Level::Info
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn lines_of_other_programs_keep_their_level() {
        let read = |service: &str, text: &'static str| {
            let time = "2026-01-31T12:00:00Z".parse().unwrap();
            Writer::new("1", service)
                .line(&Printed { time, text: Bytes::from_static(text.as_bytes()) })
        };
        let line =
            read("postgres", "2026-01-31 12:00:00.000 UTC [1] LOG:  listening on port 5432 - ok");
        assert_eq!((line.level, line.service.as_str()), (Level::Info, "postgres"));
        assert_eq!(read("postgres", "2026 UTC [1] FATAL:  no").level, Level::Error);
        assert_eq!(
            read("redis", "1:M 31 Jan 2026 12:00:00.000 # WARNING Memory").level,
            Level::Warn
        );
        let panic = read(services::KITCHEN, "thread 'main' panicked at stove.rs");
        assert_eq!(panic.level, Level::Error);
        let ours = read(
            services::KITCHEN,
            r#"{"time":"2020-01-01T00:00:00Z","level":"WARN","message":"hot","order_id":"7"}"#,
        );
        assert_eq!((ours.level, ours.order.as_deref()), (Level::Warn, Some("7")));
        assert_eq!(
            ours.time, panic.time,
            "the engine's clock is believed, if the other is years behind"
        );
    }
}
