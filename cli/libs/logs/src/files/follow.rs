//! New lines of all files of a folder as they are written: across rotations, truncations and restarts, each line once.

use std::{
    collections::BTreeMap,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use contracts::Timestamp;

use super::{
    LINE_BYTES_MAX, Line,
    opened::{End, FileId, LogFile, open_missing},
};

/// How long lines are held back, so that slightly later lines of other services are still sorted before them.
const HELD_FOR: Duration = Duration::from_millis(150);
/// How much of one file is read at a time; the rest is read at once afterwards.
const READ_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Follows all log files of a folder.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    files: BTreeMap<FileId, Followed>,
    held: Vec<Line>,
}

#[derive(Debug)]
struct Followed {
    file: LogFile,
    /// The beginning of an incomplete line.
    partial: Vec<u8>,
    time: Timestamp,
}

impl Follower {
    /// Begins at the end of these files; files that appear later are read from their beginning.
    ///
    /// # Errors
    /// If a file can't be opened.
    pub fn new(folder: &Path, files: &BTreeMap<FileId, LogFile>) -> io::Result<Self> {
        let follow = |(id, file): (&FileId, &LogFile)| {
            let file =
                LogFile { file: file.file.try_clone()?, service: file.service.clone(), ..*file };
            let time = file.changed;
            Ok((*id, Followed { file, partial: Vec::new(), time }))
        };
        let files = files.iter().map(follow).collect::<io::Result<_>>()?;
        Ok(Self { folder: folder.to_owned(), files, held: Vec::new() })
    }

    /// Returns the new lines that were held back long enough, and whether there is more to read at once.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn next_lines(&mut self) -> io::Result<(Vec<Line>, bool)> {
        // All files are open before any is read, so that a rotation meanwhile removes none.
        open_missing(&self.folder, End::Written, &mut self.files, |file| Followed {
            file: LogFile { end: 0, ..file },
            partial: Vec::new(),
            time: Timestamp::now(),
        })?;
        let mut more = false;
        for followed in self.files.values_mut() {
            more |= followed.read(&mut self.held)?;
        }
        // A deleted file was read to its end above, and is closed.
        if !more {
            self.files.retain(|_, followed| followed.file.is_listed());
        }
        self.held.sort_by_key(|line| line.time);
        let now = Timestamp::now();
        // A line with a time in the future must not be held back.
        let (lines, held) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|line| line.time <= now.minus(HELD_FOR) || line.time > now);
        self.held = held;
        Ok((lines, more))
    }

    /// Returns the lines that are still held back.
    pub fn rest(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.held)
    }
}

impl Followed {
    /// Reads the new lines; returns whether there is more.
    fn read(&mut self, lines: &mut Vec<Line>) -> io::Result<bool> {
        let length = self.file.file.metadata()?.len();
        if length < self.file.end {
            self.file.end = 0;
            self.partial.clear();
        }
        if length == self.file.end {
            return Ok(false);
        }
        self.file.file.seek(SeekFrom::Start(self.file.end))?;
        let mut bytes = std::mem::take(&mut self.partial);
        let read = self.file.file.by_ref().take(READ_BYTES_MAX).read_to_end(&mut bytes)? as u64;
        self.file.end += read;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.partial = bytes.split_off(whole);
        self.partial.truncate(LINE_BYTES_MAX);
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line = Line::read(line, &self.file.service, self.time);
            self.time = line.time;
            lines.push(line);
        }
        Ok(read == READ_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use super::*;
    use crate::files::open_all;

    fn line(second: u32, message: &str) -> String {
        format!("{{\"time\":\"2026-01-31T12:00:{second:02}Z\",\"message\":\"{message}\"}}\n")
    }

    #[test]
    fn a_file_that_is_rotated_as_it_is_found_is_read_before_the_one_in_its_place() {
        for _ in 0..300 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("kitchen.log");
            let files = open_all(folder.path(), End::WholeLines).unwrap();
            let mut follower = Follower::new(folder.path(), &files).unwrap();
            let rotate = move || {
                fs::write(&path, line(1, "first")).unwrap();
                fs::rename(&path, path.with_extension("log.1")).unwrap();
                fs::write(&path, line(2, "second")).unwrap();
            };
            let rotating = thread::spawn(rotate);
            let mut messages = Vec::new();
            while messages.len() < 2 {
                let (lines, _) = follower.next_lines().unwrap();
                messages.extend(lines.into_iter().map(|line| line.message));
            }
            assert_eq!(messages, ["first", "second"]);
            rotating.join().unwrap();
        }
    }
}
