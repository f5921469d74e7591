//! What people and scripts read: data on stdout, all else on stderr, colours only on a terminal.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    sync::OnceLock,
};

use indicatif::{MultiProgress, ProgressDrawTarget};
use serde::Serialize;

use crate::error::{CliError, Result};

/// How much is said beside the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Only errors.
    Quiet,
    /// What happens.
    Normal,
    /// Also how.
    Verbose,
}

/// A look for a piece of text; none of it off a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// As it is.
    Plain,
    /// To stand out.
    Bold,
    /// To stand back.
    Dim,
    /// Bad.
    Red,
    /// Good.
    Green,
    /// Worth a look.
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

/// Where a command's words go. Shared by reference; every call writes whole lines.
#[derive(Debug)]
pub(crate) struct Output {
    verbosity: Verbosity,
    color_stdout: bool,
    color_stderr: bool,
    stderr_is_terminal: bool,
    bars: OnceLock<MultiProgress>,
}

impl Output {
    /// Returns the output of this process, with colours as its terminal and `NO_COLOR` allow.
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

    /// Says on stderr what happens, unless `--quiet`.
    pub(crate) fn status(&self, line: fmt::Arguments<'_>) {
        if self.verbosity >= Verbosity::Normal {
            self.say(line);
        }
    }

    /// Says on stderr how it happens, if `--verbose`.
    pub(crate) fn detail(&self, line: fmt::Arguments<'_>) {
        if self.verbosity >= Verbosity::Verbose {
            self.say(format_args!("{}", self.stderr_style(Style::Dim, line)));
        }
    }

    /// Says on stderr what may surprise, unless `--quiet`.
    pub(crate) fn warn(&self, line: fmt::Arguments<'_>) {
        if self.verbosity >= Verbosity::Normal {
            self.say(format_args!("{} {line}", self.stderr_style(Style::Yellow, "warning:")));
        }
    }

    /// Says on stderr what failed, why, and what to try.
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
    /// [`CliError::OutputClosed`] if nobody reads any more; [`CliError::Io`] if it can't be written.
    pub(crate) fn data(&self, line: impl fmt::Display) -> Result<()> {
        self.hide_bars_while(|| writeln!(io::stdout(), "{line}")).map_err(closed_or_broken)
    }

    /// Writes text to stdout as it is.
    ///
    /// # Errors
    /// What the system says; [`closed_or_broken`] puts it into words.
    #[expect(clippy::unused_self, reason = "only who was given the output may write")]
    pub(crate) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    /// Writes one JSON document to stdout, for people's eyes, too. The value carries its own `schema_version`.
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

    /// Returns whether stdout is a terminal that shows colours, and so can be drawn over.
    pub(crate) fn stdout_is_drawable(&self) -> bool {
        io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    /// Returns the bars to draw on, if somebody watches them: a terminal, and not `--quiet`.
    pub(crate) fn bars(&self) -> Option<&MultiProgress> {
        let watched = self.stderr_is_terminal && self.verbosity >= Verbosity::Normal;
        watched.then(|| {
            self.bars.get_or_init(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
        })
    }

    fn say(&self, line: fmt::Arguments<'_>) {
        // Who closed stderr does not want to hear of it.
        let _unheard = self.hide_bars_while(|| writeln!(io::stderr(), "{line}"));
    }

    fn hide_bars_while<T>(&self, write: impl FnOnce() -> T) -> T {
        match self.bars.get() {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }
}

/// Returns what a failed write to stdout means for the command.
pub(crate) fn closed_or_broken(error: io::Error) -> CliError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::OutputClosed,
        _ => CliError::Io { what: "write to stdout".into(), source: error },
    }
}

/// A text with its look.
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

/// Rows below a heading, each column as wide as its widest cell. Numbers stand on the right.
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

    /// A column of numbers, blanks and dashes is one of numbers.
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
