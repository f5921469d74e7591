//! Prints lines for people or programs. Lines are written to one buffer and flushed in batches: there may be a hundred
//! thousand.

use std::io::Write;

use contracts::services;
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    error::{CliError, Result},
    log_files::{Level, Line},
    output::{Output, Style, closed_or_broken},
};

const BUFFER_BYTES: usize = 64 * 1024;

/// Prints lines.
pub(super) struct Printer<'a> {
    output: &'a Output,
    json: bool,
    buffer: Vec<u8>,
}

impl<'a> Printer<'a> {
    /// Returns a printer of text or JSON.
    pub(super) const fn new(output: &'a Output, json: bool) -> Self {
        Self { output, json, buffer: Vec::new() }
    }

    /// Prints lines and flushes them.
    ///
    /// # Errors
    /// [`CliError::OutputClosed`] if the reader has closed stdout.
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
        if self.json {
            serde_json::to_writer(&mut self.buffer, &AsJson(line)).map_err(anyhow::Error::from)?;
        } else {
            write_for_people(line, self.output, &mut self.buffer)
                .map_err(CliError::io(|| "write a line".into()))?;
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

fn write_for_people(line: &Line, output: &Output, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    let gravity = match line.level {
        Level::Error => Style::Red,
        Level::Warn => Style::Yellow,
        Level::Info => Style::Plain,
        Level::Debug | Level::Trace => Style::Dim,
    };
    write!(
        buffer,
        "{} {} {} {}",
        output.style(Style::Dim, line.time),
        output.style(color_of(&line.service), format_args!("{:<9}", line.service)),
        output.style(gravity, format_args!("{:<5}", line.level.name())),
        line.message
    )?;
    let details = line.details();
    match details.is_empty() {
        true => Ok(()),
        false => write!(buffer, " {}", output.style(Style::Dim, details)),
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
