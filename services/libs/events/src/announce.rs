//! Announcing events in a transaction.

use std::collections::HashMap;

use contracts::events::{Envelope, Event};
use store::Tx;

/// What one transaction announced so far, and what it was caused by.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    pub(crate) events: Vec<Envelope>,
    /// What the events of a subject were caused by, so that those that follow from them join the same trace.
    traces: HashMap<String, String>,
}

/// Lets a transaction announce events: they and the change that they tell are all saved, or nothing is.
pub trait Announce {
    /// Announces an event.
    fn announce<E: Event>(&mut self, event: &E);

    /// Announces each event, in this order.
    fn announce_all<E: Event>(&mut self, events: impl IntoIterator<Item = E>) {
        for event in events {
            self.announce(&event);
        }
    }

    /// Lets the events about `subject` join a trace.
    fn follow(&mut self, subject: impl Into<String>, traceparent: impl Into<String>);

    /// Returns the trace that the events about `subject` join, for what is to go on in a later transaction.
    #[must_use]
    fn trace_of(&mut self, subject: &str) -> Option<String>;
}

impl Announce for Tx<'_> {
    fn announce<E: Event>(&mut self, event: &E) {
        let (service, now) = (self.service(), self.now());
        let announced = self.attached::<Announced>();
        let trace = announced.traces.get(&event.subject()).cloned();
        announced.events.push(Envelope::new(service, event, now, trace));
    }

    fn follow(&mut self, subject: impl Into<String>, traceparent: impl Into<String>) {
        self.attached::<Announced>().traces.insert(subject.into(), traceparent.into());
    }

    fn trace_of(&mut self, subject: &str) -> Option<String> {
        self.attached::<Announced>().traces.get(subject).cloned()
    }
}
