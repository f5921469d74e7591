//! What carries events between services. Whichever it is, it promises: at least once, in order for each subject, bounded
//! memory, back-pressure, delivery again after a crash. The suite `tests/it/bus_promises.rs` holds every bus to that.

use std::sync::{Arc, Weak};

use uuid::Uuid;

use crate::outbox::{Relay, Stored};

mod in_process;

pub(crate) use in_process::acknowledge;
pub use in_process::{Delivery, Faults, InProcess, Subscription};

/// The bus of a process. Clones are the same bus.
#[derive(Clone, Debug)]
pub enum Bus {
    /// All services are in this process.
    InProcess(Arc<InProcess>),
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

    /// Takes events from a service's relay, which is told when they are taken over.
    pub(crate) fn offer(&self, relay: &Weak<Relay>, events: Vec<Stored>) {
        match self {
            Self::InProcess(bus) => bus.offer(relay, events),
        }
    }

    /// Subscribes a service to the events that the catalogue says it reads. One subscription a service.
    #[must_use]
    pub fn subscribe(&self, reader: &'static str) -> Subscription {
        match self {
            Self::InProcess(bus) => bus.subscribe(reader),
        }
    }

    /// Notes that a writer has published all its events below this id.
    pub(crate) fn note_published_below(&self, writer: &'static str, id: Uuid) {
        match self {
            Self::InProcess(bus) => bus.note_published_below(writer, id),
        }
    }

    /// Returns the id below which no event is sent again; none until every writer of the catalogue has said how far it is.
    pub(crate) fn published_below(&self) -> Option<Uuid> {
        match self {
            Self::InProcess(bus) => bus.published_below(),
        }
    }

    /// Returns how many events wait for a reader.
    #[must_use]
    pub fn waiting(&self, reader: &str) -> usize {
        match self {
            Self::InProcess(bus) => bus.waiting(reader),
        }
    }
}
