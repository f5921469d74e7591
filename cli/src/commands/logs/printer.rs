//! Prints lines for people or programs. Lines are written to one buffer and flushed in batches: there may be a hundred
//! thousand.

use std::{borrow::Cow, fmt::Write};

use contracts::services;
use logs::files::{Level, Line};
use printable::{line as one_line, terminal_text};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::TextArgs;
use crate::{
    clock::Clock,
    error::Result,
    order_prefix::Shortener,
    output::{Output, Style, closed_or_broken},
};

const BUFFER_BYTES: usize = 64 * 1024;
/// The room for the text of one line; longer ones get more.
const LINE_BYTES: usize = 256;
/// The field with the trace of a request.
const TRACE: &str = "trace";

/// Prints lines.
pub(super) struct Printer<'a> {
    output: &'a Output,
    format: Format,
    buffer: Vec<u8>,
}

enum Format {
    Json,
    Text(Text),
}

impl<'a> Printer<'a> {
    /// Returns a printer of JSON.
    pub(super) const fn of_json(output: &'a Output) -> Self {
        Self { output, format: Format::Json, buffer: Vec::new() }
    }

    /// Returns a printer of text.
    pub(super) fn of_text(args: TextArgs, output: &'a Output) -> Self {
        Self { output, format: Format::Text(Text::new(args, output)), buffer: Vec::new() }
    }

    /// Prints lines and flushes them.
    ///
    /// # Errors
    /// [`crate::error::CliError::OutputClosed`] if the reader has closed stdout.
    pub(super) fn print<'l>(&mut self, lines: impl Iterator<Item = &'l Line>) -> Result<()> {
        for line in lines {
            self.write(line)?;
        }
        self.flush()
    }

    /// Writes one line to the buffer.
    ///
    /// # Errors
    /// As [`Printer::print`].
    pub(super) fn write(&mut self, line: &Line) -> Result<()> {
        match &mut self.format {
            Format::Json => {
                serde_json::to_writer(&mut self.buffer, &AsJson(line))
                    .map_err(anyhow::Error::from)?;
            }
            Format::Text(text) => {
                let text = text.of(line, self.output);
                self.buffer.extend_from_slice(terminal_text(&text).as_bytes());
            }
        }
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Flushes the buffer.
    ///
    /// # Errors
    /// As [`Printer::print`].
    pub(super) fn flush(&mut self) -> Result<()> {
        self.output.bytes(&self.buffer).map_err(closed_or_broken)?;
        self.buffer.clear();
        Ok(())
    }
}

/// How lines look to people.
struct Text {
    clock: Clock,
    /// Whether a line has its whole time, with date and zone.
    timestamps: bool,
    /// On a terminal, ids of orders are short. What reads a pipe or a file may need them whole, to give them to another program.
    shortener: Option<Shortener>,
    /// Whether the trace of a request is left out: it is half a line of a terminal.
    hides_traces: bool,
    /// The width of the names of services.
    width: usize,
}

impl Text {
    fn new(args: TextArgs, output: &Output) -> Self {
        Self {
            clock: Clock::new(args.utc),
            timestamps: args.timestamps,
            shortener: output.stdout_is_terminal().then(Shortener::default),
            hides_traces: output.stdout_is_terminal() && !output.is_verbose(),
            width: services::ALL.iter().map(|name| name.len()).max().unwrap_or_default(),
        }
    }

    /// Returns a line: its time, its service, its level if that is not info, what it says, and its fields.
    fn of(&mut self, line: &Line, output: &Output) -> String {
        let mut text = String::with_capacity(LINE_BYTES);
        // Writing to a string can't fail.
        let _written = write!(
            text,
            "{} {:<2$} ",
            output.style(Style::Dim, self.time(line)),
            output.style(color_of(&line.service), one_line(&line.service)),
            self.width,
        );
        let _written = match line.level {
            Level::Info => Ok(()),
            level => write!(text, "{} ", output.style(color_of_level(level), level.name())),
        };
        text.push_str(&one_line(&self.shorten(&line.message, line)));
        let details = self.details(line);
        if !details.is_empty() {
            let details = self.shorten(&details, line);
            let _written = write!(text, " {}", output.style(Style::Dim, one_line(&details)));
        }
        text
    }

    fn time(&self, line: &Line) -> String {
        if self.timestamps {
            return self.clock.rfc_3339(line.time);
        }
        let zone = if self.clock.is_utc() { "Z" } else { "" };
        format!("{}{zone}", self.clock.time_of_day(line.time))
    }

    fn details(&self, line: &Line) -> String {
        if !self.hides_traces || !line.fields.contains_key(TRACE) {
            return line.details();
        }
        let mut line = line.clone();
        line.fields.remove(TRACE);
        line.details()
    }

    /// Shortens the id of the order that a line is about.
    fn shorten<'t>(&mut self, text: &'t str, line: &Line) -> Cow<'t, str> {
        match (&mut self.shortener, &line.order) {
            (Some(shortener), Some(id)) if text.contains(id) => {
                text.replace(id, shortener.shorten(id)).into()
            }
            _ => text.into(),
        }
    }
}

const fn color_of_level(level: Level) -> Style {
    match level {
        Level::Error => Style::Red,
        Level::Warn => Style::Yellow,
        Level::Info => Style::Plain,
        Level::Debug | Level::Trace => Style::Dim,
    }
}

/// Returns a service's colour, the same in each run.
fn color_of(service: &str) -> Style {
    const COLORS: [Style; 5] =
        [Style::Cyan, Style::Green, Style::Magenta, Style::Blue, Style::Yellow];
    services::ALL
        .iter()
        .position(|name| *name == service)
        .map_or(Style::Plain, |at| COLORS[at % COLORS.len()])
}

/// A line as one JSON object: the fields of every line, then its own.
struct AsJson<'a>(&'a Line);

impl Serialize for AsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const KNOWN: [&str; 6] =
            ["schema_version", "time", "level", "service", "message", "order_id"];
        let Self(line) = self;
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("schema_version", &1)?;
        object.serialize_entry("time", &line.time)?;
        object.serialize_entry("level", line.level.name())?;
        object.serialize_entry("service", &line.service)?;
        object.serialize_entry("message", &line.message)?;
        if let Some(order) = &line.order {
            object.serialize_entry("order_id", order)?;
        }
        for (name, value) in &line.fields {
            if !KNOWN.contains(&name.as_str()) {
                object.serialize_entry(name, value)?;
            }
        }
        object.end()
    }
}
