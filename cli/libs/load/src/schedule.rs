//! The planned times of the open model.

use std::time::Duration;

/// The greatest rate: more than any machine of today can send.
pub const RATE_MAX: f64 = 1_000_000.0;

/// Orders at a constant rate, the first at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    rate: f64,
    total: u64,
}

impl Schedule {
    /// Returns the schedule that ends with the last order of `count` or the last one that is planned within `duration`,
    /// whichever comes first; `None` if the rate is not above 0 and at most [`RATE_MAX`].
    #[must_use]
    pub fn new(rate: f64, count: Option<u64>, duration: Option<Duration>) -> Option<Self> {
        let in_time = duration.map(|duration| whole((rate * duration.as_secs_f64()).ceil()));
        let total = count.into_iter().chain(in_time).min().unwrap_or(u64::MAX);
        (rate > 0.0 && rate <= RATE_MAX).then_some(Self { rate, total })
    }

    /// Returns how many orders there are.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Returns the planned time of the `n`th order, counted from 0, relative to the start.
    #[must_use]
    pub fn planned(&self, n: u64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 orders")]
        Duration::try_from_secs_f64(n as f64 / self.rate).unwrap_or(Duration::MAX)
    }

    /// Returns how many orders are planned up to that time.
    #[must_use]
    pub fn due(&self, elapsed: Duration) -> u64 {
        let guess =
            whole((elapsed.as_secs_f64() * self.rate).floor()).saturating_add(1).min(self.total);
        // Rounding may be off by one; `planned` decides.
        match guess {
            n if n < self.total && self.planned(n) <= elapsed => n + 1,
            n if n > 0 && self.planned(n - 1) > elapsed => n - 1,
            n => n,
        }
    }
}

/// Converts a whole number that is not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what is wanted"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(rate: f64, count: Option<u64>, seconds: Option<u64>) -> Schedule {
        Schedule::new(rate, count, seconds.map(Duration::from_secs)).unwrap()
    }

    #[test]
    fn orders_are_spread_evenly_from_the_start() {
        let schedule = schedule(4.0, Some(6), None);
        let planned: Vec<_> = (0..6).map(|n| schedule.planned(n).as_millis()).collect();
        assert_eq!(planned, [0, 250, 500, 750, 1000, 1250]);
    }

    #[test]
    fn the_first_of_count_and_duration_ends_it() {
        assert_eq!(schedule(10.0, Some(5), Some(2)).total(), 5);
        assert_eq!(schedule(10.0, Some(50), Some(2)).total(), 20);
        assert_eq!(schedule(0.4, None, Some(5)).total(), 2);
        assert_eq!(schedule(1000.0, None, Some(30)).total(), 30_000);
    }

    #[test]
    fn an_order_is_due_from_its_moment_on_and_never_beyond_the_last() {
        for rate in [0.3, 1.0, 3.0, 7.7, 999.0, 30_000.0] {
            let schedule = schedule(rate, Some(1_000), None);
            assert_eq!(schedule.due(Duration::ZERO), 1);
            for n in 0..1_000 {
                let moment = schedule.planned(n);
                assert_eq!(schedule.due(moment), n + 1, "{rate} a second, order {n}");
                if n > 0 {
                    assert_eq!(
                        schedule.due(moment - Duration::from_nanos(1)),
                        n,
                        "{rate} a second, before order {n}"
                    );
                }
            }
            assert_eq!(schedule.due(Duration::from_secs(1_000_000)), 1_000);
        }
    }

    #[test]
    fn no_rate_is_no_schedule() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, RATE_MAX * 2.0] {
            assert_eq!(Schedule::new(rate, Some(1), None), None);
        }
    }
}
