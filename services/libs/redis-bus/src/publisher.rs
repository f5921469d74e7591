//! Carries the events of one service to Redis, and knows up to where every reader has acknowledged them.
//!
//! - Of several replicas of the service one publishes. The others wake it after a commit; its poll is the safety net.
//! - One batch is on its way at a time; what is offered meanwhile is the next. Without an answer it is sent again, and
//!   what comes behind it waits, so that events stay in order.
//! - The broker has an identity: the process that Redis is, and a *incarnation*, which is lost when it forgets. If it is another
//!   than the one that the service published to, everything above the position is offered again.
//! - How far the readers are is looked up now and then: see [`super::progress`].

use std::{collections::VecDeque, convert::Infallible, sync::Arc};

use ::redis::{RedisError, aio::MultiplexedConnection, cmd, pipe};
use contracts::events::catalogue;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::{
    PAUSE, PAUSE_MAX, RedisBus,
    membership::Held,
    parcel,
    progress::{ProgressTracker, View},
};
use events::outbox::{Relay, Stored, position};
use store::{Database, StoreError, jittered};

/// What its failures are noted under.
const WHO: &str = "publisher";
/// How many events are sent at once: enough that an answer costs each little, few enough that Redis is not held up.
const BATCH_MAX: usize = 512;

/// Events that a relay offers.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(super) round: u64,
    pub(super) events: Vec<Stored>,
}

/// The publisher of one service.
#[derive(Debug)]
pub(crate) struct Publisher {
    bus: Arc<RedisBus>,
    relay: Arc<Relay>,
    database: Database,
    offers: mpsc::UnboundedReceiver<Offer>,
    held: watch::Receiver<Held>,
    /// What was offered in this round and is not answered.
    queue: VecDeque<Stored>,
    round: u64,
    /// The broker that it publishes to, once it is known.
    broker: Option<Broker>,
    progress: ProgressTracker,
}

/// The broker of this round.
#[derive(Clone, Debug)]
pub(super) struct Broker {
    pub(super) identity: String,
    pub(super) incarnation: String,
}

/// Why a connection was given up.
pub(super) enum Trouble {
    Stopped,
    Redis(RedisError),
    /// The broker forgot: it lives another incarnation.
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
        bus: Arc<RedisBus>,
        relay: Arc<Relay>,
        database: Database,
        offers: mpsc::UnboundedReceiver<Offer>,
        held: watch::Receiver<Held>,
    ) -> Self {
        let progress = ProgressTracker::new(relay.service());
        let (queue, round, broker) = (VecDeque::new(), 0, None);
        Self { bus, relay, database, offers, held, queue, round, broker, progress }
    }

    /// Publishes until it is told to stop. What is not answered then is offered by the next process.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        if !catalogue::is_writer(self.relay.service()) {
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
            // Another publishes now. Whatever was on its way is in the outbox.
            self.relay.rest();
            self.queue.clear();
            self.broker = None;
            self.progress.rest();
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
                tokio::time::sleep(PAUSE_MAX).await;
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
                Trouble::Redis(error) => {
                    self.bus.note_failure(WHO, &error);
                    self.bus.figures.reconnected(self.relay.service());
                }
                Trouble::Store(error) => {
                    warn!("The publisher waits for its database: {error}");
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
            while !self.queue.is_empty() && !self.progress.is_full() {
                self.send(&mut connection, &broker).await?;
                self.take_offers();
                if self.progress.is_due() {
                    self.look(&mut connection, &broker).await?;
                }
            }
            tokio::select! {
                offer = self.offers.recv() => match offer {
                    Some(offer) => {
                        self.take(offer);
                        self.take_offers();
                    }
                    None => return Err(Trouble::Stopped),
                },
                () = self.progress.due() => self.look(&mut connection, &broker).await?,
            }
        }
    }

    async fn look(
        &mut self,
        connection: &mut MultiplexedConnection,
        broker: &Broker,
    ) -> Result<(), Trouble> {
        let Self { bus, relay, database, progress, .. } = self;
        progress.look(&View { bus, relay, database, broker }, connection).await
    }

    /// Finds out which broker this is. If it is another than the one that the service published to, everything that is not
    /// acknowledged begins anew.
    async fn meet(&mut self, connection: &mut MultiplexedConnection) -> Result<Broker, Trouble> {
        let incarnation = Uuid::new_v4().simple().to_string();
        let names = &self.bus.names;
        let (incarnation, server): (String, String) = pipe()
            .cmd("SET")
            .arg(&names.incarnation)
            .arg(incarnation)
            .arg("NX")
            .ignore()
            .cmd("GET")
            .arg(&names.incarnation)
            .cmd("INFO")
            .arg("server")
            .query_async(connection)
            .await?;
        let run = server.lines().find_map(|line| line.trim().strip_prefix("run_id:"));
        let broker =
            Broker { identity: format!("{}/{incarnation}", run.unwrap_or("unknown")), incarnation };
        if self.broker.as_ref().is_none_or(|known| known.identity != broker.identity) {
            self.recognise(&broker).await?;
            self.broker = Some(broker.clone());
        }
        // What was published before is looked after, too.
        self.progress.look_soon();
        Ok(broker)
    }

    /// Begins a round with this broker, behind what it was given.
    async fn recognise(&mut self, broker: &Broker) -> Result<(), Trouble> {
        self.relay.rest();
        self.queue.clear();
        let identity = broker.identity.clone();
        let (before, now) = self.database.write(move |tx| position::meet(tx, &identity)).await?;
        if before.identity != now.identity && before.identity != position::UNKNOWN {
            let count = before.handed_over - now.position;
            info!("Another Redis, or one that forgot: sends {count} events again");
            self.bus.figures.sent_again(self.relay.service(), count);
        }
        self.progress.begin(now.position, now.handed_over);
        self.round = self.relay.begin(now.handed_over);
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
            if !self.bus.scripts.publish(connection, names, &broker.incarnation, &parcels).await? {
                return Err(Trouble::Forgot);
            }
            self.progress.note_published();
        }
        self.bus.figures.published(self.relay.service(), batch);
        let seqs: Vec<i64> = self.queue.drain(..batch).map(|stored| stored.seq).collect();
        self.relay.taken_over(self.round, &seqs);
        self.progress.look_soon();
        Ok(())
    }
}
