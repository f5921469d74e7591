//! Looks how far the readers are: moves the position of a writer, and keeps the streams short.
//!
//! The position moves by checkpoints: the `seq` up to which everything was handed over, and the last entry of every stream
//! after that. When all readers have acknowledged those entries, they have acknowledged everything up to that `seq`.

use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use contracts::events::catalogue::CATALOGUE;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{
    RedisBus,
    publisher::{Broker, Trouble},
    scripts,
    snapshot::StreamSnapshot,
    stream::{Each, Id},
};
use events::outbox::{Relay, position};
use store::{Database, Tx};

/// How soon after an event was handed over the relay looks who has acknowledged it; doubled up to the next figure.
const LOOK_FIRST: Duration = Duration::from_millis(50);
/// How often it looks at the most while there is much to do, and while a reader is away.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A `seq` of the outbox, and the last entry of each stream at that time.
#[derive(Clone, Copy, Debug)]
struct Checkpoint {
    seq: i64,
    ends: Each<Id>,
}

/// What is known of the readers of one writer.
#[derive(Debug)]
pub(super) struct ProgressTracker {
    /// Who reads what the service writes, and who reads anything.
    readers: Vec<&'static str>,
    all_readers: Vec<&'static str>,
    checkpoint: Option<Checkpoint>,
    /// What the database knows.
    position: i64,
    handed_over: i64,
    look_at: Option<Instant>,
    look_pause: Duration,
    published_since_look: bool,
    /// Whether much was published lately.
    is_busy: bool,
    /// Whether a stream is so large that nothing more is added.
    is_full: bool,
}

/// What it looks at.
pub(super) struct View<'a> {
    pub(super) bus: &'a RedisBus,
    pub(super) relay: &'a Relay,
    pub(super) database: &'a Database,
    pub(super) broker: &'a Broker,
}

impl ProgressTracker {
    pub(super) fn new(service: &str) -> Self {
        Self {
            readers: readers(|writer| writer == service),
            all_readers: readers(|_| true),
            checkpoint: None,
            position: 0,
            handed_over: 0,
            look_at: None,
            look_pause: LOOK_FIRST,
            published_since_look: false,
            is_busy: false,
            is_full: false,
        }
    }

    /// Begins with a broker that was given every event up to `handed_over`; all readers acknowledged those up to `position`.
    pub(super) fn begin(&mut self, position: i64, handed_over: i64) {
        self.checkpoint = None;
        (self.position, self.handed_over) = (position, handed_over);
        self.is_full = false;
    }

    /// Looks no more, until it is asked to.
    pub(super) fn rest(&mut self) {
        self.look_at = None;
    }

    /// Returns whether nothing may be added until the readers have caught up.
    pub(super) const fn is_full(&self) -> bool {
        self.is_full
    }

    pub(super) const fn note_published(&mut self) {
        self.published_since_look = true;
    }

    pub(super) fn look_soon(&mut self) {
        self.look_at.get_or_insert(Instant::now() + self.look_pause);
    }

    pub(super) fn is_due(&self) -> bool {
        self.look_at.is_some_and(|look_at| look_at <= Instant::now())
    }

    /// Waits until it is time to look.
    pub(super) async fn due(&self) {
        match self.look_at {
            Some(look_at) => tokio::time::sleep_until(look_at).await,
            None => std::future::pending().await,
        }
    }

    /// Looks how far the readers are: moves the position, and removes what nobody needs any more.
    pub(super) async fn look(
        &mut self,
        view: &View<'_>,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), Trouble> {
        // The `seq` first: every event up to it is before the ends that the look finds.
        let (seq, is_more) = view.relay.handed_over();
        let look = self.see(view, connection).await?;
        self.note(view, &look, seq).await?;
        scripts::trim(connection, &view.bus.names, &look.trims(&self.all_readers)).await?;
        self.keep_small(view, &look, connection).await?;
        view.bus.figures.looked(view.relay.service(), seq - self.position);
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
        if is_more || self.position < seq || self.is_full {
            self.look_soon();
        } else {
            self.look_pause = LOOK_FIRST;
        }
        Ok(())
    }

    async fn see(
        &self,
        view: &View<'_>,
        connection: &mut MultiplexedConnection,
    ) -> Result<StreamSnapshot, Trouble> {
        let look = view.bus.scripts.look(connection, &view.bus.names, &self.all_readers).await?;
        if look.incarnation == view.broker.incarnation { Ok(look) } else { Err(Trouble::Forgot) }
    }

    /// Removes what only absent readers need from streams that are too large. They find that out when they are back, and
    /// it is sent again. If the readers that are there are slow, nothing more is added until they have caught up.
    async fn keep_small(
        &mut self,
        view: &View<'_>,
        look: &StreamSnapshot,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), Trouble> {
        let max = view.bus.stream_bytes_max;
        let too_large = look.too_large(max);
        if too_large.is_empty() {
            self.is_full = false;
            return Ok(());
        }
        let is_absent = |reader: &&&str| !look.alive.contains(*reader);
        let absent: Vec<&str> = self.all_readers.iter().filter(is_absent).copied().collect();
        for shard in too_large {
            let Some(before) = look.cut(shard, &self.all_readers) else { continue };
            let (scripts, names) = (&view.bus.scripts, &view.bus.names);
            let cut = (shard, before);
            if scripts.cut(connection, names, &view.broker.incarnation, cut, &absent).await? {
                let lacking = absent.join(", ");
                warn!("Cut off events that {lacking} lack: they are sent again in time");
            }
        }
        let is_full = !self.see(view, connection).await?.too_large(max).is_empty();
        if is_full && !self.is_full {
            info!("Waits for readers that are slow");
        }
        self.is_full = is_full;
        Ok(())
    }

    /// Notes up to where everything was handed over, and up to where it is acknowledged.
    async fn note(
        &mut self,
        view: &View<'_>,
        look: &StreamSnapshot,
        seq: i64,
    ) -> Result<(), Trouble> {
        let here = Checkpoint { seq, ends: look.ends() };
        let reached = [Some(here), self.checkpoint]
            .into_iter()
            .flatten()
            .find(|checkpoint| look.is_acknowledged(&checkpoint.ends, &self.readers));
        let position = reached.map_or(self.position, |reached| reached.seq.max(self.position));
        if (position, seq) != (self.position, self.handed_over) {
            let identity = view.broker.identity.clone();
            let noted = move |tx: &mut Tx<'_>| position::advance(tx, &identity, position, seq);
            view.database.write(noted).await?;
            debug!("Acknowledged up to {position} of {seq}");
            (self.position, self.handed_over) = (position, seq);
        }
        match reached {
            Some(Checkpoint { seq: reached, .. }) if reached == seq => self.checkpoint = None,
            Some(_) => self.checkpoint = Some(here),
            None => {
                self.checkpoint.get_or_insert(here);
            }
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
