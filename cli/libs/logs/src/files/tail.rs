//! The lines of all files of a folder, merged by time: the last ones, or all.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
};

use contracts::Timestamp;

use super::{
    LINE_BYTES_MAX, Line,
    backwards::Backwards,
    opened::{FileId, LogFile},
};

/// How many lines without a time are kept until an earlier one has a time.
const UNTIMED_MAX: usize = 1_000;

/// The last lines.
#[derive(Debug)]
pub struct Tail {
    /// The lines, the last one last.
    pub lines: Vec<Line>,
    /// Whether there were more before them.
    pub more: bool,
}

/// Returns the last `count` lines that the filter accepts, merged by time, none older than `since`. Reads the files
/// from their ends, and no further than needed.
///
/// # Errors
/// If a file can't be read.
pub fn tail(
    files: BTreeMap<FileId, LogFile>,
    count: usize,
    wanted: impl Fn(&Line) -> bool,
    since: Option<Timestamp>,
) -> io::Result<Tail> {
    let mut sources = by_service(files)
        .into_values()
        .map(|mut files| {
            files.sort_by_key(|file| file.age);
            FromEnd {
                older: files.into(),
                reading: None,
                ready: VecDeque::new(),
                untimed: Vec::new(),
            }
        })
        .collect::<Vec<_>>();
    let mut heads = sources.iter_mut().map(FromEnd::next).collect::<io::Result<Vec<_>>>()?;
    let mut lines = Vec::new();
    loop {
        let latest = (0..heads.len())
            .filter(|at| heads[*at].is_some())
            .max_by_key(|at| heads[*at].as_ref().map(|line| line.time));
        let Some(latest) = latest else { break };
        let next = sources[latest].next()?;
        let Some(line) = std::mem::replace(&mut heads[latest], next) else { break };
        // Not the end: the clock may have been set back, and later lines are before this one.
        if since.is_none_or(|since| line.time >= since) && wanted(&line) {
            if lines.len() == count {
                lines.reverse();
                return Ok(Tail { lines, more: true });
            }
            lines.push(line);
        }
    }
    lines.reverse();
    Ok(Tail { lines, more: false })
}

fn by_service(files: BTreeMap<FileId, LogFile>) -> BTreeMap<String, Vec<LogFile>> {
    let mut services: BTreeMap<String, Vec<LogFile>> = BTreeMap::new();
    for file in files.into_values() {
        services.entry(file.service.clone()).or_default().push(file);
    }
    services
}

/// The lines of one service, the last one first.
struct FromEnd {
    /// Files not read yet, the newest first.
    older: VecDeque<LogFile>,
    reading: Option<(Backwards<File>, String, Timestamp)>,
    /// Lines with a known time.
    ready: VecDeque<Line>,
    /// Lines without a time, the last one first: they get that of the line before them.
    untimed: Vec<Vec<u8>>,
}

impl FromEnd {
    fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            let Some((backwards, service, changed)) = &mut self.reading else {
                let Some(file) = self.older.pop_front() else { return Ok(None) };
                self.reading =
                    Some((Backwards::new(file.file, file.end), file.service, file.changed));
                continue;
            };
            let (time, timed) = match backwards.next_line()? {
                Some(bytes) => match Line::time_of(&bytes) {
                    Some(time) => (time, Some(bytes)),
                    None => {
                        self.untimed.push(bytes);
                        if self.untimed.len() < UNTIMED_MAX {
                            continue;
                        }
                        (*changed, None)
                    }
                },
                None => (*changed, None),
            };
            let at_the_beginning = timed.is_none() && self.untimed.len() < UNTIMED_MAX;
            let untimed = std::mem::take(&mut self.untimed);
            self.ready
                .extend(untimed.iter().chain(&timed).map(|bytes| Line::read(bytes, service, time)));
            *changed = time;
            if at_the_beginning {
                self.reading = None;
            }
        }
    }
}

/// All lines of all files, merged by time, the first one first.
pub struct Forwards {
    sources: Vec<FromBeginning>,
    heads: Vec<Option<Line>>,
}

impl Forwards {
    /// Begins with the first line of all.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn new(files: BTreeMap<FileId, LogFile>) -> io::Result<Self> {
        let mut sources = by_service(files)
            .into_values()
            .map(|mut files| {
                files.sort_by_key(|file| std::cmp::Reverse(file.age));
                FromBeginning { younger: files.into(), reading: None, time: Timestamp::default() }
            })
            .collect::<Vec<_>>();
        let heads = sources.iter_mut().map(FromBeginning::next).collect::<io::Result<_>>()?;
        Ok(Self { sources, heads })
    }

    /// Returns the next line.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        let heads = &self.heads;
        let first = (0..heads.len())
            .filter(|at| heads[*at].is_some())
            .min_by_key(|at| heads[*at].as_ref().map(|line| line.time));
        let Some(first) = first else { return Ok(None) };
        let next = self.sources[first].next()?;
        Ok(std::mem::replace(&mut self.heads[first], next))
    }
}

/// The lines of one service, the first one first.
struct FromBeginning {
    /// Files not read yet, the oldest first.
    younger: VecDeque<LogFile>,
    reading: Option<(BufReader<io::Take<File>>, String)>,
    /// The time of the last line.
    time: Timestamp,
}

impl FromBeginning {
    fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let Some((reader, service)) = &mut self.reading else {
                let Some(mut file) = self.younger.pop_front() else { return Ok(None) };
                file.file.seek(SeekFrom::Start(0))?;
                if self.time == Timestamp::default() {
                    self.time = file.changed;
                }
                self.reading = Some((
                    BufReader::with_capacity(64 * 1024, file.file.take(file.end)),
                    file.service,
                ));
                continue;
            };
            let Some(bytes) = read_line(reader)? else {
                self.reading = None;
                continue;
            };
            if bytes.is_empty() {
                continue;
            }
            let line = Line::read(&bytes, service, self.time);
            self.time = line.time;
            return Ok(Some(line));
        }
    }
}

/// Reads up to the next line end, and keeps at most the longest allowed line.
fn read_line(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if reader.take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else {
        reader.skip_until(b'\n')?;
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::files::{End, open_all};

    fn line(second: u32, message: &str) -> String {
        format!("{{\"time\":\"2026-01-31T12:00:{second:02}Z\",\"message\":\"{message}\"}}\n")
    }

    fn shown(lines: &[Line]) -> Vec<String> {
        lines
            .iter()
            .map(|line| format!("{} {}", &line.time.to_string()[17..19], line.message))
            .collect()
    }

    #[test]
    fn lines_without_a_time_stay_behind_the_line_before_them() {
        let folder = tempfile::tempdir().unwrap();
        let process =
            [line(1, "opened"), "panicked:\n".into(), "too hot\n".into(), line(5, "opened again")]
                .concat();
        fs::write(folder.path().join("embedded.log"), process).unwrap();
        fs::write(folder.path().join("kitchen.log.1"), line(2, "cooking")).unwrap();
        fs::write(folder.path().join("kitchen.log"), line(4, "prepared")).unwrap();
        let expected = [
            "01 opened",
            "01 panicked:",
            "01 too hot",
            "02 cooking",
            "04 prepared",
            "05 opened again",
        ];

        let files = || open_all(folder.path(), End::Written).unwrap();
        let all = tail(files(), 10, |_| true, None).unwrap();
        assert_eq!((shown(&all.lines), all.more), (expected.map(String::from).to_vec(), false));

        let mut forwards = Forwards::new(files()).unwrap();
        let lines: Vec<Line> = std::iter::from_fn(|| forwards.next_line().unwrap()).collect();
        assert_eq!(shown(&lines), expected);

        let last = tail(files(), 2, |line| line.service == "embedded", None).unwrap();
        assert_eq!(
            (shown(&last.lines), last.more),
            (vec!["01 too hot".into(), "05 opened again".into()], true)
        );
    }

    #[test]
    fn a_file_of_nonsense_is_read_in_bounded_pieces() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("embedded.log"), "x\n".repeat(UNTIMED_MAX * 3)).unwrap();
        fs::write(folder.path().join("kitchen.log"), "y".repeat(LINE_BYTES_MAX * 3)).unwrap();
        let files = || open_all(folder.path(), End::Written).unwrap();
        let all = tail(files(), usize::MAX, |_| true, None).unwrap();
        assert_eq!(all.lines.len(), UNTIMED_MAX * 3 + 1);
        assert!(all.lines.iter().all(|line| line.message.len() <= LINE_BYTES_MAX));

        let mut forwards = Forwards::new(files()).unwrap();
        assert_eq!(
            std::iter::from_fn(|| forwards.next_line().unwrap()).count(),
            UNTIMED_MAX * 3 + 1
        );
    }
}
