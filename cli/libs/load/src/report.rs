//! The result of a run.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use contracts::{OrderId, Timestamp};

use super::Distribution;

/// How many ids of orders are kept.
pub(super) const IDS_SHOWN_MAX: usize = 3;
/// How many different failures are distinguished; others are counted together.
const FAILURES_MAX: usize = 10;

/// The result of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Orders that were sent.
    pub sent: u64,
    /// Orders that the environment accepted.
    pub accepted: u64,
    /// Orders that the environment did not accept in time.
    pub failed: u64,
    /// Those of them that a request without an answer may have placed.
    pub unknown: u64,
    /// The number of failures by their text.
    pub failures: BTreeMap<String, u64>,
    /// Answers 503 and 429, each retried with the same key.
    pub pushed_back: u64,
    /// Lost connections and requests without an answer in time, each order retried with the same key.
    pub lost: u64,
    /// Orders that were delivered.
    pub delivered: u64,
    /// Orders that were delivered while others were still being placed.
    pub delivered_while_placing: u64,
    /// Orders that their guests cancelled.
    pub cancelled: u64,
    /// Orders that the kitchen refused.
    pub rejected: u64,
    /// Orders that were followed and not at their end in time.
    pub undelivered: u64,
    /// Examples of them.
    pub undelivered_ids: Vec<OrderId>,
    /// Why orders could not be followed any more.
    pub not_followed: Option<String>,
    /// From the first order to the last answer; in the open model at least up to when the next one would have been planned.
    pub placing: Duration,
    /// From the first placed to the last delivered, by the environment's own clock.
    pub delivering: Duration,
    /// From the planned time until it was accepted.
    pub accepting: Distribution,
    /// From placed to delivered, by the environment's own clock.
    pub delivery: Distribution,
    /// How late orders were sent, in the open model; part of `accepting`.
    pub lateness: Distribution,
    /// The order that took longest to be delivered, and how long.
    pub slowest: Option<(OrderId, Duration)>,
    /// The dishes that were delivered, by name.
    pub dishes: BTreeMap<String, Dish>,
    /// The first orders.
    pub first_ids: Vec<OrderId>,
    /// Where the accepted orders were noted.
    pub ledger: Option<PathBuf>,
    /// Where requests and answers were recorded.
    pub history: Option<PathBuf>,
    /// Whether it was stopped early.
    pub interrupted: bool,
}

/// One dish of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dish {
    /// How many were delivered.
    pub count: u64,
    /// How long they took together, from placed to delivered.
    pub total: Duration,
}

impl Dish {
    /// Returns how long one took, in microseconds.
    #[must_use]
    pub fn mean_micros(&self) -> u64 {
        u64::try_from(self.total.as_micros() / u128::from(self.count.max(1))).unwrap_or(u64::MAX)
    }
}

impl Report {
    /// Returns how many orders were accepted per second.
    #[must_use]
    pub fn accepted_rate(&self) -> f64 {
        rate(self.accepted, self.placing)
    }

    /// Returns how many orders were delivered per second.
    #[must_use]
    pub fn delivered_rate(&self) -> f64 {
        rate(self.delivered, self.delivering)
    }

    /// Returns how many of the accepted orders came to their end.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        self.delivered + self.cancelled + self.rejected
    }

    /// Counts a request that failed for good.
    pub(super) fn fail(&mut self, words: String) {
        self.failed += 1;
        let known = self.failures.len() < FAILURES_MAX || self.failures.contains_key(&words);
        *self.failures.entry(if known { words } else { "others".into() }).or_default() += 1;
    }

    /// Counts an order that was accepted.
    pub(super) fn accept(&mut self, order: OrderId, latency: Duration) {
        self.accepted += 1;
        self.accepting.record(latency);
        if self.first_ids.len() < IDS_SHOWN_MAX {
            self.first_ids.push(order);
        }
    }

    /// Counts an order that was delivered.
    pub(super) fn deliver(&mut self, order: OrderId, dish: Option<&str>, took: Duration) {
        self.delivered += 1;
        if self.slowest.is_none_or(|(_, longest)| took > longest) {
            self.slowest = Some((order, took));
        }
        self.delivery.record(took);
        let dish = dish.unwrap_or("(unknown)");
        if !self.dishes.contains_key(dish) {
            self.dishes.insert(dish.into(), Dish::default());
        }
        if let Some(dish) = self.dishes.get_mut(dish) {
            dish.count += 1;
            dish.total += took;
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
fn rate(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

/// The time from the earliest to the latest moment that was noted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stretch(Option<(Timestamp, Timestamp)>);

impl Stretch {
    pub(super) fn note(&mut self, from: Timestamp, to: Timestamp) {
        let (first, last) = self.0.unwrap_or((from, to));
        self.0 = Some((first.min(from), last.max(to)));
    }

    pub(super) fn length(self) -> Duration {
        self.0.map(|(first, last)| last.since(first)).unwrap_or_default()
    }
}
