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
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::redis::{AsyncConnectionConfig, Client, RedisResult, aio::MultiplexedConnection};
use contracts::{Timestamp, events::catalogue};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::{
    config::{self, ConfigError},
    database::{Database, chain},
    outbox::{Relay, Stored},
};

mod look;
mod parcel;
pub(crate) mod publisher;
mod reader;
mod scripts;
mod stream;

use publisher::{Offer, Publisher};
pub(crate) use reader::Reader;
pub(super) use reader::Receipt;
use scripts::Scripts;
use stream::Names;

/// What the names of all keys begin with, unless something else is said.
const PREFIX: &str = "chefcito";
/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How long Redis may take to answer what does not wait for events.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// How long a question beside the way of events waits for Redis.
const ASIDE_MAX: Duration = Duration::from_millis(300);
/// How long to wait after Redis failed; doubled up to the next figure.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest pause while Redis is away: so long may it take at the most until it is found again.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Where Redis is, and how it is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its address: `redis://user:password@host:port`.
    pub url: String,
    /// What the names of all keys begin with.
    pub prefix: String,
}

impl Settings {
    /// Returns the usual settings for a Redis.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), prefix: PREFIX.to_owned() }
    }
}

/// A Redis that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A setting is not what it should be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address is none.
    #[error("the address of Redis should be like redis://user:password@host:6379")]
    Url {
        /// What is wrong with it.
        source: ::redis::RedisError,
    },
}

/// Makes the bus that the environment asks for: Redis if `CHEFCITO_REDIS_URL` (or its `_FILE`) is set, with
/// `CHEFCITO_REDIS_PREFIX` before all keys; else one within the process.
///
/// # Errors
/// [`SettingsError`] if a setting is not what it should be.
pub fn from_environment() -> Result<super::Bus, SettingsError> {
    let Some(url) = config::secret("CHEFCITO_REDIS_URL")? else {
        return Ok(super::Bus::in_process());
    };
    let expected = "what the names of Redis keys begin with";
    let prefix = config::read_or("CHEFCITO_REDIS_PREFIX", expected, PREFIX.to_owned())?;
    super::Bus::redis(Settings { prefix, ..Settings::new(url) })
}

/// The bus itself.
pub struct Redis {
    client: Client,
    names: Names,
    scripts: Scripts,
    /// Where each writer of this process hands in what it offers.
    publishers: Mutex<HashMap<&'static str, mpsc::UnboundedSender<Offer>>>,
    /// Who fails to reach Redis, since when.
    troubles: Mutex<HashMap<&'static str, Timestamp>>,
    /// For questions beside the way of events.
    beside: tokio::sync::Mutex<Beside>,
}

#[derive(Default)]
struct Beside {
    connection: Option<MultiplexedConnection>,
    /// What was last known to wait for each reader.
    waiting: HashMap<String, i64>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Redis").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Redis {
    pub(super) fn new(settings: Settings) -> Result<Self, SettingsError> {
        let client = Client::open(settings.url.as_str());
        Ok(Self {
            client: client.map_err(|source| SettingsError::Url { source })?,
            names: Names::new(&settings.prefix),
            scripts: Scripts::default(),
            publishers: Mutex::default(),
            troubles: Mutex::default(),
            beside: tokio::sync::Mutex::default(),
        })
    }

    pub(super) fn offer(&self, service: &'static str, round: u64, events: Vec<Stored>) {
        let publishers = self.publishers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(publisher) = publishers.get(service) {
            // A publisher that has ended leaves its events in the table: the next process offers them.
            let _ = publisher.send(Offer { round, events });
        }
    }

    /// Makes what carries the events of a relay to Redis.
    pub(crate) fn publisher(self: &Arc<Self>, relay: Arc<Relay>, database: Database) -> Publisher {
        let (sender, offers) = mpsc::unbounded_channel();
        let mut publishers = self.publishers.lock().unwrap_or_else(PoisonError::into_inner);
        publishers.insert(relay.service(), sender);
        Publisher::new(Arc::clone(self), relay, database, offers)
    }

    pub(super) fn subscribe(self: &Arc<Self>, reader: &'static str) -> Reader {
        Reader::new(Arc::clone(self), reader)
    }

    /// Makes a connection on which an answer may take so long.
    async fn connect(&self, answer_max: Duration) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_MAX))
            .set_response_timeout(Some(answer_max));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Returns how many entries a reader has not acknowledged; the last known figure while Redis does not answer.
    pub(super) async fn waiting(&self, reader: &str) -> i64 {
        let mut beside = self.beside.lock().await;
        let looked = self.ask(&mut beside.connection, async |connection| {
            self.scripts.look(connection, &self.names).await
        });
        if let Some(look) = looked.await {
            beside.waiting.insert(reader.to_owned(), look.waiting(reader));
        }
        beside.waiting.get(reader).copied().unwrap_or(0)
    }

    /// Asks Redis beside the way of events; nothing if it does not answer soon.
    async fn ask<T>(
        &self,
        kept: &mut Option<MultiplexedConnection>,
        question: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Option<T> {
        // A connection on which something was left unanswered is not kept.
        let before = kept.take();
        let asked = async {
            let mut connection = match before {
                Some(connection) => connection,
                None => self.connect(ASIDE_MAX).await?,
            };
            let answer = question(&mut connection).await?;
            Ok::<_, ::redis::RedisError>((connection, answer))
        };
        let (connection, answer) = tokio::time::timeout(ASIDE_MAX, asked).await.ok()?.ok()?;
        *kept = Some(connection);
        Some(answer)
    }

    pub(super) async fn note_published_below(&self, writer: &str, id: Uuid) {
        let mut beside = self.beside.lock().await;
        let noted = self.ask(&mut beside.connection, async |connection| {
            let mut call = ::redis::cmd("HSET");
            call.arg(&self.names.published).arg(writer).arg(id.to_string());
            call.exec_async(connection).await
        });
        if noted.await.is_none() {
            debug!("Redis was not told what {writer} has published");
        }
    }

    pub(super) async fn published_below(&self) -> Option<Uuid> {
        let mut beside = self.beside.lock().await;
        let told: HashMap<String, String> = self
            .ask(&mut beside.connection, async |connection| {
                ::redis::cmd("HGETALL").arg(&self.names.published).query_async(connection).await
            })
            .await?;
        let of_writers =
            catalogue::CATALOGUE.iter().map(|entry| told.get(entry.writer)?.parse().ok());
        of_writers.collect::<Option<Vec<Uuid>>>()?.into_iter().min()
    }

    /// Notes that someone could not work with Redis.
    fn note_failure(&self, who: &'static str, error: &::redis::RedisError) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if let std::collections::hash_map::Entry::Vacant(entry) = troubles.entry(who) {
            entry.insert(Timestamp::now());
            warn!("Redis does not answer the {who}: {}", chain(error));
        }
    }

    /// Notes that someone works with Redis.
    fn note_success(&self, who: &'static str) {
        let ended = self.troubles.lock().unwrap_or_else(PoisonError::into_inner).remove(who);
        if let Some(since) = ended {
            info!("Redis answers the {who} again, after {since}");
        }
    }

    /// Returns since when Redis does not answer, if it does not.
    pub(crate) fn away_since(&self) -> Option<Timestamp> {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.values().min().copied()
    }
}
