//! What carries events between services. Whichever it is, it promises: at least once, in order for each subject, bounded
//! memory, back-pressure, delivery again after a crash. The suite `tests/it/bus_promises.rs` holds every bus to that.

use std::sync::{Arc, Weak};

use contracts::events::{Envelope, catalogue};
use uuid::Uuid;

use crate::{
    database::{StoreError, Tx},
    outbox::{Relay, Stored},
};

mod in_process;
pub(crate) mod redis;

pub use in_process::{Faults, InProcess};
pub use redis::{Redis, Settings, from_environment};

/// The bus of a process. Clones are the same bus.
#[derive(Clone, Debug)]
pub enum Bus {
    /// All services are in this process.
    InProcess(Arc<InProcess>),
    /// Services are in processes of their own, with Redis Streams between them.
    Redis(Arc<Redis>),
}

impl Bus {
    /// Makes a bus for services of one process.
    #[must_use]
    pub fn in_process() -> Self {
        Self::InProcess(Arc::new(InProcess::new(Faults::default())))
    }

    /// Makes a bus that keeps its promises as badly as it may, for tests.
    #[must_use]
    pub fn in_process_with(faults: Faults) -> Self {
        Self::InProcess(Arc::new(InProcess::new(faults)))
    }

    /// Makes a bus over a Redis, which may be away.
    ///
    /// # Errors
    /// `redis::SettingsError` if its address is none.
    pub fn redis(settings: Settings) -> Result<Self, redis::SettingsError> {
        Ok(Self::Redis(Arc::new(Redis::new(settings)?)))
    }

    /// Returns whether it is a broker: one that has to be found, that keeps what it takes over, and that may forget it.
    pub(crate) const fn is_broker(&self) -> bool {
        matches!(self, Self::Redis(_))
    }

    /// Takes events from a service's relay, which is told when they are taken over.
    pub(crate) fn offer(
        &self,
        relay: &Weak<Relay>,
        service: &'static str,
        round: u64,
        events: Vec<Stored>,
    ) {
        match self {
            Self::InProcess(bus) => bus.offer(relay, round, events),
            Self::Redis(bus) => bus.offer(service, round, events),
        }
    }

    /// Subscribes an open service to the events that the catalogue says it reads. One subscription a service.
    #[must_use]
    pub(crate) fn subscribe(&self, reader: &'static str) -> Subscription {
        match self {
            Self::InProcess(bus) => Subscription::InProcess(bus.subscribe(reader)),
            Self::Redis(bus) => Subscription::Redis(Box::new(bus.subscribe(reader))),
        }
    }

    /// Notes that a writer has published all its events below this id.
    pub(crate) async fn note_published_below(&self, writer: &'static str, id: Uuid) {
        match self {
            Self::InProcess(bus) => bus.note_published_below(writer, id),
            Self::Redis(bus) if catalogue::is_writer(writer) => {
                bus.note_published_below(writer, id).await;
            }
            Self::Redis(_) => {}
        }
    }

    /// Returns the id below which no event is sent again to a reader; none until every writer of the catalogue has said how
    /// far it is.
    pub(crate) async fn published_below(&self, reader: &'static str) -> Option<Uuid> {
        match self {
            Self::InProcess(bus) => bus.published_below(),
            Self::Redis(bus) if catalogue::is_reader(reader) => bus.published_below().await,
            Self::Redis(_) => None,
        }
    }

    /// Returns how many events wait for a reader.
    pub async fn waiting(&self, reader: &'static str) -> i64 {
        match self {
            Self::InProcess(bus) => i64::try_from(bus.waiting(reader)).unwrap_or(i64::MAX),
            Self::Redis(bus) if catalogue::is_reader(reader) => bus.waiting(reader).await,
            Self::Redis(_) => 0,
        }
    }

    /// Returns what makes the bus slower, if anything does.
    #[must_use]
    pub fn degraded(&self) -> Option<String> {
        match self {
            Self::InProcess(_) => None,
            Self::Redis(bus) => {
                let (since, why) = bus.away()?;
                Some(format!("degraded: Redis does not answer since {since}: {why}"))
            }
        }
    }
}

/// What one service hears.
#[derive(Debug)]
pub(crate) enum Subscription {
    /// From the services of its process.
    InProcess(in_process::Subscription),
    /// Through Redis.
    Redis(Box<redis::Reader>),
}

/// An event on its way to one reader.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// The event.
    pub event: Arc<Envelope>,
    receipt: Receipt,
}

#[derive(Clone, Debug)]
enum Receipt {
    InProcess(in_process::Receipt),
    Redis(redis::Receipt),
}

impl Subscription {
    /// Waits for events; returns up to `limit`, in order for each subject. What is not acknowledged must be asked for
    /// again by its owner: the bus has handed it over, and keeps it until every reader acknowledged it.
    pub(crate) async fn next(&mut self, limit: usize) -> Vec<Delivery> {
        match self {
            Self::InProcess(subscription) => subscription.next(limit).await,
            Self::Redis(reader) => reader.next(limit).await,
        }
    }

    /// Returns what has to hold in the transaction that acts on these.
    pub(crate) fn guard(&self, deliveries: &[Delivery]) -> Guard {
        match self {
            Self::InProcess(_) => Guard::default(),
            Self::Redis(reader) => Guard(Some(reader.guard(deliveries))),
        }
    }

    /// Tells the bus that this reader has committed them.
    pub(crate) fn acknowledge(&mut self, deliveries: &[Delivery]) {
        match self {
            Self::InProcess(_) => in_process::acknowledge(deliveries),
            Self::Redis(reader) => reader.acknowledge(deliveries),
        }
    }

    /// Gives up what was handed over and not acknowledged: some of it is another's now. The rest is handed over again.
    pub(crate) fn give_up(&mut self) {
        match self {
            // Nobody else could take it over.
            Self::InProcess(_) => {}
            Self::Redis(reader) => reader.give_up(),
        }
    }

    /// Ends it: what was acknowledged is known to the bus then.
    pub(crate) async fn close(self) {
        match self {
            Self::InProcess(_) => {}
            Self::Redis(reader) => reader.close().await,
        }
    }
}

/// What has to hold in the transaction that acts on some events: that this process still is the one that does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard(Option<redis::Guard>);

impl Guard {
    /// Makes sure of it until the transaction ends.
    pub(crate) fn check(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.0.as_ref().map_or(Ok(()), |guard| guard.check(tx))
    }

    /// Returns whether it is known not to hold any more.
    pub(crate) fn is_over(&self) -> bool {
        self.0.as_ref().is_some_and(redis::Guard::is_over)
    }
}
