//! Parses the output of cargo: progress, diagnostics and the programs that it made.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use cargo_metadata::Message;
use printable::with_colors;

/// The first words of cargo's own lines, unlike those of diagnostics.
const OWN_WORDS: [&str; 12] = [
    "Adding",
    "Blocking",
    "Building",
    "Compiling",
    "Dirty",
    "Downloaded",
    "Downloading",
    "Finished",
    "Fresh",
    "Locking",
    "Running",
    "Updating",
];

/// The progress of cargo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// How many units are compiled.
    pub(crate) done: u64,
    /// How many there are.
    pub(crate) total: u64,
    /// The units that are being compiled.
    pub(crate) what: String,
}

/// The output of cargo.
#[derive(Debug, Default)]
pub(crate) struct CargoOutput {
    /// Warnings and errors about the code.
    pub(crate) about_the_code: String,
    /// The programs, new or cached, by their names.
    pub(crate) programs: BTreeMap<String, PathBuf>,
}

/// Parses the output as it comes: JSON on stdout, text on stderr.
#[derive(Debug)]
pub(crate) struct Listener<T> {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    said: CargoOutput,
    tell: T,
}

impl<T: Fn(Step)> Listener<T> {
    /// Begins; `tell` gets the progress.
    pub(crate) fn new(tell: T) -> Self {
        Self { stdout: Vec::new(), stderr: Vec::new(), said: CargoOutput::default(), tell }
    }

    /// Takes a piece of stdout.
    pub(crate) fn hear_stdout(&mut self, bytes: &[u8]) {
        self.stdout.extend_from_slice(bytes);
        for line in whole_lines(&mut self.stdout) {
            self.said.programs.extend(program(&line));
        }
    }

    /// Takes a piece of stderr.
    pub(crate) fn hear_stderr(&mut self, bytes: &[u8]) {
        self.stderr.extend_from_slice(bytes);
        for line in whole_lines(&mut self.stderr) {
            self.hear_words(&line);
        }
    }

    /// Returns the output.
    pub(crate) fn end(mut self) -> CargoOutput {
        self.hear_stderr(b"\n");
        self.said
    }

    fn hear_words(&mut self, line: &str) {
        let plain = without_colors(line);
        let first = plain.split_whitespace().next().unwrap_or_default();
        match step(&plain) {
            Some(step) => (self.tell)(step),
            // Its own words are right-aligned in a column; diagnostics begin at the left.
            None if plain.starts_with(' ') && OWN_WORDS.contains(&first) => {}
            None if plain.is_empty() && self.said.about_the_code.is_empty() => {}
            None => {
                self.said.about_the_code.push_str(&with_colors(line));
                self.said.about_the_code.push('\n');
            }
        }
    }
}

/// Takes complete lines out of the buffer. A progress line ends in a carriage return.
fn whole_lines(read: &mut Vec<u8>) -> Vec<String> {
    const ENDS: [char; 2] = ['\n', '\r'];
    let Some(last) = read.iter().rposition(|byte| ENDS.contains(&char::from(*byte))) else {
        return Vec::new();
    };
    let rest = read.split_off(last + 1);
    let lines = String::from_utf8_lossy(read).into_owned();
    *read = rest;
    lines.split_terminator(ENDS).map(str::to_owned).collect()
}

/// Returns the program in a message, if it has one.
fn program(line: &str) -> Option<(String, PathBuf)> {
    match serde_json::from_str(line) {
        Ok(Message::CompilerArtifact(made)) => {
            Some((made.target.name, made.executable?.into_std_path_buf()))
        }
        _ => None,
    }
}

/// Parses the progress in a line such as `    Building [====>    ] 12/34: serde, syn`.
fn step(line: &str) -> Option<Step> {
    let rest = line.trim_start().strip_prefix("Building [")?;
    let (_, counts) = rest.split_once("] ")?;
    let (counts, what) = counts.split_once(':').unwrap_or((counts, ""));
    let (done, total) = counts.trim().split_once('/')?;
    Some(Step {
        done: done.parse().ok()?,
        total: total.parse().ok()?,
        what: what.trim().to_owned(),
    })
}

/// Returns the text without colours.
fn without_colors(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escaped)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = escaped
            .split_once(|end: char| end.is_ascii_alphabetic())
            .map_or("", |(_, after)| after);
    }
    plain + rest
}

/// Returns the sources of a program, which cargo lists in a file beside it in the syntax of `make`.
pub(crate) fn sources(list: &str, within: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in list.lines() {
        let Some((_, listed)) = line.split_once(": ") else { continue };
        // A blank in a path is escaped.
        let listed = listed.replace("\\ ", "\0");
        files.extend(listed.split_whitespace().map(|path| within.join(path.replace('\0', " "))));
    }
    files
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn cargos_words_are_sorted() {
        let steps = RefCell::new(Vec::new());
        let mut listener =
            Listener::new(|step: Step| steps.borrow_mut().push((step.done, step.total, step.what)));
        let words = "\x1b[1m\x1b[92m   Compiling\x1b[0m tea v0.1.0 (/checkout/tea)\n    \
            Building [                    ] 0/2: pot\r    Building [=====>    ] 1/2: tea(bin)   \r\x1b[Kwarning: unused\n \
            --> a/src/main.rs:1:16\n\n    Finished `image` profile [optimized] target(s) in 0.16s\n";
        // The result does not depend on the pieces.
        words.as_bytes().chunks(7).for_each(|piece| listener.hear_stderr(piece));
        let said = listener.end();
        assert_eq!(*steps.borrow(), [(0, 2, "pot".into()), (1, 2, "tea(bin)".into())]);
        assert_eq!(said.about_the_code.trim_end(), "warning: unused\n --> a/src/main.rs:1:16");
    }

    #[test]
    fn the_programs_that_were_made_are_heard_of() {
        let mut listener = Listener::new(|_: Step| ());
        listener.hear_stdout(include_bytes!("artifact.json"));
        listener.hear_stdout(b"what a build script printed\n");
        let programs = listener.end().programs;
        assert_eq!(
            programs,
            BTreeMap::from([("tea".to_owned(), PathBuf::from("/target/image/tea"))])
        );
    }

    #[test]
    fn the_sources_of_a_program_are_read() {
        let list = "/target/tea: /checkout/a\\ b.rs pot/src/lib.rs\n\n";
        let files = sources(list, Path::new("/checkout"));
        assert_eq!(
            files,
            [PathBuf::from("/checkout/a b.rs"), PathBuf::from("/checkout/pot/src/lib.rs")]
        );
    }
}
