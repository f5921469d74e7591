//! Output for people and scripts: data on stdout, everything else on stderr; colours where they are wanted.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    sync::{Mutex, OnceLock, PoisonError},
};

use clap::ColorChoice;
use indicatif::{MultiProgress, ProgressDrawTarget};
use printable::{Styling, line as one_line, terminal_text, with_colors};
use serde::Serialize;

use crate::{
    ci,
    error::{CliError, Result},
    report::cell,
};

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

/// The style of a text; has no effect where no colours are shown.
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

/// Which of the two streams show colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colors {
    /// Whether stdout does.
    pub(crate) stdout: bool,
    /// Whether stderr does.
    pub(crate) stderr: bool,
}

impl Colors {
    /// Decides by `--color`, and if that is `auto`, by `NO_COLOR`, `CLICOLOR_FORCE` and `CLICOLOR`, in this order, or else by what
    /// each stream is.
    pub(crate) fn decide(choice: ColorChoice) -> Self {
        let set = |variable| std::env::var_os(variable).filter(|value| !value.is_empty());
        let is_on = |variable| set(variable).is_some_and(|value| value != "0");
        let is_off = |variable| set(variable).is_some_and(|value| value == "0");
        let all = |shown| Self { stdout: shown, stderr: shown };
        match choice {
            ColorChoice::Always => all(true),
            ColorChoice::Never => all(false),
            ColorChoice::Auto if set("NO_COLOR").is_some() => all(false),
            ColorChoice::Auto if is_on("CLICOLOR_FORCE") => all(true),
            ColorChoice::Auto if is_off("CLICOLOR") || terminal_is_dumb() => all(false),
            ColorChoice::Auto => {
                Self { stdout: io::stdout().is_terminal(), stderr: io::stderr().is_terminal() }
            }
        }
    }
}

/// How a command prints.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// How much is printed beside the data.
    pub(crate) verbosity: Verbosity,
    /// Whether it is told how far work is while it goes on.
    pub(crate) progress: bool,
    /// Which streams show colours.
    pub(crate) colors: Colors,
    /// The flag that a command for this environment needs; empty for the default one.
    pub(crate) name_flag: String,
}

#[cfg(test)]
impl Manner {
    /// Prints nothing but errors.
    pub(crate) const fn quiet() -> Self {
        let colors = Colors { stdout: false, stderr: false };
        Self { verbosity: Verbosity::Quiet, progress: false, colors, name_flag: String::new() }
    }
}

/// The output of a command. Shared by reference; every call writes whole lines.
#[derive(Debug)]
pub(crate) struct Output {
    manner: Manner,
    stderr_is_terminal: bool,
    bars: OnceLock<MultiProgress>,
    /// Where everything goes in place of stdout and stderr.
    captured: Option<Mutex<Vec<u8>>>,
}

impl Output {
    /// Returns the output of this process; commands in what it says to people get the flag.
    pub(crate) fn new(manner: Manner) -> Self {
        Self {
            manner,
            stderr_is_terminal: io::stderr().is_terminal(),
            bars: OnceLock::new(),
            captured: None,
        }
    }

    /// Prints what goes on in work that is not done yet to stderr, unless `--quiet` or `--no-progress`.
    pub(crate) fn progress(&self, line: fmt::Arguments<'_>) {
        if self.manner.progress {
            self.status(line);
        }
    }

    /// Returns an output of the same environment that keeps everything, and writes nothing.
    pub(crate) fn captured(&self) -> Self {
        let colors = Colors { stdout: false, stderr: false };
        let name_flag = self.manner.name_flag.clone();
        Self {
            manner: Manner { verbosity: Verbosity::Normal, progress: false, colors, name_flag },
            stderr_is_terminal: false,
            bars: OnceLock::new(),
            captured: Some(Mutex::default()),
        }
    }

    /// Returns what was kept.
    pub(crate) fn into_text(self) -> String {
        let kept = self.captured.unwrap_or_default().into_inner();
        String::from_utf8_lossy(&kept.unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Prints a result or a note to stderr, unless `--quiet`.
    pub(crate) fn status(&self, line: fmt::Arguments<'_>) {
        if self.manner.verbosity >= Verbosity::Normal {
            self.say(line);
        }
    }

    /// Prints details to stderr, if `--verbose`.
    pub(crate) fn detail(&self, line: fmt::Arguments<'_>) {
        if self.manner.verbosity >= Verbosity::Verbose {
            self.say(format_args!("{}", self.stderr_style(Style::Dim, line)));
        }
    }

    /// Prints a warning to stderr, unless `--quiet`.
    pub(crate) fn warn(&self, line: fmt::Arguments<'_>) {
        if self.manner.verbosity >= Verbosity::Normal {
            self.say(format_args!("{} {line}", self.stderr_style(Style::Yellow, "warning:")));
        }
    }

    /// Prints a question to stderr, without an end of line. `--quiet` does not hide it.
    pub(crate) fn ask(&self, question: fmt::Arguments<'_>) {
        let question = terminal_text(&question.to_string()).into_owned();
        let _unheard = self.hide_bars_while(|| write!(io::stderr(), "{question}"));
    }

    /// Prints a usage error to stderr, as clap words it.
    pub(crate) fn usage(&self, error: &clap::Error) {
        let rendered = error.render();
        let text = match self.manner.colors.stderr {
            true => with_colors(&rendered.ansi().to_string()),
            false => rendered.to_string(),
        };
        self.say(format_args!("{}", text.trim_end()));
    }

    /// Prints an error to stderr: what failed, why, and what to try.
    pub(crate) fn error(&self, error: &CliError) {
        self.say(format_args!("{} {error}", self.stderr_style(Style::Red, "error:")));
        let mut cause = std::error::Error::source(error);
        while let Some(because) = cause {
            self.say(format_args!("{} {because}", self.stderr_style(Style::Dim, "  because:")));
            cause = because.source();
        }
        ci::annotate(&self.with_name(&error.to_string()));
        if let Some(hint) = error.hint() {
            self.say(format_args!("{} {hint}", self.stderr_style(Style::Cyan, "hint:")));
        }
    }

    /// Writes one line of data for people to stdout, or several.
    ///
    /// # Errors
    /// [`CliError::OutputClosed`] if the reader has closed stdout; [`CliError::Io`] if it can't be written.
    pub(crate) fn data(&self, line: impl fmt::Display) -> Result<()> {
        self.exact(&terminal_text(&self.with_name(&line.to_string())))
    }

    /// Writes a text to stdout; on a terminal, in place of the last `drawn` lines. Returns how many lines were drawn: as many as
    /// the terminal shows, each cut at its width.
    ///
    /// # Errors
    /// As [`Output::data`].
    pub(crate) fn redraw(&self, text: &str, drawn: usize) -> Result<usize> {
        const NO_WRAP: &str = "\x1b[?7l";
        const WRAP: &str = "\x1b[?7h";
        let text = self.with_name(text);
        let text = terminal_text(&text);
        if !self.stdout_is_drawable() {
            self.exact(&text)?;
            return Ok(0);
        }
        let rows = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| size.ws_row);
        let rows = if rows > 1 { usize::from(rows) - 1 } else { usize::MAX };
        let lines: Vec<&str> = text.lines().take(rows).collect();
        let up = if drawn > 0 { format!("\x1b[{drawn}A") } else { String::new() };
        self.exact(&format!("{up}\x1b[J{NO_WRAP}{}{WRAP}", lines.join("\n")))?;
        Ok(lines.len())
    }

    fn exact(&self, line: &str) -> Result<()> {
        if let Some(captured) = &self.captured {
            keep(captured, format!("{line}\n").as_bytes());
            return Ok(());
        }
        self.hide_bars_while(|| writeln!(io::stdout(), "{line}")).map_err(closed_or_broken)
    }

    /// Writes text to stdout as it is.
    ///
    /// # Errors
    /// The system's error; [`closed_or_broken`] turns it into a command's.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        if let Some(captured) = &self.captured {
            keep(captured, bytes);
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    /// Writes one JSON document to stdout, indented for people. The value carries its own `schema_version`.
    ///
    /// # Errors
    /// As [`Output::data`].
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<()> {
        self.exact(&serde_json::to_string_pretty(value).map_err(anyhow::Error::from)?)
    }

    /// Writes one JSON document on one line to stdout, for streams.
    ///
    /// # Errors
    /// As [`Output::data`].
    pub(crate) fn json_line(&self, value: &impl Serialize) -> Result<()> {
        self.exact(&serde_json::to_string(value).map_err(anyhow::Error::from)?)
    }

    /// Returns the text in that style if stdout shows colours.
    pub(crate) fn style<T: fmt::Display>(&self, style: Style, text: T) -> Styled<T> {
        Styled { style: if self.manner.colors.stdout { style } else { Style::Plain }, text }
    }

    /// Returns the text in that style if stderr shows colours.
    pub(crate) fn stderr_style<T: fmt::Display>(&self, style: Style, text: T) -> Styled<T> {
        Styled { style: if self.manner.colors.stderr { style } else { Style::Plain }, text }
    }

    /// Returns a text for people in which the commands in backticks are for this environment: messages need not name it.
    pub(crate) fn with_name(&self, text: &str) -> String {
        with_flag(text, &self.manner.name_flag)
    }

    /// Returns the flag that a command for this environment needs: empty for the default one, else ` --name NAME`.
    pub(crate) fn name_flag(&self) -> &str {
        &self.manner.name_flag
    }

    /// Returns whether stdout shows colours.
    pub(crate) const fn stdout_has_colors(&self) -> bool {
        self.manner.colors.stdout
    }

    /// Returns whether stderr shows colours.
    pub(crate) const fn stderr_has_colors(&self) -> bool {
        self.manner.colors.stderr
    }

    /// Returns whether details are printed, too.
    pub(crate) fn is_verbose(&self) -> bool {
        self.manner.verbosity >= Verbosity::Verbose
    }

    /// Returns whether a user at a terminal sees what [`Output::status`] prints.
    pub(crate) fn status_is_seen(&self) -> bool {
        self.stderr_is_terminal && self.manner.verbosity >= Verbosity::Normal
    }

    /// Returns whether stdout is a terminal.
    #[expect(clippy::unused_self, reason = "what stdout is, the output knows")]
    pub(crate) fn stdout_is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Returns whether stdout is a terminal on which a report can be redrawn in place.
    #[expect(clippy::unused_self, reason = "what stdout is, the output knows")]
    pub(crate) fn stdout_is_drawable(&self) -> bool {
        io::stdout().is_terminal() && !terminal_is_dumb()
    }

    /// Returns the progress bars to draw on; `None` off a terminal, on one that can't move its cursor, with `--quiet`
    /// or with `--no-progress`.
    pub(crate) fn bars(&self) -> Option<&MultiProgress> {
        let is_wanted = self.manner.progress && self.manner.verbosity >= Verbosity::Normal;
        let is_seen = self.stderr_is_terminal && is_wanted;
        (is_seen && !terminal_is_dumb()).then(|| {
            self.bars.get_or_init(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
        })
    }

    fn say(&self, line: fmt::Arguments<'_>) {
        // A reader that has closed stderr does not want errors about it.
        let line = self.with_name(&line.to_string());
        let line = terminal_text(&line);
        if let Some(captured) = &self.captured {
            keep(captured, format!("{line}\n").as_bytes());
            return;
        }
        let _unheard = self.hide_bars_while(|| writeln!(io::stderr(), "{line}"));
    }

    fn hide_bars_while<T>(&self, write: impl FnOnce() -> T) -> T {
        match self.bars.get() {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }
}

/// Returns a text with its first letter in upper case.
pub(crate) fn capitalized(text: impl fmt::Display) -> String {
    let text = text.to_string();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn keep(captured: &Mutex<Vec<u8>>, bytes: &[u8]) {
    captured.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
}

/// Adds the flag to each command in backticks that needs one and has none, behind its name: `chefcito logs --level warn`.
fn with_flag(text: &str, flag: &str) -> String {
    const OF_MACHINE: [&str; 8] =
        ["build", "render", "deploy", "doctor", "ls", "completions", "man", "version"];
    let mut parts = text.split("`chefcito ");
    let mut flagged = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        flagged.push_str("`chefcito ");
        let command = part.split('`').next().unwrap_or_default();
        let name = command.split(' ').next().unwrap_or_default();
        let needs_it = !OF_MACHINE.contains(&name) && !command.contains("--name");
        flagged.extend([name, if needs_it { flag } else { "" }, &part[name.len()..]]);
    }
    flagged
}

/// Returns whether the terminal has neither colours nor a cursor to move.
fn terminal_is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// Returns the command's error for a failed write to stdout.
pub(crate) fn closed_or_broken(error: io::Error) -> CliError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::OutputClosed,
        _ => CliError::Io { what: "write to stdout".into(), source: error },
    }
}

/// A text with its style, for [`Output`] to print.
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
                Styling(style.code()).fmt(formatter)?;
                self.text.fmt(formatter)?;
                Styling("0").fmt(formatter)
            }
        }
    }
}

/// A table: each column as wide as its widest cell, numbers aligned to the right.
#[derive(Clone, Debug)]
pub(crate) struct Table<const COLUMNS: usize> {
    heading: [String; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// Returns a table without rows.
    pub(crate) fn new<T: Into<String>>(heading: [T; COLUMNS]) -> Self {
        Self { heading: heading.map(Into::into), rows: Vec::new() }
    }

    /// Adds a row at the end. A cell is one line, whatever its text comes from.
    pub(crate) fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells.map(|cell| one_line(&cell).into_owned()));
    }

    /// Returns the table in Markdown.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: [&str; COLUMNS]| format!("| {} |\n", cells.map(cell).join(" | "));
        let rule =
            std::array::from_fn(|column| if self.is_numeric(column) { "--:" } else { "---" });
        let rule: [&str; COLUMNS] = rule;
        let mut text =
            line(self.heading.each_ref().map(String::as_str)) + "|" + &rule.join("|") + "|\n";
        for row in &self.rows {
            text.push_str(&line(std::array::from_fn(|column| row[column].as_str())));
        }
        text
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
                .chain([length(&self.heading[column])])
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
        formatter.write_str(&line(self.heading.each_ref().map(String::as_str)))?;
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
    fn commands_in_hints_name_the_environment() {
        let hint =
            "look at `chefcito logs --level warn`, `chefcito up --name ci`, or `chefcito doctor`";
        assert_eq!(with_flag(hint, ""), hint);
        assert_eq!(
            with_flag(hint, " --name ci"),
            "look at `chefcito logs --name ci --level warn`, `chefcito up --name ci`, or `chefcito doctor`"
        );
    }

    #[test]
    fn all_that_people_read_names_the_environment_and_documents_are_exact() {
        let manner = Manner { name_flag: " --name ci".into(), ..Manner::quiet() };
        let output = Output::new(manner).captured();
        output.data("`chefcito up` starts it").unwrap();
        output.error(&CliError::failed("`chefcito audit` tells more"));
        output.json_line(&"`chefcito up`").unwrap();
        insta::assert_snapshot!(output.into_text(), @r#"
        `chefcito up --name ci` starts it
        error: `chefcito audit --name ci` tells more
        "`chefcito up`"
        "#);
    }

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
