//! The position up to which a writer's lines were read, to resume without gaps or repeats.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use contracts::Timestamp;

use super::Printed;

const SECOND: i64 = 1_000_000;

/// Identifies a line: its time, and a hash of its text. Lines with the same mark are counted.
type Mark = (Timestamp, u64);

/// The second of the last line, and the lines read within it. Engines take a start time in whole seconds and repeat
/// that second; its known lines are then skipped. They are compared by content, not counted, since an engine does not
/// repeat the earlier ones if it starts a new file within that second.
#[derive(Clone, Debug, Default)]
pub struct Resume {
    second: Option<i64>,
    seen: Vec<Mark>,
    /// Whether lines before the first one were left out.
    is_tail: bool,
    /// The first line of that second that was not left out.
    first: Option<Timestamp>,
}

impl Resume {
    /// Returns the position before the first line of a time, or of all.
    pub fn at(since: Option<Timestamp>) -> Self {
        Self { second: since.map(second_of), ..Self::default() }
    }

    /// Returns the same, limited to the last lines if a number is given.
    #[must_use]
    pub fn only_last(self, tail: Option<usize>) -> Self {
        Self { is_tail: tail.is_some(), ..self }
    }

    /// Notes a line as read.
    pub fn note(&mut self, line: &Printed) {
        let second = second_of(line.time);
        match self.second {
            // It is from an earlier second, which is not requested again.
            Some(current) if second < current => return,
            Some(current) if second == current => {}
            _ => {
                self.second = Some(second);
                self.seen.clear();
                self.first = None;
            }
        }
        if self.is_tail {
            self.first.get_or_insert(line.time);
        }
        self.seen.push(mark(line));
    }

    /// Returns the time to request lines from; `None` for the beginning.
    pub fn since(&self) -> Option<Timestamp> {
        self.second.map(|second| Timestamp::from_micros(second * SECOND))
    }

    /// Returns the lines that the engine will repeat.
    pub fn known(&self) -> Known {
        let mut seen: HashMap<Mark, usize> = HashMap::new();
        for mark in &self.seen {
            *seen.entry(*mark).or_default() += 1;
        }
        Known { second: self.second, first: self.first, seen, is_through: self.second.is_none() }
    }
}

/// Separates new lines from repeated ones.
#[derive(Debug)]
pub struct Known {
    second: Option<i64>,
    first: Option<Timestamp>,
    seen: HashMap<Mark, usize>,
    /// A new line has come: all that follow are new.
    is_through: bool,
}

impl Known {
    /// Removes repeated lines.
    pub fn pass_over(&mut self, lines: &mut Vec<Printed>) {
        if !self.is_through {
            lines.retain(|line| self.is_news(line));
        }
    }

    fn is_news(&mut self, line: &Printed) -> bool {
        if !self.is_through && !self.was_read(line) {
            self.is_through = true;
        }
        self.is_through
    }

    fn was_read(&mut self, line: &Printed) -> bool {
        if self.second.is_some_and(|second| second_of(line.time) < second)
            || self.first.is_some_and(|first| line.time < first)
        {
            return true;
        }
        match self.seen.get_mut(&mark(line)) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }
}

fn second_of(time: Timestamp) -> i64 {
    time.as_micros().div_euclid(SECOND)
}

fn mark(line: &Printed) -> Mark {
    let mut hasher = DefaultHasher::new();
    line.text.hash(&mut hasher);
    (line.time, hasher.finish())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// Lines of which two are alike, and two are late.
    fn lines() -> Vec<Printed> {
        let micros = [100, 1_000_000, 1_500_000, 1_400_000, 900_000, 2_000_001, 2_000_001];
        let line =
            |at| Printed { time: Timestamp::from_micros(at), text: Bytes::from_static(b"x") };
        micros.map(line).to_vec()
    }

    /// The lines that an engine returns again, without those that are known.
    fn again(resume: &Resume, kept: &[Printed]) -> Vec<Printed> {
        let since = resume.since().unwrap_or(Timestamp::from_micros(0));
        let mut known = resume.known();
        let mut reported: Vec<_> = kept.iter().filter(|line| line.time >= since).cloned().collect();
        known.pass_over(&mut reported);
        reported
    }

    #[test]
    fn reading_on_misses_nothing_and_repeats_nothing() {
        let lines = lines();
        // Stop after every line, and resume there.
        for cut in 0..=lines.len() {
            let mut resume = Resume::default();
            lines[..cut].iter().for_each(|line| resume.note(line));
            let since = resume.since().unwrap_or(Timestamp::from_micros(0));
            // A late line of an earlier second is repeated at most within its own second.
            let rest = lines[cut..].iter().filter(|line| line.time >= since);
            assert_eq!(again(&resume, &lines), rest.cloned().collect::<Vec<_>>(), "cut at {cut}");
        }
    }

    #[test]
    fn a_new_file_within_a_second_hides_nothing() {
        let line = |micros, text: &'static str| Printed {
            time: Timestamp::from_micros(micros),
            text: Bytes::from_static(text.as_bytes()),
        };
        let mut resume = Resume::default();
        [line(1_000_001, "one"), line(1_000_002, "two")].iter().for_each(|one| resume.note(one));
        let kept = [line(1_000_002, "two"), line(1_000_003, "three")];
        assert_eq!(again(&resume, &kept), kept[1..], "the first is in the former file");
        let kept = [line(1_000_003, "three")];
        assert_eq!(again(&resume, &kept), kept, "all are in the former file");
    }

    #[test]
    fn lines_that_a_tail_left_out_are_not_shown_later() {
        let line = |micros| Printed { time: Timestamp::from_micros(micros), text: Bytes::new() };
        let kept = [line(1_000_001), line(1_000_002), line(1_000_003), line(1_000_004)];
        let mut resume = Resume::at(None).only_last(Some(1));
        resume.note(&kept[2]);
        assert_eq!(again(&resume, &kept), kept[3..]);
    }
}
