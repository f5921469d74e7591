//! The bus between the processes of services, over Redis Streams.
//!
//! Guarantees what every [`Bus`] does, also when Redis is emptied, replaced or away, and when replicas of a service come
//! and go: each shard has one reader and each outbox one publisher, by leases in the service's own database.
//!
//! Does not know: what an event means, how a service acts on it, the environment's variables.
//!
//! - Events go to eight streams, the shards, by what they are about; each service that reads has a group on all of them.
//! - Redis may forget everything at any moment: the outboxes keep what is not acknowledged by every reader, and send it
//!   again when the broker has another identity (see `publisher`). Inboxes remove what is double.
//!
//! An entry of a stream holds some events that came together: a field an event, named by its type, so that a reader
//! passes over a type that it knows and does not act on without reading it.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use ::redis::{AsyncConnectionConfig, PushInfo, PushKind, RedisResult, aio::MultiplexedConnection};
use contracts::{
    Timestamp,
    events::catalogue::{self, Catalogue},
};
use events::{Bus, Consumer, Relay, Stored};
use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;
use store::{Database, service_span, tls::Trust};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, info, warn};
use uuid::Uuid;

mod account;
mod address;
mod answer;
mod control;
mod figures;
mod guard;
mod membership;
mod parcel;
mod progress;
mod publisher;
mod reader;
mod rebalance;
mod refusal;
mod scripts;
mod snapshot;
mod stream;

pub use account::account;

use address::Address;
use control::ControlConnection;
use figures::Figures;
use membership::Membership;
use publisher::{Offer, Publisher};
use reader::Reader;
use scripts::Scripts;
use stream::Names;

/// What the names of all keys begin with, unless something else is said.
pub const PREFIX: &str = "chefcito";
/// How much memory a stream takes at the most before something is done about it: what only absent readers need is removed,
/// and for present ones the relays wait. Eight of them are 256 MiB, 600,000 events, so that a Redis of 384 MiB has room for
/// all else.
const STREAM_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How long Redis may take to answer what does not wait for events.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// How long a reader lets events gather after each batch that was not full: at 500 events a second two or three share a
/// transaction, an exchange with Redis and an acknowledgement. An event that comes to a reader at rest does not wait.
const GATHER: Duration = Duration::from_millis(3);
/// How long to wait after Redis failed; doubled up to the next figure.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest pause while Redis is away: so long may it take at the most until it is found again.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Where Redis is, and how it is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its address: `redis://user:password@host:port`, or `rediss://…` if it is to be spoken to in TLS.
    pub url: String,
    /// Whose certificates are trusted then.
    pub trust: Trust,
    /// What the names of all keys begin with.
    pub prefix: String,
    /// How much memory a stream takes at the most before something is done about it.
    pub stream_bytes_max: u64,
    /// The id of this process among the replicas of its services. It is the same after a restart, so that the process gets
    /// the leases of its predecessor at once.
    pub instance_id: String,
}

impl Settings {
    /// Returns the usual settings for a Redis, and an instance id that no other process has.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        let instance_id = Uuid::new_v4().simple().to_string();
        let (prefix, stream_bytes_max) = (PREFIX.to_owned(), STREAM_BYTES_MAX);
        Self { url: url.into(), trust: Trust::default(), prefix, stream_bytes_max, instance_id }
    }
}

/// The address is none.
#[derive(Debug, thiserror::Error)]
#[error(
    "the address of Redis should be like redis://user:password@host:6379, or rediss://… for TLS"
)]
pub struct AddressError {
    /// What is wrong with it.
    source: ::redis::RedisError,
}

/// Makes the bus of a process over a Redis, which may be away.
///
/// # Errors
/// [`AddressError`] if its address is none.
pub fn open(settings: Settings) -> Result<Arc<dyn Bus>, AddressError> {
    Ok(Arc::new(RedisBus::new(settings)?))
}

/// The bus of one process.
struct RedisBus {
    address: Address,
    names: Names,
    scripts: Scripts,
    stream_bytes_max: u64,
    instance_id: String,
    /// The services of this process.
    members: Mutex<HashMap<&'static str, Member>>,
    /// Who fails to reach Redis.
    troubles: Mutex<HashMap<&'static str, Trouble>>,
    /// For questions beside the way of events.
    control: tokio::sync::Mutex<ControlConnection>,
    figures: Figures,
}

/// Since when a part of the bus can't work with Redis, and why now.
struct Trouble {
    since: Timestamp,
    what: &'static str,
    why: String,
}

struct Member {
    /// Where its relay hands in what it offers.
    offers: mpsc::UnboundedSender<Offer>,
    membership: Arc<Membership>,
}

impl fmt::Debug for RedisBus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RedisBus").field("names", &self.names).finish_non_exhaustive()
    }
}

impl RedisBus {
    fn new(settings: Settings) -> Result<Self, AddressError> {
        Ok(Self {
            address: Address::read(&settings.url, &settings.trust)?,
            names: Names::new(&settings.prefix),
            scripts: Scripts::default(),
            stream_bytes_max: settings.stream_bytes_max,
            instance_id: settings.instance_id,
            members: Mutex::default(),
            troubles: Mutex::default(),
            control: tokio::sync::Mutex::default(),
            figures: Figures::default(),
        })
    }

    /// Subscribes a service that takes part.
    ///
    /// # Panics
    /// If it does not.
    fn subscribe(self: &Arc<Self>, reader: &'static str, catalogue: Catalogue) -> Reader {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let member = members.get(reader).expect("a service is opened before it reads");
        member.membership.read();
        Reader::new(Arc::clone(self), reader, catalogue, Arc::clone(&member.membership))
    }

    /// Makes a connection on which an answer may take so long.
    async fn connect(&self, answer_max: Duration) -> RedisResult<MultiplexedConnection> {
        self.address.connect(within(answer_max)).await
    }

    /// Makes a connection that wakes a relay when another replica of its service has committed.
    async fn connect_for(&self, relay: &Arc<Relay>) -> RedisResult<MultiplexedConnection> {
        let relay = Arc::downgrade(relay);
        let config = within(ANSWER_MAX).set_push_sender(move |push: PushInfo| {
            if push.kind == PushKind::Message
                && let Some(relay) = relay.upgrade()
            {
                relay.wake();
            }
            Ok::<_, Infallible>(())
        });
        self.address.connect_pushing(config).await
    }

    /// Notes that someone could not work with Redis.
    fn note_failure(&self, who: &'static str, error: &::redis::RedisError) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let (what, why) = refusal::describe(error);
        let before = troubles.get(who);
        if before.is_none_or(|trouble| trouble.what != what) {
            warn!("Redis {what} for the {who}: {why}");
        }
        let since = before.map_or_else(Timestamp::now, |trouble| trouble.since);
        troubles.insert(who, Trouble { since, what, why });
    }

    /// Notes that someone works with Redis.
    fn note_success(&self, who: &'static str) {
        let ended = self.troubles.lock().unwrap_or_else(PoisonError::into_inner).remove(who);
        if let Some(Trouble { since, .. }) = ended {
            info!("Redis works for the {who} again; it did not since {since}");
        }
    }

    /// Returns a sentence on what is wrong with Redis and since when, if anything is.
    fn trouble(&self) -> Option<String> {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let first = troubles.values().min_by_key(|trouble| trouble.since)?;
        let Trouble { since, what, why } = first;
        Some(format!("Redis {what} since {since}: {why}"))
    }
}

impl Bus for RedisBus {
    fn is_broker(&self) -> bool {
        true
    }

    fn join(
        self: Arc<Self>,
        relay: &Arc<Relay>,
        database: &Database,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let (offers, offered) = mpsc::unbounded_channel();
        let service = relay.service();
        self.figures.joined(service);
        let membership =
            Membership::new(database.clone(), &self.instance_id, catalogue::is_writer(service));
        let member = Member { offers, membership: Arc::clone(&membership) };
        self.members.lock().unwrap_or_else(PoisonError::into_inner).insert(service, member);
        let (relay, held) = (Arc::clone(relay), membership.held());
        let publisher = Publisher::new(self, relay, database.clone(), offered, held);
        let span = service_span(service);
        tasks.spawn(publisher.run(stop.clone()).instrument(span.clone()));
        tasks.spawn(membership.run(stop.clone()).instrument(span));
    }

    fn offer(
        self: Arc<Self>,
        _: &Weak<Relay>,
        service: &'static str,
        round: u64,
        events: Vec<Stored>,
    ) {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(member) = members.get(service) {
            // A publisher that has ended leaves its events in the table: the next process offers them.
            let _ = member.offers.send(Offer { round, events });
        }
    }

    fn consume(
        self: Arc<Self>,
        consumer: Consumer,
        stop: CancellationToken,
    ) -> BoxFuture<'static, ()> {
        let subscription = self.subscribe(consumer.service(), consumer.catalogue());
        Box::pin(consumer.with_pause_at_least(GATHER).run(subscription, stop))
    }

    fn note_published_below(&self, writer: &'static str, id: Uuid) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if catalogue::is_writer(writer) {
                self.tell_published_below(writer, id).await;
            }
        })
    }

    fn published_below(&self, reader: &'static str) -> BoxFuture<'_, Option<Uuid>> {
        Box::pin(async move {
            if !catalogue::is_reader(reader) {
                return None;
            }
            self.ask_published_below().await
        })
    }

    fn waiting(&self, reader: &'static str) -> BoxFuture<'_, i64> {
        Box::pin(async move {
            if !catalogue::is_reader(reader) {
                return 0;
            }
            self.ask_waiting(reader).await
        })
    }

    fn degraded(&self) -> Option<String> {
        Some(format!("degraded: {}", self.trouble()?))
    }

    fn register(&self, registry: &mut Registry) {
        self.figures.register(registry);
    }
}

fn within(answer_max: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_response_timeout(Some(answer_max))
}
