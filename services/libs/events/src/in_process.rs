//! The bus of services that share a process: a queue a reader. An event is taken over when every reader has committed it.
//!
//! The writer that commits an event puts [`QueuedEvents`] into the queue of each reader's writer, so no task is woken on the
//! way. Where events gather, [`QueuedEvents`] may wait there for more. The reader's task gets only a batch on which the writer
//! failed.
//!
//! Memory is bounded by the relays, each of which has no more than `IN_FLIGHT_MAX` events on their way.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use contracts::events::catalogue;
use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;
use store::{BATCH_MAX, Database, StoreError, Tx, Work};
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
    /// Signals the reader's task that there is a batch for it.
    arrived: Arc<Notify>,
    /// Acts on the events, while the reader is there.
    consumer: Option<Arc<Consumer>>,
    batch: Batch,
    /// Until when events gather.
    gathers_until: Option<Instant>,
    random: u64,
}

/// Where the batch of a reader is.
#[derive(Debug, Default)]
enum Batch {
    /// There is none.
    #[default]
    None,
    /// [`QueuedEvents`] in the queue of the reader's writer take it.
    Queued,
    /// The writer failed on it, and the reader's task has not taken it yet.
    Failed(Vec<Delivery>),
    /// The reader's task has it.
    InTask,
}

/// Names the relay that hears that an event was acted on.
#[derive(Clone, Debug)]
struct Receipt {
    shared: Arc<Shared>,
    repeated: bool,
}

#[derive(Debug)]
struct Shared {
    // Weak, because the relay owns the bus: an event left in a queue at the end must not keep both alive.
    relay: Weak<Relay>,
    round: u64,
    seq: i64,
    readers_left: AtomicUsize,
}

/// The events of one reader.
#[derive(Debug)]
struct Subscription {
    bus: Arc<InProcessBus>,
    reader: &'static str,
    arrived: Arc<Notify>,
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

    fn subscribe(self: &Arc<Self>, consumer: &Consumer) -> Subscription {
        let name = consumer.service();
        let mut queues = self.lock();
        let reader = queues.entry(name).or_default();
        reader.consumer = Some(Arc::new(consumer.clone()));
        reader.random = self.faults.shuffle.unwrap_or(0) ^ 0x9E37_79B9_7F4A_7C15;
        let arrived = Arc::clone(&reader.arrived);
        drop(queues);
        // Events that came before the subscription are in the queue.
        self.wake(name);
        Subscription { bus: Arc::clone(self), reader: name, arrived }
    }

    /// Queues the events of a reader before its writer, and hurries the writer unless all of them may gather.
    fn wake(self: &Arc<Self>, name: &'static str) {
        let mut queues = self.lock();
        let Some(reader) = queues.get_mut(name) else { return };
        let Some(consumer) = reader.consumer.clone().filter(|_| !reader.queue.is_empty()) else {
            return;
        };
        let until = reader.gathers_until(&consumer);
        let was_queued = match reader.batch {
            Batch::None => false,
            Batch::Queued => true,
            Batch::Failed(_) | Batch::InTask => return,
        };
        reader.batch = Batch::Queued;
        drop(queues);
        let database = consumer.database().clone();
        if was_queued {
            if until.is_none() {
                database.hurry();
            }
            return;
        }
        let work = Box::new(QueuedEvents { bus: Arc::clone(self), consumer, batch: Vec::new() });
        match until {
            Some(until) => {
                database.push_later(work, until);
                // The writer of an event that may not wait hurried nothing if this work was not queued yet.
                if !self.may_gather(name) {
                    database.hurry();
                }
            }
            None => database.push(work),
        }
    }

    /// Returns whether all queued events of a reader may wait for more.
    fn may_gather(&self, name: &'static str) -> bool {
        self.lock().get(name).is_some_and(|reader| {
            reader.consumer.as_ref().is_some_and(|it| reader.gathers_until(it).is_some())
        })
    }

    /// Notes that a batch is committed, and queues the events that came meanwhile.
    fn batch_committed(self: &Arc<Self>, name: &'static str, batch: &[Delivery]) {
        if let Some(reader) = self.lock().get_mut(name) {
            reader.batch = Batch::None;
            reader.note_batch(batch);
            if reader.consumer.is_none() {
                reader.arrived.notify_one();
            }
        }
        self.wake(name);
    }

    /// Takes up to `limit` events from the queue of a reader.
    fn take(&self, name: &'static str, limit: usize) -> Vec<Delivery> {
        match self.lock().get_mut(name) {
            Some(reader) => reader.take(limit, self.faults.shuffle.is_some()),
            None => Vec::new(),
        }
    }
}

impl Reader {
    /// Returns until when all queued events may wait for more; `None` if they may not.
    fn gathers_until(&self, consumer: &Consumer) -> Option<Instant> {
        let gathering = consumer.gathering();
        let mut waiting = self.queue.iter();
        self.gathers_until.filter(|until| {
            self.queue.len() < gathering.events_max
                && waiting.all(|delivery| gathering.includes(delivery.event.name()))
                && Instant::now() < *until
        })
    }

    /// Lets events gather again after a batch with such events.
    fn note_batch(&mut self, batch: &[Delivery]) {
        let Some(gathering) = self.consumer.as_ref().map(|it| it.gathering()) else { return };
        if batch.iter().any(|delivery| gathering.includes(delivery.event.name())) {
            self.gathers_until = Some(Instant::now() + gathering.pause);
        }
    }

    fn take(&mut self, limit: usize, shuffled: bool) -> Vec<Delivery> {
        if !shuffled {
            let taken = self.queue.len().min(limit);
            return self.queue.drain(..taken).collect();
        }
        let limit = 1 + self.draw(limit.min(7));
        let mut batch = Vec::new();
        while batch.len() < limit && !self.queue.is_empty() {
            let drawn = self.draw(self.queue.len());
            // The first of its subject goes first, whichever of them was drawn.
            let subject = &self.queue[drawn].event.subject;
            let first = self
                .queue
                .iter()
                .position(|other| other.event.subject == *subject)
                .unwrap_or(drawn);
            batch.extend(self.queue.remove(first));
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

/// Work for the writer of a reader: takes the events that are in the reader's queue when the writer runs it.
struct QueuedEvents {
    bus: Arc<InProcessBus>,
    consumer: Arc<Consumer>,
    batch: Vec<Delivery>,
}

impl Work for QueuedEvents {
    fn gather(&mut self) -> usize {
        self.batch = self.bus.take(self.consumer.service(), BATCH_MAX);
        1
    }

    fn run(&mut self, tx: &mut Tx<'_>, _: Range<usize>) -> Result<(), StoreError> {
        let events: Vec<_> =
            self.batch.iter().map(|delivery| Arc::clone(&delivery.event)).collect();
        self.consumer.metrics().took(&events);
        self.consumer.handle(tx, &events)
    }

    fn settle(&mut self, _: Range<usize>, outcome: Result<(), StoreError>) {
        let name = self.consumer.service();
        if outcome.is_ok() {
            self.consumer.metrics().committed();
            acknowledge(&self.batch);
            self.bus.batch_committed(name, &self.batch);
            return;
        }
        if !matches!(outcome, Err(StoreError::Rejected(_) | StoreError::Closed)) {
            self.consumer.metrics().retried();
        }
        if let Some(reader) = self.bus.lock().get_mut(name) {
            // The task tries again, and event by event if one is refused.
            reader.batch = Batch::Failed(std::mem::take(&mut self.batch));
            reader.arrived.notify_one();
        }
    }
}

impl Bus for InProcessBus {
    fn is_broker(&self) -> bool {
        false
    }

    fn join(self: Arc<Self>, _: &Arc<Relay>, _: &Database, _: &TaskTracker, _: &CancellationToken) {
    }

    fn offer(
        self: Arc<Self>,
        relay: &Weak<Relay>,
        _: &'static str,
        round: u64,
        events: Vec<Stored>,
    ) {
        let mut unread = Vec::new();
        let mut woken: Vec<&'static str> = Vec::new();
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
            for name in readers {
                let reader = queues.entry(name).or_default();
                if !woken.contains(&name) {
                    woken.push(name);
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
        for name in woken {
            self.wake(name);
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
        let subscription = self.subscribe(&consumer);
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

    async fn next(&mut self, _: usize) -> Vec<Delivery> {
        loop {
            if let Some(reader) = self.bus.lock().get_mut(self.reader)
                && let Batch::Failed(batch) = &mut reader.batch
            {
                let batch = std::mem::take(batch);
                reader.batch = Batch::InTask;
                return batch;
            }
            self.arrived.notified().await;
        }
    }

    fn guard(&self, _: &[Delivery]) -> NoGuard {
        NoGuard
    }

    fn acknowledge(&mut self, deliveries: &[Delivery]) {
        acknowledge(deliveries);
        self.bus.batch_committed(self.reader, deliveries);
    }

    /// No other process could take it over.
    fn give_up(&mut self) {}

    /// Waits for the batch that is in the queue of the writer.
    async fn close(self) {
        loop {
            if let Some(reader) = self.bus.lock().get_mut(self.reader) {
                if let Some(consumer) = reader.consumer.take() {
                    consumer.database().hurry();
                }
                // A batch that the task gave up, or never took, is not acknowledged: the next process gets it again.
                if !matches!(reader.batch, Batch::Queued) {
                    reader.batch = Batch::None;
                    return;
                }
            }
            self.arrived.notified().await;
        }
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
        // A relay that is gone has not saved a position above them: the next process offers them again.
        if let Some(relay) = relay.upgrade() {
            relay.taken_over(round, &seqs);
        }
    }
}
