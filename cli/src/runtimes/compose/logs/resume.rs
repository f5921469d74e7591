//! Where a container's lines were read to, so that they can be read on with no gap and nothing twice.

use contracts::Timestamp;

const SECOND: i64 = 1_000_000;

/// The whole second of the last line, and how many lines were seen from its beginning on: an engine is asked by the second,
/// and so many lines are skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Resume {
    second: Option<i64>,
    seen: usize,
}

impl Resume {
    /// Returns that nothing was read from that time on, or at all.
    pub(super) fn at(since: Option<Timestamp>) -> Self {
        Self { second: since.map(|since| since.as_micros().div_euclid(SECOND)), seen: 0 }
    }

    /// Notes that a line was read.
    pub(super) fn note(&mut self, time: Timestamp) {
        let second = time.as_micros().div_euclid(SECOND);
        match self.second {
            Some(current) if second == current => self.seen += 1,
            // It is from before, and will not be asked for again.
            Some(current) if second < current => {}
            _ => *self = Self { second: Some(second), seen: 1 },
        }
    }

    /// Returns from when on to ask; from the beginning if nothing was read.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.second.map(|second| Timestamp::from_micros(second * SECOND))
    }

    /// Returns how many of the lines that come then were read already.
    pub(super) const fn skipped(&self) -> usize {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_on_misses_nothing_and_repeats_nothing() {
        let micros = [100, 1_000_000, 1_500_000, 1_400_000, 900_000, 2_000_001, 2_000_001];
        // Cut at every place, and read on from there.
        for cut in 0..=micros.len() {
            let mut resume = Resume::default();
            micros[..cut].iter().for_each(|at| resume.note(Timestamp::from_micros(*at)));
            let since = resume.since().unwrap_or(Timestamp::from_micros(0));
            let again = micros.iter().filter(|at| **at >= since.as_micros());
            let rest: Vec<_> = again.skip(resume.skipped()).collect();
            // What came late from a second before is told again at most by its own second.
            let expected: Vec<_> =
                micros[cut..].iter().filter(|at| **at >= since.as_micros()).collect();
            assert_eq!(rest, expected, "cut at {cut}");
        }
    }
}
