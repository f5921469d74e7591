//! The one public door of the environment: who asks, what they may, and who answers.
//!
//! Guarantees: [`Gateway::router`] has one way for every request: found in the table of `routes`, let in by `door`, answered
//! by a [`Backend`] or by the gateway's `own`. What is not in the table is denied; a key is kept as a hash, and once revoked
//! stays so; what one key or address may ask is bounded. Stories, status and the audit are put together from all services.
//!
//! Does not know: what an answer of a service means, where services are (`backends`), what must hold across them (`audit`).
//! It reads and writes no events.

mod commands;
mod door;
mod keys;
mod limits;
mod live;
mod openapi;
mod own;
pub mod page;
mod queries;
mod routes;
mod sessions;
mod store;
mod trace;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ::store::{OpenError as DatabaseError, StoreError};
use axum::{
    Router,
    extract::{Request, State},
    response::Response,
};
use backends::{Backend, Backends};
use contracts::{
    api::gateway::Role,
    services::{GATEWAY, MARKET_SIM},
};
use service::{
    Pace, ServiceContext,
    config::{self, ConfigError},
    http::Limits,
};
use tokio::sync::{Mutex, Notify, Semaphore};
use tracing::warn;

pub use keys::new_key;
pub use limits::{ParseRateError, Rate};
pub use sessions::{ParsePublicUrlError, PublicUrl};
pub use trace::{ParseTraceRatioError, TraceRatio};

use crate::{
    door::Door,
    keys::{KeyRing, KeyText, Prover},
    limits::Addresses,
    live::Live,
    trace::Tracer,
};

/// The one request that reads everything, and how long it may take: a million orders are audited in about a minute.
const LONG_REQUEST: (&str, Duration) = ("/v1/audit", Duration::from_secs(600));

/// How many connections one address may have: half of all, so that none shuts the others out. It is that much because all guests
/// who come through a proxy have its address; the load generator uses 512 at the most.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 2_048;
/// How often the keys are read again: another gateway may have revoked one.
const LEARN_EVERY: Duration = Duration::from_secs(1);
/// The shortest pepper, in bytes, that a gateway with a database of its own takes: a shorter one could be tried out by who has
/// the hashes.
const PEPPER_BYTES_MIN: usize = 16;
/// What the first key is called.
const FIRST_KEY: &str = "first admin";

/// Returns the limits within which the gateway is served.
#[must_use]
pub fn limits() -> Limits {
    Limits {
        long_request: Some(LONG_REQUEST),
        connections_per_address_max: CONNECTIONS_PER_ADDRESS_MAX,
        ..Limits::default()
    }
}

/// The settings of the gateway.
#[derive(Clone)]
pub struct Config {
    /// The secret that keys are hashed with. A copy of the database without it does not suffice to try out keys.
    pub key_pepper: String,
    /// The first admin key, which is saved at each start and has no rate limit. Once revoked, it stays revoked. [`new_key`] makes
    /// one.
    pub admin_key: Option<String>,
    /// The port by which clients reach the gateway: a proof that it holds the admin key covers it. `None` or 0 if it is not known.
    pub public_port: Option<u16>,
    /// The address under which browsers reach the gateway, beside those of its own machine: that of a server in front of it.
    pub public_url: Option<PublicUrl>,
    /// How much one key may ask.
    pub rate: Rate,
    /// How much one address may ask that shows no key.
    pub guest_rate: Rate,
    /// Which share of new traces is recorded.
    pub trace_ratio: TraceRatio,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Config")
            .field("rate", &self.rate)
            .field("guest_rate", &self.guest_rate)
            .field("trace_ratio", &self.trace_ratio)
            .finish_non_exhaustive()
    }
}

impl Default for Config {
    /// A pepper of nothing will do for tests; 2,000 requests a second are more than one client has reason for, and
    /// 50 from an address without a key cost nothing. No trace is recorded: nothing collects them.
    fn default() -> Self {
        Self {
            key_pepper: String::new(),
            admin_key: None,
            public_port: None,
            public_url: None,
            rate: Rate::new(2_000, 4_000),
            guest_rate: Rate::new(50, 200),
            trace_ratio: TraceRatio::default(),
        }
    }
}

impl Config {
    /// Reads `CHEFCITO_KEY_PEPPER`, `CHEFCITO_ADMIN_KEY` (or files, with `_FILE`), `CHEFCITO_PUBLIC_PORT`,
    /// `CHEFCITO_PUBLIC_URL`, `CHEFCITO_RATE_LIMIT` and `CHEFCITO_TRACE_RATIO`.
    ///
    /// # Errors
    /// [`ConfigError`] if one can't be used, or there is no pepper or a short one.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let (variable, expected) = ("CHEFCITO_KEY_PEPPER", "a random text of at least 16 bytes");
        let pepper =
            config::secret(variable)?.ok_or_else(|| config::missing(variable, expected))?;
        if pepper.len() < PEPPER_BYTES_MIN {
            let value = format!("({} bytes, not shown)", pepper.len());
            return Err(ConfigError::Invalid { variable: variable.into(), expected, value });
        }
        Ok(Self {
            key_pepper: pepper,
            admin_key: config::secret("CHEFCITO_ADMIN_KEY")?,
            ..Self::limits_from_environment()?
        })
    }

    /// Reads `CHEFCITO_PUBLIC_PORT`, `CHEFCITO_PUBLIC_URL`, `CHEFCITO_RATE_LIMIT` and `CHEFCITO_TRACE_RATIO`; the rest has its
    /// default.
    ///
    /// # Errors
    /// [`ConfigError`] if one can't be used.
    pub fn limits_from_environment() -> Result<Self, ConfigError> {
        let default = Self::default();
        Ok(Self {
            public_port: config::read("CHEFCITO_PUBLIC_PORT", "a port, or 0 if none is known")?,
            public_url: config::read(
                "CHEFCITO_PUBLIC_URL",
                "the address of a page without a path: https://chefcito.example.com",
            )?,
            rate: config::read("CHEFCITO_RATE_LIMIT", "requests a second and at once: 2000/4000")?
                .unwrap_or(default.rate),
            trace_ratio: config::read("CHEFCITO_TRACE_RATIO", "a share from 0 to 1")?
                .unwrap_or(default.trace_ratio),
            ..default
        })
    }
}

/// A gateway that can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its database can't be opened.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The keys can't be read or saved.
    #[error("can't read the keys")]
    Keys(#[from] StoreError),
    /// It was not given a service that it calls in every environment.
    #[error("there is no way to the service {service}")]
    NoBackend {
        /// The service.
        service: &'static str,
    },
    /// The first admin key is none.
    #[error(
        "the admin key should be like cfk_local_…, with a secret of 32 to 128 letters and digits"
    )]
    AdminKey,
}

/// The one public door. Clones are the same.
#[derive(Clone, Debug)]
pub struct Gateway {
    door: Arc<Door>,
}

impl Gateway {
    /// Opens the gateway in front of these services.
    ///
    /// # Errors
    /// [`OpenError`] if its database can't be opened, the admin key is none, or a service is missing.
    pub async fn open(
        context: &ServiceContext,
        config: Config,
        backends: Backends,
    ) -> Result<Self, OpenError> {
        if let Some(service) = backends.missing(GATEWAY) {
            return Err(OpenError::NoBackend { service });
        }
        let keys = Arc::new(KeyRing::new(&config.key_pepper));
        let now = context.clock.now();
        let first = match &config.admin_key {
            Some(text) => Some(KeyText::parse(text.trim()).ok_or(OpenError::AdminKey)?),
            None => None,
        };
        let public_port = config.public_port.filter(|port| *port != 0);
        let prover = first.map(|first| Prover::new(first, public_port));
        let first =
            first.map(|first| Arc::new(keys.seal(first, FIRST_KEY.into(), Role::Admin, true, now)));
        let service = context.open(GATEWAY, store::MIGRATIONS).await?;
        if let Some(first) = first {
            let database = service.database();
            let revoked = service
                .prepare(async || {
                    let first = Arc::clone(&first);
                    database.write(move |tx| store::make_sure(tx, &first)).await
                })
                .await?;
            if let Some(at) = revoked {
                warn!(
                    "The first admin key was revoked at {at} and stays so; another secret makes it another key"
                );
            }
        }
        let routes = routes::table(backends.get(MARKET_SIM).is_some());
        let own = Backend::in_process(service.router());
        let services = backends.with(GATEWAY, own);
        let live = Arc::new(Live::new(services.clone(), context));
        let door = Arc::new(Door {
            paths: door::paths_of(&routes),
            openapi: openapi::document(&routes, context.retention).to_json().unwrap_or_default(),
            routes,
            services,
            keys,
            live,
            prover,
            public_url: config.public_url,
            learning: Mutex::new(Instant::now()),
            rate: config.rate,
            guest_rate: config.guest_rate,
            unauthenticated: Addresses::new(),
            anonymous: Addresses::new(),
            audits: Semaphore::new(1),
            tracer: Tracer::new(config.trace_ratio),
            service,
        });
        door.service.prepare(async || door.learn_keys().await).await?;
        let learner = Arc::clone(&door);
        // No signal: this replica learns its own changes at once, and is not told of those of other replicas.
        door.service.work("keys", Arc::new(Notify::new()), LEARN_EVERY, move || {
            let door = Arc::clone(&learner);
            async move { door.learn_keys().await.map(|()| Pace::Idle) }
        });
        Ok(Self { door })
    }

    /// Returns the public routes.
    pub fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(Arc::clone(&self.door))
    }
}

async fn answer(State(door): State<Arc<Door>>, request: Request) -> Response {
    door.answer(request).await
}
