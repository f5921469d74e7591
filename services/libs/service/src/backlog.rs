//! How many events wait in the databases of a process, asked anew for each scrape of its metrics.

use std::{sync::Arc, time::Duration};

use events::{Bus, dead_letters, deferred, outbox};
use futures_util::future::join_all;
use prometheus_client::{
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use store::{Database, ServiceLabels};
use tokio::{sync::Mutex, time::timeout};

/// How long a database may take to answer: whoever scrapes must not wait for one that is busy.
const ANSWER_WAIT_MAX: Duration = Duration::from_millis(500);

/// The gauges of a process. Each keeps its last value while its database does not answer. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backlog {
    unpublished: Family<ServiceLabels, Gauge>,
    unhandled: Family<ServiceLabels, Gauge>,
    dead_letters: Family<ServiceLabels, Gauge>,
    /// Held while the databases are asked: a second scrape at the same time asks nothing.
    asking: Arc<Mutex<()>>,
}

impl Backlog {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Events that not every reader has acknowledged";
        registry.register("events_unpublished", help, self.unpublished.clone());
        let help = "Events that wait for this reader or are deferred";
        registry.register("events_unhandled", help, self.unhandled.clone());
        registry.register("dead_letters", "Events set aside", self.dead_letters.clone());
    }

    /// Asks all databases at once, unless they are being asked already.
    pub(crate) async fn ask(&self, databases: &[Database], bus: &dyn Bus) {
        let Ok(_asking) = self.asking.try_lock() else { return };
        join_all(databases.iter().map(|database| self.ask_one(database, bus))).await;
    }

    async fn ask_one(&self, database: &Database, bus: &dyn Bus) {
        let question = database.read_status(|tx| {
            let unpublished = outbox::count_unpublished(tx)?;
            Ok((unpublished, deferred::count(tx)?, dead_letters::count(tx)?))
        });
        let Ok(Ok((unpublished, deferred, dead))) = timeout(ANSWER_WAIT_MAX, question).await else {
            return;
        };
        let labels = ServiceLabels { service: database.service() };
        let waiting = bus.waiting(labels.service).await;
        self.unpublished.get_or_create(&labels).set(unpublished);
        self.unhandled.get_or_create(&labels).set(waiting + deferred);
        self.dead_letters.get_or_create(&labels).set(dead);
    }
}
