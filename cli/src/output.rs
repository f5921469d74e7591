//! Output for people and scripts: data on stdout, everything else on stderr, colours only on a terminal.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    sync::OnceLock,
};

use indicatif::{MultiProgress, ProgressDrawTarget};
use serde::Serialize;

use crate::error::{CliError, Result};

/// How much is printed beside the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Only errors.
    Quiet,
    /// Also progress.
    Normal,
    /// Also details.
    Verbose,
}

/// The style of a text; has no effect off a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// No style.
    Plain,
    /// For emphasis.
    Bold,
    /// For less important text.
    Dim,
    /// For errors.
    Red,
    /// For success.
    Green,
    /// For warnings.
    Yellow,
    /// One of the colours for names.
    Blue,
    /// One of the colours for names.
    Magenta,
    /// One of the colours for names.
    Cyan,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Blue => "34",
            Self::Magenta => "35",
            Self::Cyan => "36",
        }
    }
}

/// The output of a command. Shared by reference; every call writes whole lines.
#[derive(Debug)]
pub(crate) struct Output {
    verbosity: Verbosity,
    color_stdout: bool,
    color_stderr: bool,
    stderr_is_terminal: bool,
    bars: OnceLock<MultiProgress>,
}

impl Output {
    /// Returns the output of this process. The terminals and `NO_COLOR` decide about colours.
    pub(crate) fn new(verbosity: Verbosity) -> Self {
        let set = |variable| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
        let colors = !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let stderr_is_terminal = io::stderr().is_terminal();
        Self {
            verbosity,
            color_stdout: colors && io::stdout().is_terminal(),
            color_stderr: colors && stderr_is_terminal,
            stderr_is_terminal,
            bars: OnceLock::new(),
        }
    }

    /// Prints progress to stderr, unless `--quiet`.
    pub(crate) fn status(&self, line: fmt::Arguments<'_>) {
        if self.verbosity >= Verbosity::Normal {
            self.say(line);
        }
    }

    /// Prints details to stderr, if `--verbose`.
    pub(crate) fn detail(&self, line: fmt::Arguments<'_>) {
        if self.verbosity >= Verbosity::Verbose {
            self.say(format_args!("{}", self.stderr_style(Style::Dim, line)));
        }
    }

    /// Prints a warning to stderr, unless `--quiet`.
    pub(crate) fn warn(&self, line: fmt::Arguments<'_>) {
        if self.verbosity >= Verbosity::Normal {
            self.say(format_args!("{} {line}", self.stderr_style(Style::Yellow, "warning:")));
        }
    }

    /// Prints an error to stderr: what failed, why, and what to try.
    pub(crate) fn error(&self, error: &CliError) {
        self.say(format_args!("{} {error}", self.stderr_style(Style::Red, "error:")));
        let mut cause = std::error::Error::source(error);
        while let Some(because) = cause {
            self.say(format_args!("{} {because}", self.stderr_style(Style::Dim, "  because:")));
            cause = because.source();
        }
        if let Some(hint) = error.hint() {
            self.say(format_args!("{} {hint}", self.stderr_style(Style::Cyan, "hint:")));
        }
    }

    /// Writes one line of data to stdout.
    ///
    /// # Errors
    /// [`CliError::OutputClosed`] if the reader has closed stdout; [`CliError::Io`] if it can't be written.
    pub(crate) fn data(&self, line: impl fmt::Display) -> Result<()> {
        self.hide_bars_while(|| writeln!(io::stdout(), "{line}")).map_err(closed_or_broken)
    }

    /// Writes text to stdout as it is.
    ///
    /// # Errors
    /// The system's error; [`closed_or_broken`] turns it into a command's.
    #[expect(clippy::unused_self, reason = "writing needs a reference to the output")]
    pub(crate) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    /// Writes one JSON document to stdout, indented for people. The value carries its own `schema_version`.
    ///
    /// # Errors
    /// As [`Output::data`].
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<()> {
        self.data(serde_json::to_string_pretty(value).map_err(anyhow::Error::from)?)
    }

    /// Writes one JSON document on one line to stdout, for streams.
    ///
    /// # Errors
    /// As [`Output::data`].
    pub(crate) fn json_line(&self, value: &impl Serialize) -> Result<()> {
        self.data(serde_json::to_string(value).map_err(anyhow::Error::from)?)
    }

    /// Returns the text in that style if stdout shows colours.
    pub(crate) fn style<T: fmt::Display>(&self, style: Style, text: T) -> Styled<T> {
        Styled { style: if self.color_stdout { style } else { Style::Plain }, text }
    }

    /// Returns the text in that style if stderr shows colours.
    pub(crate) fn stderr_style<T: fmt::Display>(&self, style: Style, text: T) -> Styled<T> {
        Styled { style: if self.color_stderr { style } else { Style::Plain }, text }
    }

    /// Returns whether stderr shows colours.
    pub(crate) const fn stderr_has_colors(&self) -> bool {
        self.color_stderr
    }

    /// Returns whether stdout is a terminal with colours, so that a report can be redrawn in place.
    pub(crate) fn stdout_is_drawable(&self) -> bool {
        io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    /// Returns the progress bars to draw on; `None` off a terminal or with `--quiet`.
    pub(crate) fn bars(&self) -> Option<&MultiProgress> {
        let watched = self.stderr_is_terminal && self.verbosity >= Verbosity::Normal;
        watched.then(|| {
            self.bars.get_or_init(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
        })
    }

    fn say(&self, line: fmt::Arguments<'_>) {
        // A reader that has closed stderr does not want errors about it.
        let _unheard = self.hide_bars_while(|| writeln!(io::stderr(), "{line}"));
    }

    fn hide_bars_while<T>(&self, write: impl FnOnce() -> T) -> T {
        match self.bars.get() {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }
}

/// Returns the command's error for a failed write to stdout.
pub(crate) fn closed_or_broken(error: io::Error) -> CliError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::OutputClosed,
        _ => CliError::Io { what: "write to stdout".into(), source: error },
    }
}

/// A text with its style.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Styled<T> {
    style: Style,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Styled<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.style {
            Style::Plain => self.text.fmt(formatter),
            style => {
                write!(formatter, "\x1b[{}m", style.code())?;
                self.text.fmt(formatter)?;
                formatter.write_str("\x1b[0m")
            }
        }
    }
}

/// A table: each column as wide as its widest cell, numbers aligned to the right.
#[derive(Clone, Debug)]
pub(crate) struct Table<const COLUMNS: usize> {
    heading: [&'static str; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// Returns a table without rows.
    pub(crate) const fn new(heading: [&'static str; COLUMNS]) -> Self {
        Self { heading, rows: Vec::new() }
    }

    /// Adds a row at the end.
    pub(crate) fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells);
    }

    /// Returns whether a column has only numbers, blanks and dashes.
    fn is_numeric(&self, column: usize) -> bool {
        let numeric = |cell: &String| {
            cell.starts_with(|first: char| first.is_ascii_digit() || "-+".contains(first))
        };
        let mut filled =
            self.rows.iter().map(|row| &row[column]).filter(|cell| !cell.is_empty()).peekable();
        filled.peek().is_some() && filled.all(numeric)
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |cell: &str| cell.chars().count();
        let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
            self.rows
                .iter()
                .map(|row| length(&row[column]))
                .chain([length(self.heading[column])])
                .max()
                .unwrap_or(0)
        });
        let numeric: [bool; COLUMNS] = std::array::from_fn(|column| self.is_numeric(column));
        let line = |cells: [&str; COLUMNS]| {
            let padded: Vec<String> = (0..COLUMNS)
                .map(|column| match numeric[column] {
                    true => format!("{:>1$}", cells[column], widths[column]),
                    false => format!("{:<1$}", cells[column], widths[column]),
                })
                .collect();
            padded.join("  ").trim_end().to_owned()
        };
        formatter.write_str(&line(self.heading))?;
        for row in &self.rows {
            write!(formatter, "\n{}", line(std::array::from_fn(|column| row[column].as_str())))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_words_left_and_numbers_right() {
        let mut table = Table::new(["ingredient", "on hand", "note"]);
        table.row(["rice".into(), "5".into(), String::new()]);
        table.row(["tomato".into(), "1200".into(), "plenty".into()]);
        assert_eq!(
            table.to_string(),
            "ingredient  on hand  note\n\
             rice              5\n\
             tomato         1200  plenty"
        );
    }
}
