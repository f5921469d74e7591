//! What consumers count, and how long events wait for them.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use contracts::{
    Timestamp,
    events::{Envelope, catalogue::Catalogue},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _},
    metrics::{
        MetricType, counter::Counter, family::Family, gauge::ConstGauge, histogram::Histogram,
    },
    registry::Registry,
};
use store::{Clock, SECONDS, ServiceLabels};

/// The label of all events of types that this version of the program does not know.
const OTHER: &str = "other";
/// The announcement of an event that is not there.
const NONE: i64 = i64::MAX;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    service: &'static str,
    event: &'static str,
}

/// When the oldest event of this type that a consumer has in hand was announced, in microseconds; [`NONE`] if it has none.
type OldestInHand = (EventLabels, Arc<AtomicI64>);

/// The metrics of all consumers of a process. Clones are the same.
#[derive(Clone)]
pub struct ConsumerMetrics {
    clock: Clock,
    handled: Family<EventLabels, Counter>,
    failures: Family<EventLabels, Counter>,
    retries: Family<ServiceLabels, Counter>,
    lag_seconds: Family<EventLabels, Histogram, fn() -> Histogram>,
    in_hand: Arc<Mutex<Vec<OldestInHand>>>,
}

impl fmt::Debug for ConsumerMetrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ConsumerMetrics").finish_non_exhaustive()
    }
}

impl ConsumerMetrics {
    /// Makes the metrics of a process; ages are told by this clock.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let lag: fn() -> Histogram = || Histogram::new(SECONDS);
        Self {
            clock,
            handled: Family::default(),
            failures: Family::default(),
            retries: Family::default(),
            lag_seconds: Family::new_with_constructor(lag),
            in_hand: Arc::default(),
        }
    }

    /// Adds them to those that the process shows.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Events that were committed: acted on, deferred or set aside";
        registry.register("events_handled", help, self.handled.clone());
        let help = "Attempts at one event that failed; after three it is set aside";
        registry.register("event_failures", help, self.failures.clone());
        let help = "Batches of events tried again because their database failed";
        registry.register("event_retries", help, self.retries.clone());
        let help = "Age of the oldest event of each committed batch";
        registry.register("event_lag_seconds", help, self.lag_seconds.clone());
        registry.register_collector(Box::new(InHand(self.clone())));
    }

    /// Returns the metrics of one consumer, which knows the events of this catalogue.
    pub(crate) fn of(&self, service: &'static str, catalogue: Catalogue) -> ReaderMetrics {
        let read = catalogue.0.iter().filter(|entry| entry.readers.contains(&service));
        let names = read.map(|entry| entry.name).chain([OTHER]);
        let of_events: Vec<OfEvent> = names
            .map(|event| {
                let labels = EventLabels { service, event };
                OfEvent {
                    event,
                    handled: self.handled.get_or_create_owned(&labels),
                    failures: self.failures.get_or_create_owned(&labels),
                    lag_seconds: self.lag_seconds.get_or_create_owned(&labels),
                    oldest: Arc::new(AtomicI64::new(NONE)),
                    count: AtomicU64::new(0),
                }
            })
            .collect();
        let shown = of_events
            .iter()
            .map(|of| (EventLabels { service, event: of.event }, Arc::clone(&of.oldest)));
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner).extend(shown);
        let retries = self.retries.get_or_create_owned(&ServiceLabels { service });
        ReaderMetrics { clock: self.clock.clone(), retries, of_events }
    }
}

/// The metrics of one consumer.
pub(crate) struct ReaderMetrics {
    clock: Clock,
    retries: Counter,
    /// One for each event that it reads, and one for those that it does not know.
    of_events: Vec<OfEvent>,
}

struct OfEvent {
    event: &'static str,
    handled: Counter,
    failures: Counter,
    lag_seconds: Histogram,
    /// As in [`OldestInHand`].
    oldest: Arc<AtomicI64>,
    /// How many of the batch in hand there are.
    count: AtomicU64,
}

impl ReaderMetrics {
    fn place_of(&self, event: &Envelope) -> usize {
        let name = event.name();
        let last = self.of_events.len() - 1;
        self.of_events[..last].iter().position(|of| of.event == name).unwrap_or(last)
    }

    /// Notes a batch that the bus has handed over, perhaps once more. There is one in hand at a time.
    pub(crate) fn took(&self, batch: &[Arc<Envelope>]) {
        self.gave_up();
        for event in batch {
            let of = &self.of_events[self.place_of(event)];
            of.count.fetch_add(1, Ordering::Relaxed);
            of.oldest.fetch_min(event.time.as_micros(), Ordering::Relaxed);
        }
    }

    /// Notes that the batch in hand is committed.
    pub(crate) fn committed(&self) {
        let now = self.clock.now();
        for of in &self.of_events {
            let count = of.count.swap(0, Ordering::Relaxed);
            if count > 0 {
                of.handled.inc_by(count);
                let oldest = of.oldest.swap(NONE, Ordering::Relaxed);
                let age = now.since(Timestamp::from_micros(oldest));
                of.lag_seconds.observe(age.as_secs_f64());
            }
        }
    }

    /// Notes that no batch is in hand: what was is another process's.
    pub(crate) fn gave_up(&self) {
        for of in &self.of_events {
            of.count.store(0, Ordering::Relaxed);
            of.oldest.store(NONE, Ordering::Relaxed);
        }
    }

    /// Counts an attempt at one event that failed.
    pub(crate) fn failed(&self, event: &Envelope) {
        self.of_events[self.place_of(event)].failures.inc();
    }

    /// Counts that work is tried again because the database failed.
    pub(crate) fn retried(&self) {
        self.retries.inc();
    }
}

/// Shows how old the oldest event is that each consumer has in hand.
#[derive(Debug)]
struct InHand(ConsumerMetrics);

impl Collector for InHand {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Age of the oldest event that was handed over and is not committed; 0 if none";
        let name = "event_oldest_seconds";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        let now = self.0.clock.now();
        let in_hand = self.0.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        for (labels, oldest) in &*in_hand {
            let age = match oldest.load(Ordering::Relaxed) {
                NONE => Duration::ZERO,
                oldest => now.since(Timestamp::from_micros(oldest)),
            };
            ConstGauge::new(age.as_secs_f64()).encode(family.encode_family(labels)?)?;
        }
        Ok(())
    }
}
