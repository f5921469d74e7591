//! Logs: JSON lines, one stream, or one file a service, rotated.
//!
//! Logging never blocks work: a line goes into a bounded buffer, and a thread of its own writes the buffers. If whatever takes
//! the lines is slower, lines are dropped, counted and reported.
//!
//! A line reads alone: `{"time", "level", "service", "message", …}` and the fields that the place gave. The service is the
//! field `service`, or the service whose crate the line comes from, or the one whose [span](store::service_span) it is in.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use contracts::{Timestamp, services};
use prometheus_client::metrics::counter::Counter;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer,
    filter::{FilterExt as _, LevelFilter, ParseError, Targets, filter_fn},
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::{SubscriberInitExt, TryInitError},
};

use store::SERVICE_SPAN;

use crate::metrics::Metrics;

/// How large a file grows before it is rotated, in bytes.
pub const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How many older files of each service are kept: `orders.log.1` is the youngest.
pub const OLDER_FILES_MAX: usize = 3;
/// How long lines are held back to be written together. Warnings and errors are written at once.
const FLUSH_EVERY: Duration = Duration::from_millis(50);
/// How much is held back before it is written without waiting for more, in bytes.
const HELD_BACK_BYTES: usize = 64 * 1024;
/// How much waits for the writer at the most, in bytes for each service: a thousand lines, more than any disk or pipe that
/// works is late by. What comes then is dropped.
const BUFFER_BYTES_MAX: usize = 256 * 1024;
/// How long the end of a process waits until its last lines are written: whatever takes them may be blocked for ever.
const LAST_FLUSH_MAX: Duration = Duration::from_secs(2);

/// The service of lines that are no service's.
const ENVIRONMENT: &str = "environment";

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
    /// There is no thread to write the lines.
    #[error("can't start the thread that writes logs")]
    Thread {
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
/// [`TelemetryError`] if the filter or the folder can't be used, the writer can't be started, or logs are started already.
pub fn start(filter: &str, destination: Destination) -> Result<Guard, TelemetryError> {
    let targets: Targets = filter
        .parse()
        .map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    if let Destination::Folder(folder) = &destination {
        fs::create_dir_all(folder)
            .map_err(|source| TelemetryError::Folder { folder: folder.clone(), source })?;
    }
    let lines = Arc::new(Lines::default());
    tracing_subscriber::registry()
        .with(layer(Arc::clone(&lines), targets))
        .try_init()
        .map_err(|source| TelemetryError::Started { source })?;
    let writer = Writer { lines: Arc::clone(&lines), destination, streams: HashMap::new() };
    std::thread::Builder::new()
        .name("logs".into())
        .spawn(move || writer.run())
        .map_err(|source| TelemetryError::Thread { source })?;
    log_panics();
    Ok(Guard(lines))
}

/// Waits, for a bounded time, until what is held back is written when it is dropped.
#[derive(Debug)]
pub struct Guard(Arc<Lines>);

impl Guard {
    /// Adds the number of dropped lines to the figures of a process.
    pub fn register(&self, metrics: &Metrics) {
        let dropped = self.0.dropped.clone();
        metrics.register(|registry| {
            registry.register("log_lines_dropped", "Log lines dropped, not written", dropped);
        });
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut buffers = self.0.lock();
        buffers.is_urgent = true;
        self.0.changed.notify_all();
        let is_left = |buffers: &mut Buffers| buffers.is_urgent || buffers.is_writing;
        drop(self.0.changed.wait_timeout_while(buffers, LAST_FLUSH_MAX, is_left));
    }
}

/// Returns what makes lines of events. A service's span is seen whatever is filtered: a line needs it, wherever it comes from.
fn layer<S: Subscriber + for<'s> LookupSpan<'s>>(
    lines: Arc<Lines>,
    targets: Targets,
) -> impl Layer<S> {
    // The libraries below say at `info` what concerns only themselves.
    let targets = targets.with_targets([("h2", LevelFilter::WARN), ("hyper", LevelFilter::WARN)]);
    let spans = filter_fn(|metadata| metadata.is_span() && metadata.name() == SERVICE_SPAN);
    JsonLines(lines).with_filter(targets.or(spans.with_max_level_hint(LevelFilter::ERROR)))
}

fn log_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!("Panicked: {panic}");
        before(panic);
    }));
}

/// The lines on their way to the writer.
#[derive(Debug, Default)]
struct Lines {
    buffers: Mutex<Buffers>,
    changed: Condvar,
    dropped: Counter,
}

#[derive(Debug, Default)]
struct Buffers {
    of: HashMap<&'static str, Buffer>,
    /// Whether there are lines, or some were dropped.
    has_lines: bool,
    /// Whether the writer must not wait for more.
    is_urgent: bool,
    /// Whether the writer has taken lines that are not written yet.
    is_writing: bool,
}

/// The lines of one service.
#[derive(Debug, Default)]
struct Buffer {
    text: String,
    /// How many lines were dropped behind this text.
    dropped: u64,
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Buffers> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, or drops it if the writer is too far behind. Never waits for what takes the lines.
    fn add(&self, service: &'static str, level: Level, line: &str) {
        let mut buffers = self.lock();
        let is_first = !std::mem::replace(&mut buffers.has_lines, true);
        let buffer = buffers.of.entry(service).or_default();
        // What was dropped stays in one place: the report stands where the gap is.
        let fits = buffer.dropped == 0 && buffer.text.len() + line.len() <= BUFFER_BYTES_MAX;
        if fits {
            buffer.text.push_str(line);
        } else {
            buffer.dropped += 1;
            self.dropped.inc();
        }
        let is_urgent = fits && (level <= Level::WARN || buffer.text.len() >= HELD_BACK_BYTES);
        buffers.is_urgent |= is_urgent;
        if is_urgent || is_first {
            self.changed.notify_all();
        }
    }
}

/// What writes the lines, on a thread of its own.
struct Writer {
    lines: Arc<Lines>,
    destination: Destination,
    streams: HashMap<&'static str, Stream>,
}

impl Writer {
    fn run(mut self) {
        loop {
            let rests = |buffers: &mut Buffers| !buffers.has_lines && !buffers.is_urgent;
            let buffers = self.lines.changed.wait_while(self.lines.lock(), rests);
            let buffers = buffers.unwrap_or_else(PoisonError::into_inner);
            let waits = |buffers: &mut Buffers| !buffers.is_urgent;
            let waited = self.lines.changed.wait_timeout_while(buffers, FLUSH_EVERY, waits);
            let (mut buffers, _) = waited.unwrap_or_else(PoisonError::into_inner);
            buffers.is_urgent = false;
            buffers.has_lines = false;
            buffers.is_writing = true;
            for (service, buffer) in &mut buffers.of {
                let stream = self.streams.entry(service).or_default();
                std::mem::swap(&mut stream.text, &mut buffer.text);
                let dropped = std::mem::take(&mut buffer.dropped);
                if dropped > 0 {
                    let message =
                        format!("{dropped} lines dropped: they came faster than they were written");
                    push_line(&mut stream.text, Level::WARN, service, &message, "");
                }
            }
            drop(buffers);
            for (service, stream) in &mut self.streams {
                stream.flush(service, &self.destination);
            }
            self.lines.lock().is_writing = false;
            self.lines.changed.notify_all();
        }
    }
}

#[derive(Debug, Default)]
struct Stream {
    /// What is to be written now.
    text: String,
    file: Option<File>,
    size_bytes: u64,
}

impl Stream {
    /// Writes its text. A disk that refuses it must not stop the service: the lines are dropped.
    fn flush(&mut self, service: &str, destination: &Destination) {
        if self.text.is_empty() {
            return;
        }
        let written = match destination {
            Destination::Stdout => io::stdout().lock().write_all(self.text.as_bytes()),
            Destination::Folder(folder) => self.append(&folder.join(format!("{service}.log"))),
        };
        if written.is_err() {
            self.file = None;
        }
        self.text.clear();
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
        if let Err(error) = file.write_all(self.text.as_bytes()) {
            // Half a line would spoil the next one, too.
            let _ = file.set_len(self.size_bytes);
            return Err(error);
        }
        self.size_bytes += self.text.len() as u64;
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

/// The service whose span it is.
struct OfService(&'static str);

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for JsonLines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id).filter(|span| span.name() == SERVICE_SPAN) else {
            return;
        };
        let mut fields = Line::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(OfService(fields.service));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let of_span = || {
            let mut spans = context.event_scope(event)?;
            spans.find_map(|span| Some(span.extensions().get::<OfService>()?.0))
        };
        let service = service_of(metadata.target()).or_else(of_span).unwrap_or(ENVIRONMENT);
        let mut line = Line { service, ..Line::default() };
        event.record(&mut line);
        let mut text = String::new();
        push_line(&mut text, *metadata.level(), line.service, &line.message, &line.fields);
        self.0.add(line.service, *metadata.level(), &text);
    }
}

fn push_line(text: &mut String, level: Level, service: &str, message: &str, fields: &str) {
    let time = Timestamp::now();
    let _ = write!(text, r#"{{"time":"{time}","level":"{level}","service":"{service}","message":"#);
    push_json(text, message);
    text.push_str(fields);
    text.push_str("}\n");
}

/// Returns the service whose crate it is; none for crates that services share.
fn service_of(target: &str) -> Option<&'static str> {
    let name = target.split("::").next().unwrap_or(target);
    services::ALL.into_iter().find(|service| *service == name)
}

#[derive(Debug)]
struct Line {
    service: &'static str,
    message: String,
    fields: String,
}

impl Default for Line {
    fn default() -> Self {
        Self { service: ENVIRONMENT, message: String::new(), fields: String::new() }
    }
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
                None => self.service = ENVIRONMENT,
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

#[cfg(test)]
mod tests {
    use store::service_span;
    use tracing::{debug, info, subscriber::with_default, warn};

    use super::*;

    /// Returns the service and the message of each line that is logged under a filter.
    fn lines_of(filter: &str, logs: impl FnOnce()) -> Vec<(String, String)> {
        let lines = Arc::new(Lines::default());
        let targets = filter.parse().unwrap();
        with_default(tracing_subscriber::registry().with(layer(Arc::clone(&lines), targets)), logs);
        let buffers = lines.lock();
        let mut found: Vec<(String, String)> = buffers
            .of
            .values()
            .flat_map(|buffer| buffer.text.lines())
            .map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                let text = |key: &str| line[key].as_str().unwrap().to_owned();
                (text("message"), text("service"))
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn a_line_is_of_the_service_whose_span_it_is_in() {
        let logged = lines_of("info", || {
            warn!("1 without a span");
            let kitchen = service_span("kitchen");
            kitchen.in_scope(|| {
                warn!("2 in a span");
                info!(target: "orders::api", "3 of a service's own crate");
                warn!(service = "board", "4 with a field");
                service_span("inventory").in_scope(|| warn!("5 in the inner span"));
                tracing::info_span!("another").in_scope(|| warn!("6 in a span within"));
                debug!("filtered");
            });
            service_span("market-sim").in_scope(|| warn!(target: "market_sim", "7 of market-sim"));
            service_span("nobody").in_scope(|| warn!("8 of nobody"));
        });
        let services: Vec<&str> = logged.iter().map(|(_, service)| service.as_str()).collect();
        let expected = [
            "environment",
            "kitchen",
            "orders",
            "board",
            "inventory",
            "kitchen",
            "market-sim",
            "environment",
        ];
        assert_eq!(services, expected, "{logged:?}");
    }

    #[test]
    fn a_filter_that_lets_few_lines_through_does_not_hide_whose_they_are() {
        for filter in ["error", "events=debug"] {
            let logged = lines_of(filter, || {
                service_span("kitchen").in_scope(|| {
                    tracing::error!(target: "events::consumer", "an error");
                    info!(target: "store", "filtered");
                });
            });
            assert_eq!(logged, [("an error".to_owned(), "kitchen".to_owned())], "{filter}");
        }
    }
}
