//! Redis Streams between the processes of services.
//!
//! - Events go to eight streams, the shards, by what they are about; each service that reads has a group on all of them.
//! - Redis may forget everything at any moment: the outboxes keep what is not acknowledged by every reader, and send it
//!   again when the broker has another [identity](publisher). Inboxes remove what is double.
//!
//! An entry of a stream holds some events that came together: a field an event, named by its type, so that who does not
//! read that type passes it over without reading it.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::redis::{AsyncConnectionConfig, PushInfo, PushKind, RedisResult, aio::MultiplexedConnection};
use contracts::{Timestamp, events::catalogue};
use tokio::sync::mpsc;
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    config::{self, ConfigError},
    database::{Database, chain},
    metrics::Metrics,
    outbox::{Relay, Stored},
    tls::Trust,
};

mod address;
mod answer;
mod beside;
mod figures;
mod guard;
mod look;
mod lookout;
mod parcel;
pub(crate) mod publisher;
mod reader;
mod scripts;
mod shares;
mod stream;
mod tenancy;

use address::Address;
use beside::Beside;
use figures::Figures;
pub(crate) use guard::Guard;
use publisher::{Offer, Publisher};
pub(crate) use reader::Reader;
pub(super) use reader::Receipt;
use scripts::Scripts;
use stream::Names;
pub(crate) use tenancy::Tenancy;

/// What the names of all keys begin with, unless something else is said.
const PREFIX: &str = "chefcito";
/// How much memory a stream takes at the most before something is done about it: what only absent readers need is removed,
/// and for present ones the relays wait. Eight of them are 256 MiB, 600,000 events, so that a Redis of 384 MiB has room for
/// all else.
const STREAM_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How long Redis may take to answer what does not wait for events.
const ANSWER_MAX: Duration = Duration::from_secs(2);
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
    /// What this process is called among the replicas of its services. After a restart it is called the same, so that it
    /// has at once what it had before.
    pub place: String,
}

impl Settings {
    /// Returns the usual settings for a Redis, and a place where nobody was before.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        let place = Uuid::new_v4().simple().to_string();
        let (prefix, stream_bytes_max) = (PREFIX.to_owned(), STREAM_BYTES_MAX);
        Self { url: url.into(), trust: Trust::default(), prefix, stream_bytes_max, place }
    }
}

/// A Redis that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A setting is not what it should be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address is none.
    #[error(
        "the address of Redis should be like redis://user:password@host:6379, or rediss://… for TLS"
    )]
    Url {
        /// What is wrong with it.
        source: ::redis::RedisError,
    },
}

/// Makes the bus that the environment asks for: Redis if `CHEFCITO_REDIS_URL` (or its `_FILE`) is set, with
/// `CHEFCITO_REDIS_PREFIX` before all keys; else one within the process. `trust` says whose certificates are trusted.
///
/// # Errors
/// `SettingsError` if a setting is not what it should be.
pub fn from_environment(trust: &Trust) -> Result<super::Bus, SettingsError> {
    let Some(url) = config::secret("CHEFCITO_REDIS_URL")? else {
        return Ok(super::Bus::in_process());
    };
    let expected = "what the names of Redis keys begin with";
    let prefix = config::read_or("CHEFCITO_REDIS_PREFIX", expected, PREFIX.to_owned())?;
    let mut settings = Settings { trust: trust.clone(), prefix, ..Settings::new(url) };
    if let Some(place) = place()? {
        settings.place = place;
    }
    super::Bus::redis(settings)
}

/// Returns the machine's name and the port; nothing if the port is any.
fn place() -> Result<Option<String>, ConfigError> {
    let address: Option<std::net::SocketAddr> =
        config::read("CHEFCITO_LISTEN", "an address and a port such as 127.0.0.1:7373")?;
    let port = address.map_or(0, |address| address.port());
    let uname = rustix::system::uname();
    let machine = uname.nodename().to_string_lossy();
    Ok((port != 0).then(|| format!("{machine}:{port}")))
}

/// The bus itself.
pub struct Redis {
    address: Address,
    names: Names,
    scripts: Scripts,
    stream_bytes_max: u64,
    place: String,
    /// The services of this process.
    members: Mutex<HashMap<&'static str, Member>>,
    /// Who fails to reach Redis.
    troubles: Mutex<HashMap<&'static str, Trouble>>,
    /// For questions beside the way of events.
    beside: tokio::sync::Mutex<Beside>,
    figures: Figures,
}

/// Since when somebody fails to reach Redis, and why now.
struct Trouble {
    since: Timestamp,
    why: String,
}

struct Member {
    /// Where its relay hands in what it offers.
    offers: mpsc::UnboundedSender<Offer>,
    tenancy: Arc<Tenancy>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Redis").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Redis {
    pub(super) fn new(settings: Settings) -> Result<Self, SettingsError> {
        Ok(Self {
            address: Address::read(&settings.url, &settings.trust)?,
            names: Names::new(&settings.prefix),
            scripts: Scripts::default(),
            stream_bytes_max: settings.stream_bytes_max,
            place: settings.place,
            members: Mutex::default(),
            troubles: Mutex::default(),
            beside: tokio::sync::Mutex::default(),
            figures: Figures::default(),
        })
    }

    pub(super) fn offer(&self, service: &'static str, round: u64, events: Vec<Stored>) {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(member) = members.get(service) {
            // A publisher that has ended leaves its events in the table: the next process offers them.
            let _ = member.offers.send(Offer { round, events });
        }
    }

    /// Lets a service take part; returns what carries its events to Redis, and its part among its replicas.
    pub(crate) fn join(
        self: &Arc<Self>,
        relay: Arc<Relay>,
        database: Database,
    ) -> (Publisher, Arc<Tenancy>) {
        let (offers, offered) = mpsc::unbounded_channel();
        let service = relay.service();
        let tenancy = Tenancy::new(database.clone(), &self.place, catalogue::is_writer(service));
        let member = Member { offers, tenancy: Arc::clone(&tenancy) };
        self.members.lock().unwrap_or_else(PoisonError::into_inner).insert(service, member);
        let held = tenancy.held();
        (Publisher::new(Arc::clone(self), relay, database, offered, held), tenancy)
    }

    /// Subscribes a service that takes part.
    ///
    /// # Panics
    /// If it does not.
    pub(super) fn subscribe(self: &Arc<Self>, reader: &'static str) -> Reader {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let member = members.get(reader).expect("a service is opened before it reads");
        member.tenancy.read();
        Reader::new(Arc::clone(self), reader, Arc::clone(&member.tenancy))
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
        let why = chain(error);
        match troubles.get_mut(who) {
            Some(trouble) => trouble.why = why,
            None => {
                warn!("Redis does not answer the {who}: {why}");
                troubles.insert(who, Trouble { since: Timestamp::now(), why });
            }
        }
    }

    /// Notes that someone works with Redis.
    fn note_success(&self, who: &'static str) {
        let ended = self.troubles.lock().unwrap_or_else(PoisonError::into_inner).remove(who);
        if let Some(Trouble { since, .. }) = ended {
            info!("Redis answers the {who} again, after {since}");
        }
    }

    /// Adds the figures of the bus to those of a process.
    pub(crate) fn register(&self, metrics: &Metrics) {
        metrics.register(|registry| self.figures.register(registry));
    }

    /// Returns since when Redis does not answer and why, if it does not.
    pub(crate) fn away(&self) -> Option<(Timestamp, String)> {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let first = troubles.values().min_by_key(|trouble| trouble.since)?;
        Some((first.since, first.why.clone()))
    }
}

fn within(answer_max: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_response_timeout(Some(answer_max))
}
