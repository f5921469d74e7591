//! Carries the events of one service to Redis, and knows up to where every reader has acknowledged them.
//!
//! - Of several replicas of the service one publishes. The others wake it after a commit; its poll is the safety net.
//! - One batch is on its way at a time; what is offered meanwhile is the next. Without an answer it is sent again, and
//!   what comes behind it waits, so that events stay in order.
//! - The broker has an identity: the process that Redis is, and a *life*, which is lost when it forgets. If it is another
//!   than the one that the service published to, everything above the position is put back on its way.
//! - The position moves by checkpoints: the place up to which everything was handed over, and the last entry of every
//!   stream after that. When all readers have acknowledged those entries, they have acknowledged all up to that place.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use ::redis::{RedisError, aio::MultiplexedConnection, cmd, pipe};
use contracts::events::catalogue::CATALOGUE;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::{
    PAUSE, PAUSE_MAX, Redis,
    look::Look,
    parcel, scripts,
    stream::{Each, Id},
    tenancy::Held,
};
use crate::{
    consumer::jittered,
    database::{Database, StoreError},
    outbox::{self, Relay, Stored, position},
};

/// What its failures are noted under.
const WHO: &str = "publisher";
/// How many events are sent at once: enough that an answer costs each little, few enough that Redis is not held up.
const BATCH_MAX: usize = 512;
/// How many events one transaction puts back on their way.
const AGAIN_AT_ONCE: i64 = 50_000;
/// How soon after an event was handed over the relay looks who has acknowledged it; doubled up to the next figure.
const LOOK_FIRST: Duration = Duration::from_millis(50);
/// How often it looks at the most while there is much to do, and while a reader is away.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Events that a relay offers.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(super) round: u64,
    pub(super) events: Vec<Stored>,
}

/// The publisher of one service.
#[derive(Debug)]
pub(crate) struct Publisher {
    bus: Arc<Redis>,
    relay: Arc<Relay>,
    database: Database,
    offers: mpsc::UnboundedReceiver<Offer>,
    held: watch::Receiver<Held>,
    /// Who reads what the service writes, and who reads anything.
    readers: Vec<&'static str>,
    all_readers: Vec<&'static str>,
    /// What was offered in this round and is not answered.
    queue: VecDeque<Stored>,
    round: u64,
    /// The broker that it publishes to, once it is known.
    broker: Option<Broker>,
    checkpoint: Option<Checkpoint>,
    position: i64,
    look_at: Option<Instant>,
    look_pause: Duration,
    published_since_look: bool,
    /// Whether much was published lately.
    is_busy: bool,
    /// Whether a stream is so large that nothing more is added.
    is_full: bool,
}

/// The broker of this round.
#[derive(Clone, Debug)]
struct Broker {
    identity: String,
    life: String,
}

/// A place of the outbox, and the entries up to which it lies.
#[derive(Clone, Copy, Debug)]
struct Checkpoint {
    place: i64,
    ends: Each<Id>,
}

/// Why a connection was given up.
enum Trouble {
    Stopped,
    Redis(RedisError),
    /// The broker forgot: it lives another life.
    Forgot,
    Store(StoreError),
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Closed => Self::Stopped,
            error => Self::Store(error),
        }
    }
}

impl Publisher {
    pub(super) fn new(
        bus: Arc<Redis>,
        relay: Arc<Relay>,
        database: Database,
        offers: mpsc::UnboundedReceiver<Offer>,
        held: watch::Receiver<Held>,
    ) -> Self {
        let readers = readers(|writer| writer == relay.service());
        Self {
            bus,
            relay,
            database,
            offers,
            held,
            readers,
            all_readers: self::readers(|_| true),
            queue: VecDeque::new(),
            round: 0,
            broker: None,
            checkpoint: None,
            position: 0,
            look_at: None,
            look_pause: LOOK_FIRST,
            published_since_look: false,
            is_busy: false,
            is_full: false,
        }
    }

    /// Publishes until it is told to stop. What is not answered then is offered by the next process.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        if self.readers.is_empty() {
            return;
        }
        while !stop.is_cancelled() {
            let mut held = self.held.clone();
            tokio::select! {
                () = stop.cancelled() => return,
                _ = held.wait_for(|held| held.relay) => {}
                () = self.wake_the_other() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                _ = held.wait_for(|held| !held.relay) => {}
                ended = self.keep_publishing() => {
                    if ended.is_err() {
                        return;
                    }
                }
            }
            // Another publishes now: whatever was on its way is in the table.
            self.relay.rest();
            self.queue.clear();
            self.broker = None;
            self.look_at = None;
        }
    }

    /// Wakes the replica that publishes, whenever something was committed here.
    async fn wake_the_other(&self) {
        let mut kept = None;
        loop {
            self.relay.leaves_to_others().await;
            let channel = self.bus.names.wake(self.relay.service());
            let told = self.bus.ask(&mut kept, async |connection| {
                cmd("PUBLISH").arg(&channel).arg(1).exec_async(connection).await
            });
            if told.await.is_none() {
                debug!("Redis did not wake the replica that publishes");
            }
        }
    }

    /// Publishes, on one connection after another.
    async fn keep_publishing(&mut self) -> Result<(), StoreError> {
        let mut pause = PAUSE;
        loop {
            let started = Instant::now();
            match self.publish().await {
                Trouble::Stopped => return Err(StoreError::Closed),
                Trouble::Forgot => {
                    pause = PAUSE;
                    continue;
                }
                Trouble::Redis(error) => self.bus.note_failure(WHO, &error),
                Trouble::Store(error) => {
                    let service = self.relay.service();
                    warn!(service, "The publisher waits for its database: {error}");
                }
            }
            if started.elapsed() > PAUSE_MAX {
                pause = PAUSE;
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Publishes on one connection, until something is wrong with it.
    async fn publish(&mut self) -> Trouble {
        match self.try_to_publish().await {
            Ok(never) => match never {},
            Err(trouble) => trouble,
        }
    }

    async fn try_to_publish(&mut self) -> Result<Infallible, Trouble> {
        let mut connection = self.bus.connect_for(&self.relay).await?;
        connection.subscribe(self.bus.names.wake(self.relay.service())).await?;
        let broker = self.meet(&mut connection).await?;
        self.bus.note_success(WHO);
        loop {
            while !self.queue.is_empty() && !self.is_full {
                self.send(&mut connection, &broker).await?;
                self.take_offers();
                if self.look_at.is_some_and(|look_at| look_at <= Instant::now()) {
                    self.look(&mut connection, &broker).await?;
                }
            }
            let look_at = self.look_at;
            let look_time = async {
                match look_at {
                    Some(look_at) => tokio::time::sleep_until(look_at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                offer = self.offers.recv() => match offer {
                    Some(offer) => {
                        self.take(offer);
                        self.take_offers();
                    }
                    None => return Err(Trouble::Stopped),
                },
                () = look_time => self.look(&mut connection, &broker).await?,
            }
        }
    }

    /// Finds out which broker this is. If it is another than the one that the service published to, everything that is not
    /// acknowledged begins anew.
    async fn meet(&mut self, connection: &mut MultiplexedConnection) -> Result<Broker, Trouble> {
        let life = Uuid::new_v4().simple().to_string();
        let names = &self.bus.names;
        let (life, server): (String, String) = pipe()
            .cmd("SET")
            .arg(&names.life)
            .arg(life)
            .arg("NX")
            .ignore()
            .cmd("GET")
            .arg(&names.life)
            .cmd("INFO")
            .arg("server")
            .query_async(connection)
            .await?;
        let run = server.lines().find_map(|line| line.trim().strip_prefix("run_id:"));
        let broker = Broker { identity: format!("{}/{life}", run.unwrap_or("unknown")), life };
        if self.broker.as_ref().is_none_or(|known| known.identity != broker.identity) {
            self.recognise(&broker).await?;
            self.broker = Some(broker.clone());
        }
        // What was published before is looked after, too.
        self.look_soon();
        Ok(broker)
    }

    /// Begins a round with this broker.
    async fn recognise(&mut self, broker: &Broker) -> Result<(), Trouble> {
        let service = self.relay.service();
        self.relay.rest();
        self.queue.clear();
        self.checkpoint = None;
        let identity = broker.identity.clone();
        let known = self.database.write(move |tx| {
            position::note_first_contact(tx, &identity)?;
            Ok((position::read(tx)?, outbox::last(tx)?))
        });
        let (Some(known), last) = known.await? else {
            return Err(StoreError::engine("the broker was not noted").into());
        };
        self.position = known.position;
        if known.identity != broker.identity {
            let mut above = known.position;
            while above < last {
                let upto = last.min(above + AGAIN_AT_ONCE);
                self.database.write(move |tx| position::send_again(tx, above, upto)).await?;
                above = upto;
            }
            let identity = broker.identity.clone();
            self.database.write(move |tx| position::recognise(tx, &identity)).await?;
            let count = last - known.position;
            info!(service, "Another broker, or one that forgot: sends {count} events again");
        }
        self.round = self.relay.begin();
        Ok(())
    }

    fn take(&mut self, offer: Offer) {
        // What was offered before the round is in the table, and offered again.
        if offer.round == self.round {
            self.queue.extend(offer.events);
        }
    }

    fn take_offers(&mut self) {
        while let Ok(offer) = self.offers.try_recv() {
            self.take(offer);
        }
    }

    /// Sends a batch, and waits for the answer.
    async fn send(
        &mut self,
        connection: &mut MultiplexedConnection,
        broker: &Broker,
    ) -> Result<(), Trouble> {
        let batch = self.queue.len().min(BATCH_MAX);
        let parcels = parcel::pack(self.queue.iter().take(batch));
        if !parcels.is_empty() {
            let names = &self.bus.names;
            if !self.bus.scripts.publish(connection, names, &broker.life, &parcels).await? {
                return Err(Trouble::Forgot);
            }
            self.published_since_look = true;
        }
        let seqs: Vec<i64> = self.queue.drain(..batch).map(|stored| stored.seq).collect();
        self.relay.taken_over(self.round, &seqs);
        self.look_soon();
        Ok(())
    }

    fn look_soon(&mut self) {
        self.look_at.get_or_insert(Instant::now() + self.look_pause);
    }

    /// Looks how far the readers are: moves the position, and removes what nobody needs any more.
    async fn look(
        &mut self,
        connection: &mut MultiplexedConnection,
        broker: &Broker,
    ) -> Result<(), Trouble> {
        // The place first: everything up to it is before the ends that the look finds.
        let seen = self.relay.seen();
        let (complete, last) =
            self.database.read(|tx| Ok((position::complete(tx)?, outbox::last(tx)?))).await?;
        let place = complete.min(seen);
        let look = self.see(connection, broker).await?;
        self.note_position(&look, place, broker).await?;
        scripts::trim(connection, &self.bus.names, &look.trims(&self.all_readers)).await?;
        self.keep_small(&look, connection, broker).await?;
        self.look_at = None;
        self.is_busy = match (self.published_since_look, self.is_busy) {
            // What was much to do is done: it is soon acknowledged.
            (false, true) => {
                self.look_pause = LOOK_FIRST;
                false
            }
            (busy, _) => {
                self.look_pause = LOOK_EVERY.min(self.look_pause * 2);
                busy
            }
        };
        self.published_since_look = false;
        if self.position < last || self.is_full {
            self.look_soon();
        } else {
            self.look_pause = LOOK_FIRST;
        }
        Ok(())
    }

    async fn see(
        &self,
        connection: &mut MultiplexedConnection,
        broker: &Broker,
    ) -> Result<Look, Trouble> {
        let look = self.bus.scripts.look(connection, &self.bus.names, &self.all_readers).await?;
        if look.life == broker.life { Ok(look) } else { Err(Trouble::Forgot) }
    }

    /// Removes what only absent readers need from streams that are too large. They find that out when they are back, and
    /// it is sent again. If the readers that are there are slow, nothing more is added until they have caught up.
    async fn keep_small(
        &mut self,
        look: &Look,
        connection: &mut MultiplexedConnection,
        broker: &Broker,
    ) -> Result<(), Trouble> {
        let max = self.bus.stream_bytes_max;
        let too_large = look.too_large(max);
        if too_large.is_empty() {
            self.is_full = false;
            return Ok(());
        }
        let is_absent = |reader: &&&str| !look.alive.contains(*reader);
        let absent: Vec<&str> = self.all_readers.iter().filter(is_absent).copied().collect();
        for shard in too_large {
            let Some(before) = look.cut(shard, &self.all_readers) else { continue };
            let (scripts, names) = (&self.bus.scripts, &self.bus.names);
            let cut = (shard, before);
            if scripts.cut(connection, names, &broker.life, cut, &absent).await? {
                warn!("Cut off events that {absent:?} lack: they are sent again in time");
            }
        }
        let is_full = !self.see(connection, broker).await?.too_large(max).is_empty();
        if is_full && !self.is_full {
            info!(service = self.relay.service(), "Waits for readers that are slow");
        }
        self.is_full = is_full;
        Ok(())
    }

    async fn note_position(
        &mut self,
        look: &Look,
        place: i64,
        broker: &Broker,
    ) -> Result<(), Trouble> {
        let ends = look.ends();
        let here = Checkpoint { place, ends };
        let reached = [Some(here), self.checkpoint]
            .into_iter()
            .flatten()
            .find(|checkpoint| look.is_acknowledged(&checkpoint.ends, &self.readers));
        if let Some(Checkpoint { place, .. }) = reached {
            if place > self.position {
                let identity = broker.identity.clone();
                self.database.write(move |tx| position::advance(tx, &identity, place)).await?;
                self.position = place;
                debug!(service = self.relay.service(), "Acknowledged up to {place}");
            }
            self.checkpoint = None;
        }
        if reached.is_none_or(|reached| reached.place < place) {
            self.checkpoint.get_or_insert(here);
        }
        Ok(())
    }
}

/// Returns the services that read what such writers write.
fn readers(is_writer: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let entries = CATALOGUE.iter().filter(|entry| is_writer(entry.writer));
    let mut readers: Vec<&'static str> = entries.flat_map(|entry| entry.readers).copied().collect();
    readers.sort_unstable();
    readers.dedup();
    readers
}
