//! What the simulated market counts.

use ::store::SECONDS;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
};
use service::metrics::Metrics;

use crate::commands::sell::Answer;

/// The metrics of the simulated market. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct SaleMetrics {
    calls: Family<Outcome, Counter>,
    delay_seconds: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl SaleMetrics {
    /// Makes metrics that the process shows.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let (calls, delay_seconds) = (Family::<_, Counter>::default(), Histogram::new(SECONDS));
        for outcome in ["sold", "zero", "error", "key_reused", "outage"] {
            drop(calls.get_or_create(&Outcome { outcome }));
        }
        metrics.register(|registry| {
            let help = "Calls of buyers, by what they were answered";
            registry.register("market_sim_calls", help, calls.clone());
            let help = "How long each answer was held back, as the settings say";
            registry.register("market_sim_delay_seconds", help, delay_seconds.clone());
        });
        Self { calls, delay_seconds }
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, answer: &Answer) {
        let (outcome, delay) = match answer {
            Answer::Sold(sale, delay) if sale.quantity_sold == 0 => ("zero", Some(delay)),
            Answer::Sold(_, delay) => ("sold", Some(delay)),
            Answer::Failed(delay) => ("error", Some(delay)),
            Answer::OtherIngredient(_) => ("key_reused", None),
            Answer::Outage => ("outage", None),
        };
        self.calls.get_or_create(&Outcome { outcome }).inc();
        if let Some(delay) = delay {
            self.delay_seconds.observe(delay.as_secs_f64());
        }
    }
}
