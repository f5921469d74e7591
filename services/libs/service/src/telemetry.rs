//! Logs: JSON lines, one stream, or one file a service, rotated.
//!
//! A line reads alone: `{"time", "level", "service", "message", …}` and the fields that the place gave. The service is the
//! field `service`, or the crate that the line comes from.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use contracts::{Timestamp, services};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, ParseError, Targets},
    layer::{Context, SubscriberExt},
    util::{SubscriberInitExt, TryInitError},
};

/// How large a file grows before it is rotated, in bytes.
pub const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How many older files of each service are kept: `orders.log.1` is the youngest.
pub const OLDER_FILES_MAX: usize = 3;
/// How long lines are held back to be written together. Warnings and errors are written at once.
const FLUSH_EVERY: Duration = Duration::from_millis(50);
/// How much is held back at the most, in bytes.
const HELD_BACK_BYTES_MAX: usize = 64 * 1024;

/// Where lines go.
#[derive(Clone, Debug)]
pub enum Destination {
    /// To the standard output: a container's engine keeps them.
    Stdout,
    /// To `<service>.log` in this folder.
    Folder(PathBuf),
}

/// Logs that can't be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter can't be read.
    #[error("the log filter `{filter}` should be like `info` or `info,kitchen=debug`")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// The folder can't be made.
    #[error("can't make the folder of logs `{}`", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something else in this process logs already.
    #[error("logs are started already")]
    Started {
        /// What says so.
        source: TryInitError,
    },
}

/// Starts the logs of this process. What is held back is written when the guard is dropped.
///
/// # Errors
/// [`TelemetryError`] if the filter or the folder can't be used, or logs are started already.
pub fn start(filter: &str, destination: Destination) -> Result<Guard, TelemetryError> {
    let targets: Targets = filter
        .parse()
        .map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    if let Destination::Folder(folder) = &destination {
        fs::create_dir_all(folder)
            .map_err(|source| TelemetryError::Folder { folder: folder.clone(), source })?;
    }
    let lines = Arc::new(Lines { destination, streams: Mutex::new(HashMap::new()) });
    let layer = JsonLines(Arc::clone(&lines));
    // The libraries below say at `info` what concerns only themselves.
    let targets = targets.with_targets([("h2", LevelFilter::WARN), ("hyper", LevelFilter::WARN)]);
    tracing_subscriber::registry()
        .with(layer.with_filter(targets))
        .try_init()
        .map_err(|source| TelemetryError::Started { source })?;
    flush_in_background(Arc::downgrade(&lines));
    log_panics();
    Ok(Guard(lines))
}

/// Writes what is held back when it is dropped.
#[derive(Debug)]
pub struct Guard(Arc<Lines>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.flush();
    }
}

fn flush_in_background(lines: Weak<Lines>) {
    let flush = move || {
        while let Some(lines) = lines.upgrade() {
            lines.flush();
            drop(lines);
            std::thread::sleep(FLUSH_EVERY);
        }
    };
    // Without the thread lines come later, in larger pieces; nothing is lost.
    let _ = std::thread::Builder::new().name("logs".into()).spawn(flush);
}

fn log_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!("Panicked: {panic}");
        before(panic);
    }));
}

#[derive(Debug)]
struct Lines {
    destination: Destination,
    streams: Mutex<HashMap<&'static str, Stream>>,
}

#[derive(Debug, Default)]
struct Stream {
    held_back: String,
    file: Option<File>,
    size_bytes: u64,
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, HashMap<&'static str, Stream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&self) {
        for (service, stream) in self.lock().iter_mut() {
            stream.flush(service, &self.destination);
        }
    }
}

impl Stream {
    /// Writes what is held back. A disk that refuses it must not stop the service: the lines are dropped.
    fn flush(&mut self, service: &str, destination: &Destination) {
        if self.held_back.is_empty() {
            return;
        }
        let written = match destination {
            Destination::Stdout => io::stdout().lock().write_all(self.held_back.as_bytes()),
            Destination::Folder(folder) => self.append(&folder.join(format!("{service}.log"))),
        };
        if written.is_err() {
            self.file = None;
        }
        self.held_back.clear();
    }

    fn append(&mut self, path: &Path) -> io::Result<()> {
        if self.size_bytes >= FILE_BYTES_MAX {
            self.file = None;
            rotate(path);
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let file = OpenOptions::new().create(true).append(true).open(path)?;
                self.size_bytes = file.metadata()?.len();
                none.insert(file)
            }
        };
        if let Err(error) = file.write_all(self.held_back.as_bytes()) {
            // Half a line would spoil the next one, too.
            let _ = file.set_len(self.size_bytes);
            return Err(error);
        }
        self.size_bytes += self.held_back.len() as u64;
        Ok(())
    }
}

/// Renames `x.log` to `x.log.1`, and so on; the oldest is overwritten.
fn rotate(path: &Path) {
    let name = |age: usize| {
        if age == 0 { path.to_owned() } else { PathBuf::from(format!("{}.{age}", path.display())) }
    };
    for age in (0..OLDER_FILES_MAX).rev() {
        let _ = fs::rename(name(age), name(age + 1));
    }
}

struct JsonLines(Arc<Lines>);

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut line = Line {
            service: service_of(metadata.target()),
            message: String::new(),
            fields: String::new(),
        };
        event.record(&mut line);
        let mut streams = self.0.lock();
        let stream = streams.entry(line.service).or_default();
        let text = &mut stream.held_back;
        let (time, level, service) = (Timestamp::now(), metadata.level(), line.service);
        let _ =
            write!(text, r#"{{"time":"{time}","level":"{level}","service":"{service}","message":"#);
        push_json(text, &line.message);
        text.push_str(&line.fields);
        text.push_str("}\n");
        if *level <= Level::WARN || text.len() >= HELD_BACK_BYTES_MAX {
            stream.flush(service, &self.0.destination);
        }
    }
}

/// Returns the service that a crate belongs to; what all share is the environment's.
fn service_of(target: &str) -> &'static str {
    let name = target.split("::").next().unwrap_or(target);
    services::ALL.into_iter().find(|service| *service == name).unwrap_or("environment")
}

struct Line {
    service: &'static str,
    message: String,
    fields: String,
}

impl Line {
    fn key(&mut self, field: &Field) {
        let _ = write!(self.fields, r#","{}":"#, field.name());
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            self.key(field);
            push_json(&mut self.fields, &format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            "service" => match services::ALL.into_iter().find(|service| *service == value) {
                Some(service) => self.service = service,
                None => self.service = "environment",
            },
            _ => {
                self.key(field);
                push_json(&mut self.fields, value);
            }
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.key(field);
        let _ = write!(self.fields, "{value}");
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.key(field);
        let _ = write!(self.fields, "{value}");
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.key(field);
        let _ = write!(self.fields, "{value}");
    }
}

/// Writes a text as JSON.
fn push_json(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\r' => text.push_str("\\r"),
            control if control < ' ' => {
                let _ = write!(text, "\\u{:04x}", u32::from(control));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}
