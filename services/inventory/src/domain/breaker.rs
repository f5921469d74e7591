//! A circuit breaker: when the market has failed several times in a row, it is left alone for a while.

use std::time::{Duration, Instant};

/// Whether the market may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// As often as there is need.
    Open,
    /// Once, to see whether it works again.
    Trial,
    /// Not before this moment.
    ShutUntil(Instant),
    /// Not before the trial under way has ended.
    AwaitingTrial,
}

/// The state of the breaker.
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    failures_max: u32,
    pause: Duration,
    pause_max: Duration,
    failures: u32,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    Tripped { until: Instant, pause: Duration },
    OnTrial { pause: Duration },
}

impl Breaker {
    /// Makes one that trips after `failures_max` failures in a row, first for `pause`, and after each failed trial for
    /// twice as long, up to `pause_max`.
    pub(crate) const fn new(failures_max: u32, pause: Duration, pause_max: Duration) -> Self {
        Self { failures_max, pause, pause_max, failures: 0, state: State::Closed }
    }

    /// Says whether the market may be called now.
    pub(crate) fn gate(&self, now: Instant) -> Gate {
        match self.state {
            State::Closed => Gate::Open,
            State::Tripped { until, .. } if now < until => Gate::ShutUntil(until),
            State::Tripped { .. } => Gate::Trial,
            State::OnTrial { .. } => Gate::AwaitingTrial,
        }
    }

    /// Notes that the one trial began.
    pub(crate) fn try_once(&mut self) {
        if let State::Tripped { pause, .. } = self.state {
            self.state = State::OnTrial { pause };
        }
    }

    /// Notes an answer; returns whether this ended an outage.
    pub(crate) fn succeeded(&mut self) -> bool {
        self.failures = 0;
        let was_away = !matches!(self.state, State::Closed);
        self.state = State::Closed;
        was_away
    }

    /// Notes a failure; returns whether this began an outage.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        match self.state {
            State::Closed if self.failures >= self.failures_max => {
                self.state = State::Tripped { until: now + self.pause, pause: self.pause };
                true
            }
            State::OnTrial { pause } => {
                let pause = (pause * 2).min(self.pause_max);
                self.state = State::Tripped { until: now + pause, pause };
                false
            }
            // Calls that were under way when it tripped fail late: they say nothing new.
            State::Closed | State::Tripped { .. } => false,
        }
    }

    /// Returns how many calls failed since the last answer.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(100);

    #[test]
    fn it_trips_after_failures_in_a_row_and_one_trial_decides() {
        let start = Instant::now();
        let mut breaker = Breaker::new(3, PAUSE, PAUSE * 3);
        assert!(!breaker.failed(start));
        assert!(!breaker.failed(start));
        assert!(!breaker.succeeded());
        assert_eq!(breaker.gate(start), Gate::Open);

        assert!(!breaker.failed(start));
        assert!(!breaker.failed(start));
        assert!(breaker.failed(start));
        assert_eq!(breaker.gate(start), Gate::ShutUntil(start + PAUSE));
        assert!(!breaker.failed(start), "calls that were under way fail, too");

        let later = start + PAUSE;
        assert_eq!(breaker.gate(later), Gate::Trial);
        breaker.try_once();
        assert_eq!(breaker.gate(later), Gate::AwaitingTrial);
        breaker.failed(later);
        assert_eq!(breaker.gate(later), Gate::ShutUntil(later + PAUSE * 2));

        let later = later + PAUSE * 2;
        breaker.try_once();
        breaker.failed(later);
        assert_eq!(
            breaker.gate(later),
            Gate::ShutUntil(later + PAUSE * 3),
            "no pause is longer than the longest"
        );

        let later = later + PAUSE * 3;
        breaker.try_once();
        assert!(breaker.succeeded());
        assert_eq!(breaker.gate(later), Gate::Open);
        assert_eq!(breaker.failures(), 0);
    }
}
