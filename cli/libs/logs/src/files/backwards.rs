//! Reads a file from its end, so that the last lines of a large file cost no more than those of a small one.

use std::io::{self, Read, Seek, SeekFrom};

use super::LINE_BYTES_MAX;

/// How much is read at a time.
const CHUNK_BYTES: u64 = 64 * 1024;

/// The lines of a file from its end to its beginning, without line ends. A rest without a line end counts as a line.
#[derive(Debug)]
pub(super) struct Backwards<F> {
    file: F,
    /// The bytes before this offset are not read yet.
    unread: u64,
    /// Bytes that are read but not returned yet.
    held: Vec<u8>,
}

impl<F: Read + Seek> Backwards<F> {
    /// Reads from `end` towards the beginning.
    pub(super) fn new(file: F, end: u64) -> Self {
        Self { file, unread: end, held: Vec::new() }
    }

    fn read_chunk(&mut self) -> io::Result<()> {
        let size = self.unread.min(CHUNK_BYTES);
        self.unread -= size;
        self.file.seek(SeekFrom::Start(self.unread))?;
        let mut chunk =
            Vec::with_capacity(usize::try_from(size).unwrap_or_default() + self.held.len());
        self.file.by_ref().take(size).read_to_end(&mut chunk)?;
        chunk.append(&mut self.held);
        self.held = chunk;
        Ok(())
    }

    /// Returns the line before the one returned last; `None` at the beginning of the file.
    ///
    /// # Errors
    /// If the file can't be read.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            let end = self.held.len() - searched;
            if let Some(at) = self.held[..end].iter().rposition(|byte| *byte == b'\n') {
                let line = self.held.split_off(at + 1);
                self.held.pop();
                if line.is_empty() {
                    searched = 0;
                    continue;
                }
                return Ok(Some(cut(line)));
            }
            if self.unread == 0 {
                return Ok((!self.held.is_empty()).then(|| cut(std::mem::take(&mut self.held))));
            }
            // The end of a line that is too long is dropped.
            self.held.truncate(LINE_BYTES_MAX);
            searched = self.held.len();
            self.read_chunk()?;
        }
    }
}

fn cut(mut line: Vec<u8>) -> Vec<u8> {
    line.truncate(LINE_BYTES_MAX);
    line
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn backwards(text: &str) -> Vec<String> {
        let mut lines = Backwards::new(Cursor::new(text.as_bytes()), text.len() as u64);
        std::iter::from_fn(|| lines.next_line().unwrap())
            .map(|line| String::from_utf8(line).unwrap())
            .collect()
    }

    #[test]
    fn lines_come_from_the_end() {
        assert_eq!(backwards("one\ntwo\nthree\n"), ["three", "two", "one"]);
        assert_eq!(backwards("one\n\ntwo\nunfinis"), ["unfinis", "two", "one"]);
        assert_eq!(backwards(""), [""; 0]);
        assert_eq!(backwards("\n"), [""; 0]);
    }

    #[test]
    fn lines_longer_than_a_chunk_are_whole() {
        let long = "x".repeat(150_000);
        assert_eq!(backwards(&format!("a\n{long}\nb\n")), ["b", long.as_str(), "a"]);
    }
}
