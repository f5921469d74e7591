//! Cargo, as a child of ours that ends with us: what it says while it compiles, and what it made.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use cargo_metadata::Message;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    process::{Child, Command},
};

use crate::error::{CliError, Result};

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

/// What cargo did.
#[derive(Debug)]
pub(crate) struct Done {
    /// Whether it did all of it.
    pub(crate) succeeded: bool,
    /// What it says about the code: warnings and errors.
    pub(crate) words: String,
    /// The programs that it made, or found made already, by their names.
    pub(crate) programs: BTreeMap<String, PathBuf>,
}

/// A process and all that it started, ended when dropped. Cargo leaves nothing half-made when it is ended.
#[derive(Debug)]
struct Group {
    child: Child,
    leader: Option<Pid>,
}

impl Group {
    fn start(command: &mut Command) -> std::io::Result<Self> {
        // In a group of its own, so that the compilers below it can be ended with it.
        let child = command.stdin(Stdio::null()).process_group(0).kill_on_drop(true).spawn()?;
        let leader = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        Ok(Self { child, leader })
    }

    async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.leader = None;
        Ok(status)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            // It may have ended by itself just now.
            let _gone = kill_process_group(leader, Signal::TERM);
        }
    }
}

/// Runs cargo to compile, and tells how far it is.
///
/// # Errors
/// [`CliError::Io`] if it can't be run.
pub(crate) async fn compile(command: &mut Command, tell: impl Fn(Step)) -> Result<Done> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut group = Group::start(command).map_err(CliError::io(|| "run cargo".into()))?;
    let (stdout, stderr) = (group.child.stdout.take(), group.child.stderr.take());
    let (programs, words) = tokio::join!(programs(stdout), words(stderr, tell));
    let status = group.wait().await.map_err(CliError::io(|| "wait for cargo".into()))?;
    let read = || "read what cargo says".into();
    Ok(Done {
        succeeded: status.success(),
        words: words.map_err(CliError::io(read))?,
        programs: programs.map_err(CliError::io(read))?,
    })
}

/// Runs a command to its end and returns what it says: its exit, its stdout and its stderr.
///
/// # Errors
/// [`CliError::Io`] if it can't be run.
pub(crate) async fn ask(command: &mut Command) -> Result<(bool, Vec<u8>, String)> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut group = Group::start(command).map_err(CliError::io(|| format!("run {name}")))?;
    let (stdout, stderr) = (group.child.stdout.take(), group.child.stderr.take());
    let (out, err) = tokio::join!(all(stdout), all(stderr));
    let status = group.wait().await.map_err(CliError::io(|| format!("wait for {name}")))?;
    let read = || format!("read what {name} says");
    let err = String::from_utf8_lossy(&err.map_err(CliError::io(read))?).trim().to_owned();
    Ok((status.success(), out.map_err(CliError::io(read))?, err))
}

async fn all(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _length = pipe.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Reads cargo's messages for machines.
async fn programs(
    pipe: Option<impl AsyncRead + Unpin>,
) -> std::io::Result<BTreeMap<String, PathBuf>> {
    let mut programs = BTreeMap::new();
    let Some(pipe) = pipe else { return Ok(programs) };
    let mut lines = BufReader::new(pipe).lines();
    while let Some(line) = lines.next_line().await? {
        programs.extend(program(&line));
    }
    Ok(programs)
}

/// Returns the program that a message tells of, if it does.
pub(crate) fn program(line: &str) -> Option<(String, PathBuf)> {
    match serde_json::from_str(line) {
        Ok(Message::CompilerArtifact(made)) => {
            Some((made.target.name, made.executable?.into_std_path_buf()))
        }
        _ => None,
    }
}

/// Reads cargo's words for people.
async fn words(
    pipe: Option<impl AsyncRead + Unpin>,
    tell: impl Fn(Step),
) -> std::io::Result<String> {
    let Some(pipe) = pipe else { return Ok(String::new()) };
    let mut words = Words::default();
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        if pipe.read_until(b'\n', &mut line).await? == 0 {
            return Ok(words.about_the_code);
        }
        words.hear(&String::from_utf8_lossy(&line), &tell);
    }
}

/// Cargo's words for people, sorted: how far it is, what it says of itself, what it says about the code.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// Warnings and errors.
    pub(crate) about_the_code: String,
}

impl Words {
    /// Hears a line. Its progress is drawn over and over on one line, with carriage returns between.
    pub(crate) fn hear(&mut self, line: &str, tell: &impl Fn(Step)) {
        for part in line.trim_end_matches(['\n', '\r']).split('\r') {
            let plain = without_colors(part);
            let first = plain.split_whitespace().next().unwrap_or_default();
            match step(&plain) {
                Some(step) => tell(step),
                // Its own words stand in a column on the right; those about the code begin at the left.
                None if plain.starts_with(' ') && OWN_WORDS.contains(&first) => {}
                None if plain.is_empty() && self.about_the_code.is_empty() => {}
                None => {
                    self.about_the_code.push_str(part);
                    self.about_the_code.push('\n');
                }
            }
        }
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
        let mut words = Words::default();
        for line in [
            "\x1b[1m\x1b[92m   Compiling\x1b[0m tea v0.1.0 (/checkout/tea)\n",
            "    Building [                    ] 0/2: pot\r    Building [=====>    ] 1/2: tea(bin)   \r\x1b[Kwarning: unused\n",
            " --> a/src/main.rs:1:16\n",
            "\n",
            "    Finished `image` profile [optimized] target(s) in 0.16s\n",
        ] {
            words.hear(line, &|step: Step| {
                steps.borrow_mut().push((step.done, step.total, step.what))
            });
        }
        assert_eq!(*steps.borrow(), [(0, 2, "pot".into()), (1, 2, "tea(bin)".into())]);
        assert_eq!(words.about_the_code, "\x1b[Kwarning: unused\n --> a/src/main.rs:1:16\n\n");
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

    #[tokio::test]
    async fn what_was_started_ends_with_its_group() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", fifo.display());
        let mut command = Command::new("sh");
        let group = Group::start(command.args(["-c", &script])).unwrap();
        let pid = loop {
            match std::fs::read_to_string(&fifo) {
                Ok(text) if text.ends_with('\n') => break text.trim().to_owned(),
                _ => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
            }
        };
        drop(group);
        let stat = PathBuf::from(format!("/proc/{pid}/stat"));
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
}
