//! How many orders are delivered a second.

use std::{collections::VecDeque, time::Duration};

use contracts::Timestamp;

/// Deliveries of this time count.
const WINDOW: Duration = Duration::from_secs(10);

/// The deliveries of the last [`WINDOW`]: at most one entry for each view that came in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deliveries {
    counts: VecDeque<(Timestamp, i64)>,
}

impl Deliveries {
    /// Notes how many orders were delivered at a moment.
    pub(crate) fn note(&mut self, at: Timestamp, delivered: i64) {
        // A count that is smaller is of other data, and a view may be shown again.
        self.counts.retain(|(before_at, before)| *before <= delivered && *before_at != at);
        self.counts.push_back((at, delivered));
        // The last one before the window is what those in it are compared with.
        let begin = at.minus(WINDOW);
        while self.counts.get(1).is_some_and(|(second, _)| *second <= begin) {
            self.counts.pop_front();
        }
    }

    /// Returns the orders delivered each second.
    pub(crate) fn per_second(&self, now: Timestamp) -> f64 {
        let begin = now.minus(WINDOW);
        let before = self.counts.iter().rev().find(|(at, _)| *at <= begin);
        let (Some((first_at, first)), Some((_, last))) =
            (before.or(self.counts.front()), self.counts.back())
        else {
            return 0.0;
        };
        let seconds = now.since(begin.max(*first_at)).max(Duration::from_secs(1)).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
        let delivered = (last - first) as f64;
        delivered / seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    #[test]
    fn the_pace_is_that_of_the_last_seconds() {
        let mut deliveries = Deliveries::default();
        assert_eq!(deliveries.per_second(second(0)), 0.0);
        deliveries.note(second(0), 100);
        assert_eq!(deliveries.per_second(second(0)), 0.0);
        deliveries.note(second(2), 110);
        assert_eq!(deliveries.per_second(second(2)), 5.0);
        (3..100).for_each(|at| deliveries.note(second(at), 110 + 20 * (at - 2)));
        assert_eq!(deliveries.per_second(second(99)), 20.0);
        assert_eq!(deliveries.per_second(second(104)), 10.0);
        assert_eq!(deliveries.per_second(second(200)), 0.0);
        assert!(deliveries.counts.len() <= 12, "{deliveries:?}");
    }

    #[test]
    fn other_data_begin_anew() {
        let mut deliveries = Deliveries::default();
        deliveries.note(second(0), 1_000);
        deliveries.note(second(1), 3);
        assert_eq!(deliveries.per_second(second(1)), 0.0);
    }
}
