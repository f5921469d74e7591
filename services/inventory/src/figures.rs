//! Figures for Prometheus.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};
use service::metrics::Metrics;

use crate::market::Answer;

/// What this service counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    purchases: Family<Outcome, Counter>,
    /// The quantity that waiting orders need beyond the stock on hand.
    pub(crate) missing: Gauge,
    /// The state of the circuit breaker before the market: 0 closed, 1 half open, 2 open.
    pub(crate) breaker: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl Figures {
    /// Makes figures that the process shows.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let figures = Self::default();
        for outcome in ["none", "sold", "unknown", "failed"] {
            drop(figures.purchases.get_or_create(&Outcome { outcome }));
        }
        metrics.register(|registry| {
            registry.register(
                "inventory_purchases",
                "Calls of the market",
                figures.purchases.clone(),
            );
            registry.register(
                "inventory_missing",
                "Units that are waited for",
                figures.missing.clone(),
            );
            registry.register(
                "inventory_breaker_state",
                "Circuit breaker before the market: 0 closed, 1 half open, 2 open",
                figures.breaker.clone(),
            );
        });
        figures
    }

    /// Counts an answer of the market.
    pub(crate) fn answered(&self, answer: Answer) {
        self.count(match answer {
            Answer::Sold(0) => "none",
            Answer::Sold(_) => "sold",
            Answer::Unknown => "unknown",
        });
    }

    /// Counts a call that was not answered.
    pub(crate) fn failed(&self) {
        self.count("failed");
    }

    fn count(&self, outcome: &'static str) {
        self.purchases.get_or_create(&Outcome { outcome }).inc();
    }
}
