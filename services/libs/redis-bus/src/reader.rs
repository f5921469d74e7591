//! What one service hears through Redis: its group on every stream.

use std::{array, collections::VecDeque, sync::Arc, time::Duration};

use ::redis::{Pipeline, RedisResult, Value, aio::MultiplexedConnection, pipe};
use contracts::events::catalogue::Catalogue;
use tokio::{sync::watch, time::Instant};
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    ANSWER_MAX, PAUSE, PAUSE_MAX, RedisBus, answer,
    guard::Guard,
    membership::{Held, Membership},
    parcel,
    stream::{Each, Id, SHARDS},
};
use events::Subscription;
use store::jittered;

type Delivery = events::Delivery<Receipt>;

/// What its failures are noted under.
const WHO: &str = "reader";
/// The one name under which a group reads a stream, whoever reads it: so it finds what the one before left.
const CONSUMER: &str = "reader";
/// How many entries of a stream are fetched at once. With 64 events an entry and 500 bytes an event the streams fill less
/// than 5 MiB.
const ENTRIES_MAX: usize = 16;
/// How long Redis waits for events before it answers that there are none.
const WAIT: Duration = Duration::from_secs(1);
/// The least time that is worth waiting.
const WAIT_MIN: Duration = Duration::from_millis(50);
/// How much longer than the waiting a lease must last.
const MARGIN: Duration = Duration::from_millis(500);
/// How often a group says that it reads.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// How long a group that has said nothing counts as reading.
const ALIVE_SECONDS: usize = 15;

/// The entry that an event came with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receipt {
    shard: usize,
    /// The epoch of the lease under which it was fetched.
    epoch: i64,
    entry: Id,
    /// Whether it is the last event of it that this reader acts on.
    last: bool,
}

/// The reader of one service.
#[derive(Debug)]
pub(crate) struct Reader {
    bus: Arc<RedisBus>,
    group: &'static str,
    catalogue: Catalogue,
    membership: Arc<Membership>,
    held: watch::Receiver<Held>,
    connection: Option<MultiplexedConnection>,
    /// The shards that it reads, with the epochs of their leases.
    shards: Each<Option<i64>>,
    /// The position from which each stream is read.
    positions: Each<Position>,
    /// What was fetched and not handed out.
    fetched: VecDeque<Delivery>,
    /// What is acknowledged and not told to Redis.
    acknowledged: Each<Vec<Id>>,
    pause: Duration,
    alive_at: Option<Instant>,
}

/// From where a stream is read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// What was handed out before and not acknowledged, behind this entry.
    Left(Id),
    /// Entries that no replica has read.
    New,
}

impl Subscription for Reader {
    type Receipt = Receipt;
    type Guard = Guard;

    async fn next(&mut self, limit: usize) -> Vec<Delivery> {
        while self.fetched.is_empty() {
            match self.fetch().await {
                Ok(()) => self.pause = PAUSE,
                Err(error) => {
                    if error.code() == Some("NOGROUP") {
                        info!("Redis has lost a group: it is made anew");
                    } else {
                        self.bus.note_failure(WHO, &error);
                    }
                    // What was on its way is found again among what is left: also what was acknowledged, and may have
                    // been without anybody knowing.
                    self.connection = None;
                    self.acknowledged.iter_mut().for_each(Vec::clear);
                    tokio::time::sleep(jittered(self.pause)).await;
                    self.pause = (self.pause * 2).min(PAUSE_MAX);
                }
            }
        }
        let taken = self.fetched.len().min(limit);
        self.fetched.drain(..taken).collect()
    }

    fn guard(&self, deliveries: &[Delivery]) -> Guard {
        let mut shards = [None; SHARDS];
        for delivery in deliveries {
            let Receipt { shard, epoch, .. } = delivery.receipt;
            shards[shard] = Some(epoch);
        }
        Guard::new(shards, &self.membership)
    }

    fn acknowledge(&mut self, deliveries: &[Delivery]) {
        for delivery in deliveries {
            if let Receipt { shard, entry, last: true, .. } = delivery.receipt {
                self.acknowledged[shard].push(entry);
            }
        }
    }

    fn give_up(&mut self) {
        self.fetched.clear();
        self.positions = [Position::Left(Id::ZERO); SHARDS];
    }

    async fn close(mut self) {
        let mut calls = pipe();
        self.add_acknowledgements(&mut calls);
        if let Some(connection) = &mut self.connection
            && !calls.is_empty()
            && let Err(error) = calls.query_async::<()>(connection).await
        {
            // Then they are delivered once more, and known to the inbox.
            warn!("Could not acknowledge the last events: {error}");
        }
        self.membership.use_shards([false; SHARDS]);
    }
}

impl Reader {
    pub(super) fn new(
        bus: Arc<RedisBus>,
        group: &'static str,
        catalogue: Catalogue,
        membership: Arc<Membership>,
    ) -> Self {
        Self {
            bus,
            group,
            catalogue,
            held: membership.held(),
            membership,
            connection: None,
            shards: [None; SHARDS],
            positions: [Position::Left(Id::ZERO); SHARDS],
            fetched: VecDeque::new(),
            acknowledged: array::from_fn(|_| Vec::new()),
            pause: PAUSE,
            alive_at: None,
        }
    }

    /// Takes note of the shards that are its own now; returns how long it may wait for what is new on them, if it may read
    /// them. What it fetched before is done when this is called.
    fn take_shards(&mut self) -> Option<Duration> {
        let held = self.held.borrow_and_update().clone();
        for (shard, epoch) in held.shards.iter().enumerate() {
            if *epoch != self.shards[shard] {
                self.positions[shard] = Position::Left(Id::ZERO);
            }
        }
        self.shards = held.shards;
        // Redis must not hand anything to this reader when the shard may be another's.
        let left = held.until?.saturating_duration_since(Instant::now()).saturating_sub(MARGIN);
        let may_read = self.shards.iter().any(Option::is_some) && left >= WAIT_MIN;
        may_read.then(|| left.min(WAIT))
    }

    fn add_acknowledgements(&self, calls: &mut Pipeline) {
        for (stream, entries) in self.bus.names.streams.iter().zip(&self.acknowledged) {
            if !entries.is_empty() {
                calls.cmd("XACK").arg(stream).arg(self.group);
                for entry in entries {
                    calls.arg(entry.to_string());
                }
                calls.ignore();
            }
        }
    }

    /// Tells what is acknowledged, and fetches what comes next; waits for it a while.
    async fn fetch(&mut self) -> RedisResult<()> {
        let wait = self.take_shards();
        let used = self.shards.map(|epoch| epoch.is_some());
        let mut calls = pipe();
        self.add_acknowledgements(&mut calls);
        if wait.is_none() && calls.is_empty() {
            self.membership.use_shards([false; SHARDS]);
            // It ends with the process: what it waits for is not dropped before.
            let idle = if used.contains(&true) { WAIT_MIN } else { WAIT };
            let _ = tokio::time::timeout(idle, self.held.changed()).await;
            return Ok(());
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let mut says_alive = false;
        if let Some(wait) = wait {
            self.membership.use_shards_too(&used);
            says_alive = self.add_saying_alive(&mut calls);
            self.add_reading(&mut calls, wait);
        }
        let mut answers: Vec<Value> = calls.query_async(&mut connection).await?;
        self.acknowledged.iter_mut().for_each(Vec::clear);
        if says_alive && matches!(answers.remove(0), Value::Nil) {
            // It was silent for so long that what it lacks may be cut off: it has to arrive again.
            return Ok(());
        }
        self.connection = Some(connection);
        self.bus.note_success(WHO);
        self.membership.use_shards(if wait.is_some() { used } else { [false; SHARDS] });
        answers.into_iter().try_for_each(|answer| self.unpack(answer))
    }

    /// Says from time to time that the group reads; returns whether it does so now.
    fn add_saying_alive(&mut self, calls: &mut Pipeline) -> bool {
        let now = Instant::now();
        if self.alive_at.is_some_and(|alive_at| now < alive_at + ALIVE_EVERY) {
            return false;
        }
        self.alive_at = Some(now);
        // Nothing can be left now. If there is, one who was too late to read has it: it is found here.
        self.positions = [Position::Left(Id::ZERO); SHARDS];
        let alive = self.bus.names.alive(self.group);
        calls.cmd("SET").arg(alive).arg(1).arg("EX").arg(ALIVE_SECONDS).arg("XX");
        true
    }

    fn add_reading(&mut self, calls: &mut Pipeline, wait: Duration) {
        calls.cmd("XREADGROUP").arg("GROUP").arg(self.group).arg(CONSUMER);
        calls.arg("COUNT").arg(ENTRIES_MAX).arg("BLOCK").arg(wait.as_millis() as u64);
        calls.arg("STREAMS");
        let own = |shard: &usize| self.shards[*shard].is_some();
        for shard in (0..SHARDS).filter(own) {
            calls.arg(&self.bus.names.streams[shard]);
        }
        for shard in (0..SHARDS).filter(own) {
            match self.positions[shard] {
                Position::Left(id) => calls.arg(id.to_string()),
                Position::New => calls.arg(">"),
            };
        }
    }

    async fn connect(&mut self) -> RedisResult<MultiplexedConnection> {
        let mut connection = self.bus.connect(ANSWER_MAX + WAIT).await?;
        let new_life = Uuid::new_v4().simple().to_string();
        let (scripts, names) = (&self.bus.scripts, &self.bus.names);
        let arrived = scripts.arrive(&mut connection, names, self.group, &new_life, ALIVE_SECONDS);
        if arrived.await? {
            warn!("Redis lacks events: they are sent again");
        }
        self.positions = [Position::Left(Id::ZERO); SHARDS];
        self.alive_at = Some(Instant::now());
        Ok(connection)
    }

    fn unpack(&mut self, answer: Value) -> RedisResult<()> {
        for (shard, entries) in answer::read(answer, &self.bus.names)? {
            if entries.is_empty() {
                self.positions[shard] = Position::New;
            }
            let Some(epoch) = self.shards[shard] else { continue };
            for (entry, fields) in entries {
                if let Position::Left(before) = &mut self.positions[shard] {
                    *before = entry;
                }
                self.unpack_entry(Receipt { shard, epoch, entry, last: false }, fields);
            }
        }
        Ok(())
    }

    fn unpack_entry(&mut self, receipt: Receipt, fields: Vec<answer::Field>) {
        let (catalogue, group) = (self.catalogue, self.group);
        let unpack = |(kind, json): &answer::Field| parcel::unpack(catalogue, kind, json, group);
        let mut events = fields.iter().filter_map(unpack).peekable();
        if events.peek().is_none() {
            // Nothing in it is for this reader, or it is no longer there.
            self.acknowledged[receipt.shard].push(receipt.entry);
        }
        while let Some(event) = events.next() {
            let receipt = Receipt { last: events.peek().is_none(), ..receipt };
            self.fetched.push_back(Delivery { event, receipt });
        }
    }
}
