//! What the containers of an environment print, merged by the time at which it was written, or at which the engine
//! took it where a line does not tell.

mod follow;
mod merge;
mod resume;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use contracts::{Timestamp, services};

use self::{follow::Following, merge::Merged, resume::Resume};
use super::{
    labels,
    observed::{self, Seen},
    ready::Watch,
};
use crate::{
    docker::{
        Engine,
        logs::{Printed, Wanted},
    },
    error::{CliError, Result},
    log_files::{Level, Line},
    state::Environment,
};

/// A line that says it was written longer before it came, or after, has no true clock.
const BELIEVED_MAX: Duration = Duration::from_secs(5);

/// The containers of an environment, to be read.
#[derive(Debug)]
pub(crate) struct ContainerLogs {
    engine: Engine,
    environment: Environment,
    /// The services that are shown; all if there are none.
    services: BTreeSet<String>,
    containers: Vec<Seen>,
    watch: Watch,
}

impl ContainerLogs {
    /// Finds the containers of some services, or of all. From now on it is noted what happens to them.
    ///
    /// # Errors
    /// [`CliError::NotRunning`] if there are none; [`CliError::Failed`] if there is no such service.
    pub(crate) async fn open(environment: &Environment, services: &[String]) -> Result<Self> {
        let engine = Engine::connect().await?;
        let project = environment.name().to_string();
        let watch = Watch::begin(&engine, &project);
        let mut containers = observed::containers(&engine, &project).await?;
        containers.retain(|seen| !seen.is_one_off);
        if containers.is_empty() {
            return Err(CliError::NotRunning { name: environment.name().clone() });
        }
        let known: BTreeSet<&str> = containers.iter().map(|seen| seen.service.as_str()).collect();
        if let Some(unknown) = services.iter().find(|service| !known.contains(service.as_str())) {
            let known: Vec<&str> = known.into_iter().collect();
            return Err(CliError::Failed {
                what: format!("`{}` has no container of `{unknown}`", environment.name()),
                hint: format!("there are {}", known.join(", ")),
                source: None,
            });
        }
        let services: BTreeSet<String> = services.iter().cloned().collect();
        containers.retain(|seen| services.is_empty() || services.contains(&seen.service));
        Ok(Self { engine, environment: environment.clone(), services, containers, watch })
    }

    /// Returns what was printed up to now: all of it, or so many lines of each container.
    pub(crate) fn printed(&self, since: Option<Timestamp>, tail: Option<usize>) -> Merged {
        let wanted = Wanted { since, tail, follow: false };
        let streams = self
            .containers
            .iter()
            .map(|seen| (self.writer(seen), self.engine.logs(seen.id(), wanted)));
        Merged::new(streams, since)
    }

    /// Goes on with what is printed from where that ended.
    pub(crate) fn follow(self, read: Merged) -> Following {
        let positions = read.positions();
        let writers: Vec<(Writer, Resume, bool)> = self
            .containers
            .iter()
            .map(|seen| {
                let resume = positions.get(seen.id()).copied().unwrap_or_default();
                (self.writer(seen), resume, seen.container.state.is_up())
            })
            .collect();
        Following::new(self.engine, self.environment, self.services, self.watch, writers)
    }

    fn writer(&self, seen: &Seen) -> Writer {
        let alike = self.containers.iter().filter(|other| other.service == seen.service).count();
        Writer::new(seen.id(), &seen.service, (alike > 1).then_some(seen.number))
    }
}

/// Who prints.
#[derive(Clone, Debug)]
struct Writer {
    id: String,
    service: String,
    /// Which one it is, if there are several of the service.
    number: Option<u32>,
}

impl Writer {
    fn new(id: &str, service: &str, number: Option<u32>) -> Self {
        Self { id: id.to_owned(), service: service.to_owned(), number }
    }

    /// Returns who started, from what the engine tells with the event.
    fn of_event(id: &str, attributes: &std::collections::HashMap<String, String>) -> Option<Self> {
        if attributes.get(labels::ONE_OFF).is_some_and(|one_off| one_off == "True") {
            return None;
        }
        let number = attributes.get(labels::NUMBER)?.parse().ok();
        let service = attributes.get(labels::SERVICE)?;
        Some(Self::new(id, service, number.filter(|number| *number > 1)))
    }

    /// Reads a line that it printed.
    fn line(&self, printed: &Printed) -> Line {
        let is_ours = services::ALL.contains(&self.service.as_str());
        let mut line = match is_ours || printed.text.starts_with(b"{") {
            true => Line::read(&printed.text, &self.service, printed.time),
            false => Line {
                level: level_of(&printed.text),
                ..Line::read_text(&printed.text, &self.service, printed.time)
            },
        };
        // A line of ours tells when it was written; the engine, when it came: a little later, or long after.
        if line.time.since(printed.time).max(printed.time.since(line.time)) > BELIEVED_MAX {
            line.time = printed.time;
        }
        line.service.clone_from(&self.service);
        if let Some(number) = self.number {
            line.fields.insert("replica".into(), number.into());
        }
        line
    }
}

/// Returns how grave a line of PostgreSQL's, Redis's or anybody's is, by the words that they have for it.
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

/// Where each container was read to, by id.
type Positions = BTreeMap<String, Resume>;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn lines_of_others_are_told_as_what_they_are() {
        let read = |service: &str, text: &'static str| {
            let time = "2026-01-31T12:00:00Z".parse().unwrap();
            Writer::new("1", service, None)
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
        let panic = read("kitchen", "thread 'main' panicked at stove.rs");
        assert_eq!(panic.level, Level::Error);
        let ours = read(
            "kitchen",
            r#"{"time":"2020-01-01T00:00:00Z","level":"WARN","message":"hot","order_id":"7"}"#,
        );
        assert_eq!((ours.level, ours.order.as_deref()), (Level::Warn, Some("7")));
        assert_eq!(
            ours.time, panic.time,
            "the engine's clock is believed, if the other is years behind"
        );
    }
}
