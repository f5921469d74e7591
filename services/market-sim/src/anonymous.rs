//! Buyers who do not belong to the environment.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How many sales are made to anonymous buyers in one second: enough to try the market's contract by hand or by a script, and too
/// few to keep the environment's own purchases from the writer.
pub const ANONYMOUS_SALES_PER_SECOND_MAX: u32 = 20;

/// Counts the sales to anonymous buyers in the current second.
#[derive(Debug, Default)]
pub(crate) struct AnonymousBuyers {
    second: Mutex<Option<(Instant, u32)>>,
}

impl AnonymousBuyers {
    /// Returns whether one more anonymous buyer may buy at this moment, and counts the sale if so.
    pub(crate) fn may_buy(&self, now: Instant) -> bool {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        match second.as_mut() {
            Some((began, sales)) if now.duration_since(*began) < Duration::from_secs(1) => {
                *sales += 1;
                *sales <= ANONYMOUS_SALES_PER_SECOND_MAX
            }
            _ => {
                *second = Some((now, 1));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_buyers_buy_so_often_a_second() {
        let (anonymous, now) = (AnonymousBuyers::default(), Instant::now());
        let sold = |after_ms: u64| {
            let moment = now + Duration::from_millis(after_ms);
            (0..100).filter(|_| anonymous.may_buy(moment)).count()
        };
        assert_eq!([0, 999, 1_000, 5_000].map(sold), [20, 0, 20, 20]);
    }
}
