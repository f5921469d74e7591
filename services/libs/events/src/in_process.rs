//! The bus of services that share a process: a queue a reader. An event is taken over when every reader has committed it.
//!
//! Memory is bounded by the relays, each of which has no more than `IN_FLIGHT_MAX` events on their way.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use contracts::events::catalogue;
use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;
use store::Database;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    bus::{self, Bus, NoGuard},
    consumer::Consumer,
    outbox::{Relay, Stored},
};

/// How a bus may misbehave within its promises, for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Every event is delivered twice, the second time later.
    pub twice: bool,
    /// Events come in batches of odd sizes, and events of different subjects change places, by this seed.
    pub shuffle: Option<u64>,
}

type Delivery = bus::Delivery<Receipt>;

/// The bus of one process.
#[derive(Debug, Default)]
struct InProcessBus {
    faults: Faults,
    // One lock for all queues: an event is in all of them or in none, so that what follows from it is behind it in each.
    queues: Mutex<HashMap<&'static str, Reader>>,
    /// The id below which each writer has published everything, as it last said.
    published_below: Mutex<HashMap<&'static str, Uuid>>,
}

#[derive(Debug, Default)]
struct Reader {
    queue: VecDeque<Delivery>,
    arrived: Arc<Notify>,
}

/// Whom to tell that an event was acted on.
#[derive(Clone, Debug)]
struct Receipt {
    shared: Arc<Shared>,
    repeated: bool,
}

#[derive(Debug)]
struct Shared {
    // Weak, because the relay has the bus: what is left in a queue at the end must not keep both.
    relay: Weak<Relay>,
    round: u64,
    seq: i64,
    readers_left: AtomicUsize,
}

/// What one service hears.
#[derive(Debug)]
struct Subscription {
    bus: Arc<InProcessBus>,
    reader: &'static str,
    arrived: Arc<Notify>,
    random: u64,
}

/// Makes the bus of services that share a process.
#[must_use]
pub fn in_process() -> Arc<dyn Bus> {
    in_process_with(Faults::default())
}

/// Makes such a bus that keeps its promises as badly as it may, for tests.
#[must_use]
pub fn in_process_with(faults: Faults) -> Arc<dyn Bus> {
    Arc::new(InProcessBus { faults, ..InProcessBus::default() })
}

impl InProcessBus {
    fn lock(&self) -> MutexGuard<'_, HashMap<&'static str, Reader>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribe(self: &Arc<Self>, reader: &'static str) -> Subscription {
        let arrived = Arc::clone(&self.lock().entry(reader).or_default().arrived);
        // What came before the subscription waits in the queue.
        arrived.notify_one();
        let random = self.faults.shuffle.unwrap_or(0) ^ 0x9E37_79B9_7F4A_7C15;
        Subscription { bus: Arc::clone(self), reader, arrived, random }
    }
}

impl Bus for InProcessBus {
    fn is_broker(&self) -> bool {
        false
    }

    fn join(self: Arc<Self>, _: &Arc<Relay>, _: &Database, _: &TaskTracker, _: &CancellationToken) {
    }

    fn offer(&self, relay: &Weak<Relay>, _: &'static str, round: u64, events: Vec<Stored>) {
        let mut unread = Vec::new();
        let mut woken: Vec<Arc<Notify>> = Vec::new();
        let mut queues = self.lock();
        for Stored { seq, event } in events {
            let readers = catalogue::offered_to(event.name());
            if readers.is_empty() {
                unread.push(seq);
                continue;
            }
            let readers_left = AtomicUsize::new(readers.len());
            let relay = Weak::clone(relay);
            let shared = Arc::new(Shared { relay, round, seq, readers_left });
            for reader in readers {
                let reader = queues.entry(reader).or_default();
                if reader.queue.is_empty() {
                    woken.push(Arc::clone(&reader.arrived));
                }
                let delivery = |repeated| {
                    let receipt = Receipt { shared: Arc::clone(&shared), repeated };
                    Delivery { event: Arc::clone(&event), receipt }
                };
                if self.faults.twice {
                    reader.queue.push_back(delivery(true));
                }
                reader.queue.push_back(delivery(false));
            }
        }
        drop(queues);
        for arrived in woken {
            arrived.notify_one();
        }
        if !unread.is_empty()
            && let Some(relay) = relay.upgrade()
        {
            relay.taken_over(round, &unread);
        }
    }

    fn consume(
        self: Arc<Self>,
        consumer: Consumer,
        stop: CancellationToken,
    ) -> BoxFuture<'static, ()> {
        let subscription = self.subscribe(consumer.service());
        Box::pin(consumer.run(subscription, stop))
    }

    fn note_published_below(&self, writer: &'static str, id: Uuid) -> BoxFuture<'_, ()> {
        self.published_below.lock().unwrap_or_else(PoisonError::into_inner).insert(writer, id);
        Box::pin(std::future::ready(()))
    }

    fn published_below(&self, _: &'static str) -> BoxFuture<'_, Option<Uuid>> {
        let below = self.published_below.lock().unwrap_or_else(PoisonError::into_inner);
        let of_writers = catalogue::CATALOGUE.iter().map(|entry| below.get(entry.writer).copied());
        let all: Option<Vec<Uuid>> = of_writers.collect();
        Box::pin(std::future::ready(all.and_then(|all| all.into_iter().min())))
    }

    fn waiting(&self, reader: &'static str) -> BoxFuture<'_, i64> {
        let waiting = self.lock().get(reader).map_or(0, |reader| reader.queue.len());
        Box::pin(std::future::ready(i64::try_from(waiting).unwrap_or(i64::MAX)))
    }

    fn degraded(&self) -> Option<String> {
        None
    }

    fn register(&self, _: &mut Registry) {}
}

impl bus::Subscription for Subscription {
    type Receipt = Receipt;
    type Guard = NoGuard;

    async fn next(&mut self, limit: usize) -> Vec<Delivery> {
        loop {
            let arrived = Arc::clone(&self.arrived);
            let batch = self.take(limit);
            if !batch.is_empty() {
                return batch;
            }
            arrived.notified().await;
        }
    }

    fn guard(&self, _: &[Delivery]) -> NoGuard {
        NoGuard
    }

    fn acknowledge(&mut self, deliveries: &[Delivery]) {
        acknowledge(deliveries);
    }

    /// No other process could take it over.
    fn give_up(&mut self) {}

    async fn close(self) {}
}

impl Subscription {
    fn take(&mut self, limit: usize) -> Vec<Delivery> {
        let shuffled = self.bus.faults.shuffle.is_some();
        let limit = if shuffled { 1 + self.draw(limit.min(7)) } else { limit };
        let bus = Arc::clone(&self.bus);
        let mut queues = bus.lock();
        let Some(reader) = queues.get_mut(self.reader) else { return Vec::new() };
        if !shuffled {
            let taken = reader.queue.len().min(limit);
            return reader.queue.drain(..taken).collect();
        }
        let mut batch = Vec::new();
        while batch.len() < limit && !reader.queue.is_empty() {
            let drawn = self.draw(reader.queue.len());
            // The first of its subject goes first, whichever of them was drawn.
            let subject = &reader.queue[drawn].event.subject;
            let first = reader
                .queue
                .iter()
                .position(|other| other.event.subject == *subject)
                .unwrap_or(drawn);
            batch.extend(reader.queue.remove(first));
        }
        batch
    }

    /// Draws a number below `bound` (xorshift64: any sequence that a seed repeats will do).
    fn draw(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % (bound.max(1) as u64)).unwrap_or(0)
    }
}

/// Tells the writers of events that this reader has committed them.
fn acknowledge(deliveries: &[Delivery]) {
    let mut by_relay: Vec<(&Weak<Relay>, u64, Vec<i64>)> = Vec::new();
    for Delivery { receipt, .. } in deliveries {
        let Receipt { shared, repeated } = receipt;
        if *repeated || shared.readers_left.fetch_sub(1, Ordering::AcqRel) != 1 {
            continue;
        }
        match by_relay.iter_mut().find(|(relay, ..)| Weak::ptr_eq(relay, &shared.relay)) {
            Some((.., seqs)) => seqs.push(shared.seq),
            None => by_relay.push((&shared.relay, shared.round, vec![shared.seq])),
        }
    }
    for (relay, round, seqs) in by_relay {
        // A relay that is gone has left its rows unmarked: its next process offers them again.
        if let Some(relay) = relay.upgrade() {
            relay.taken_over(round, &seqs);
        }
    }
}
