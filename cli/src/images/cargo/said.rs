//! What cargo says while it compiles: how far it is, what it has to say about the code, and what it made.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use cargo_metadata::Message;

/// What cargo says of itself, not of the code: words at the beginning of its lines.
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

/// How far cargo is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// How many pieces are compiled.
    pub(crate) done: u64,
    /// Of how many.
    pub(crate) total: u64,
    /// What is being compiled.
    pub(crate) what: String,
}

/// What cargo said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Its warnings and errors about the code.
    pub(crate) about_the_code: String,
    /// The programs that it made, or found made already, by their names.
    pub(crate) programs: BTreeMap<String, PathBuf>,
}

/// Listens to cargo: on its stdout it speaks to machines, on its stderr to people.
#[derive(Debug)]
pub(crate) struct Listener<T> {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    said: Said,
    tell: T,
}

impl<T: Fn(Step)> Listener<T> {
    /// Begins to listen; `tell` is told how far cargo is.
    pub(crate) fn new(tell: T) -> Self {
        Self { stdout: Vec::new(), stderr: Vec::new(), said: Said::default(), tell }
    }

    /// Hears some more of its stdout.
    pub(crate) fn hear_stdout(&mut self, bytes: &[u8]) {
        self.stdout.extend_from_slice(bytes);
        for line in whole_lines(&mut self.stdout) {
            self.said.programs.extend(program(&line));
        }
    }

    /// Hears some more of its stderr.
    pub(crate) fn hear_stderr(&mut self, bytes: &[u8]) {
        self.stderr.extend_from_slice(bytes);
        for line in whole_lines(&mut self.stderr) {
            self.hear_words(&line);
        }
    }

    /// Returns what was said, now that it is silent.
    pub(crate) fn end(mut self) -> Said {
        self.hear_stderr(b"\n");
        self.said
    }

    fn hear_words(&mut self, line: &str) {
        let plain = without_colors(line);
        let first = plain.split_whitespace().next().unwrap_or_default();
        match step(&plain) {
            Some(step) => (self.tell)(step),
            // Its own words stand in a column on the right; those about the code begin at the left.
            None if plain.starts_with(' ') && OWN_WORDS.contains(&first) => {}
            None if plain.is_empty() && self.said.about_the_code.is_empty() => {}
            None => {
                self.said.about_the_code.push_str(line);
                self.said.about_the_code.push('\n');
            }
        }
    }
}

/// Takes the whole lines out of what was read so far. One that is to be drawn over ends in a carriage return.
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

/// Returns the program that a message tells of, if it does.
fn program(line: &str) -> Option<(String, PathBuf)> {
    match serde_json::from_str(line) {
        Ok(Message::CompilerArtifact(made)) => {
            Some((made.target.name, made.executable?.into_std_path_buf()))
        }
        _ => None,
    }
}

/// Returns how far cargo is, from a line such as `    Building [====>    ] 12/34: serde, syn`.
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

/// Returns the text without the escape sequences that colour it.
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

/// Returns the files that a program was compiled from, as cargo lists them beside it, in a file for `make`.
pub(crate) fn sources(list: &str, within: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in list.lines() {
        let Some((_, listed)) = line.split_once(": ") else { continue };
        // A blank within a path is escaped.
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
        // However it is cut into pieces.
        words.as_bytes().chunks(7).for_each(|piece| listener.hear_stderr(piece));
        let said = listener.end();
        assert_eq!(*steps.borrow(), [(0, 2, "pot".into()), (1, 2, "tea(bin)".into())]);
        assert_eq!(
            said.about_the_code.trim_end(),
            "\x1b[Kwarning: unused\n --> a/src/main.rs:1:16"
        );
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
