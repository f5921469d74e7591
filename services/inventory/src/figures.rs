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
    /// What those who wait need beyond what is on hand.
    pub(crate) missing: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl Figures {
    /// Makes figures that the process shows.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let figures = Self::default();
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
