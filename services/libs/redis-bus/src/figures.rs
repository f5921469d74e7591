//! What the bus counts, for Prometheus.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use store::ServiceLabels;

/// The figures of a process.
#[derive(Debug, Default)]
pub(super) struct Figures {
    published: Family<ServiceLabels, Counter>,
    sent_again: Family<ServiceLabels, Counter>,
    reconnected: Family<ServiceLabels, Counter>,
    unacknowledged: Family<ServiceLabels, Gauge>,
}

impl Figures {
    pub(super) fn register(&self, registry: &mut Registry) {
        let published = self.published.clone();
        registry.register("bus_events_published", "Events that Redis has taken over", published);
        let again = self.sent_again.clone();
        registry.register("bus_events_sent_again", "Events sent again to a new Redis", again);
        let reconnected = self.reconnected.clone();
        registry.register("bus_reconnects", "Connections to Redis that were given up", reconnected);
        let unacknowledged = self.unacknowledged.clone();
        let help = "Events that Redis has and not every reader has acknowledged";
        registry.register("bus_events_unacknowledged", help, unacknowledged);
    }

    /// Shows what a service counts before anything happens.
    pub(super) fn joined(&self, service: &'static str) {
        let labels = ServiceLabels { service };
        for counter in [&self.published, &self.sent_again, &self.reconnected] {
            drop(counter.get_or_create(&labels));
        }
        drop(self.unacknowledged.get_or_create(&labels));
    }

    pub(super) fn published(&self, service: &'static str, count: usize) {
        self.published.get_or_create(&ServiceLabels { service }).inc_by(count as u64);
    }

    pub(super) fn sent_again(&self, service: &'static str, count: i64) {
        let count = u64::try_from(count).unwrap_or(0);
        self.sent_again.get_or_create(&ServiceLabels { service }).inc_by(count);
    }

    pub(super) fn reconnected(&self, service: &'static str) {
        self.reconnected.get_or_create(&ServiceLabels { service }).inc();
    }

    /// Notes what a look has found.
    pub(super) fn looked(&self, service: &'static str, unacknowledged: i64) {
        self.unacknowledged.get_or_create(&ServiceLabels { service }).set(unacknowledged);
    }
}
