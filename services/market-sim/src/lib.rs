//! A stand-in for the farmers' market, for development only: it speaks the market's public contract, keeps its sales, and
//! can be told what to be, also while it runs.
//!
//! Guarantees: what happens to a call and what it sells are drawn from a seed and the call's number; a purchase asked again
//! by its key is answered as before and sold once.
//!
//! Does not know: the environment that buys. No events come in or go out: it is outside.

use std::sync::Arc;

use ::store::{BatchQueue, Migrations, StoreError};
use axum::http::HeaderMap;
use contracts::{api::market_sim::ChangeMarketSim, services};
use service::{
    Service, ServiceContext,
    config::{self, ConfigError},
    token::ServiceToken,
};

mod anonymous;
mod api;
mod commands;
mod domain;
mod metrics;
mod queries;
mod store;

pub use anonymous::ANONYMOUS_SALES_PER_SECOND_MAX;
use anonymous::AnonymousBuyers;
use commands::{
    change_settings::take_over_preset,
    sell::{Answer, Call, sell},
};
pub use domain::{DELAY_MS_MAX, InvalidSettings, QUANTITY_SOLD_MAX, default_settings};
use metrics::SaleMetrics;
pub use store::{MANY, POSTGRESQL_STATEMENTS, STATEMENTS};

/// Its tables, for the tests of its statements.
#[doc(hidden)]
pub const MIGRATIONS: Migrations = Migrations {
    owner: "market_sim",
    steps: &[(1, "market_sim", include_str!("../migrations/V1__market_sim.sql"))],
};

/// Where the simulated market sells to anybody, as a farmers' market does.
pub const STALL: &str = "/api/farmers-market/";

/// What the simulated market begins with.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What differs from [`default_settings`]. It is taken over when the data begins and whenever it is another preset than
    /// at the last start; between, what the simulated market was told by `PUT /v1/market` stays.
    pub preset: ChangeMarketSim,
    /// What the environment shows when it buys. Buyers who do not show it are anonymous: their sales are limited, and no audit
    /// takes them for the environment's. Without a token, every buyer is the environment.
    pub token: Option<ServiceToken>,
}

impl Config {
    /// Reads the preset from `CHEFCITO_MARKET_SIM_QUANTITY_MIN`, `…_QUANTITY_MAX`, `…_ZEROS`, `…_DELAY_MS`, `…_ERRORS`,
    /// `…_OUTAGE` and `…_SEED`.
    ///
    /// # Errors
    /// [`ConfigError`] if one of them is not what it should be.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let preset = ChangeMarketSim {
            quantity_min: config::read("CHEFCITO_MARKET_SIM_QUANTITY_MIN", "a whole number")?,
            quantity_max: config::read("CHEFCITO_MARKET_SIM_QUANTITY_MAX", "a whole number")?,
            zeros: config::read("CHEFCITO_MARKET_SIM_ZEROS", "a share from 0 to 1")?,
            delay_ms: config::read(
                "CHEFCITO_MARKET_SIM_DELAY_MS",
                "a whole number of milliseconds",
            )?,
            errors: config::read("CHEFCITO_MARKET_SIM_ERRORS", "a share from 0 to 1")?,
            outage: config::read("CHEFCITO_MARKET_SIM_OUTAGE", "true or false")?,
            seed: config::read("CHEFCITO_MARKET_SIM_SEED", "a whole number from 0 on")?,
        };
        Ok(Self { preset, token: None })
    }
}

/// A simulated market that can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its database can't be opened.
    #[error("can't open the simulated market")]
    Database(#[from] ::store::OpenError),
    /// It can't be what it is preset to be.
    #[error("the simulated market can't be what the CHEFCITO_MARKET_SIM_… variables say")]
    Preset(#[from] InvalidSettings),
    /// Its settings can't be saved.
    #[error("can't save the settings of the simulated market")]
    Store(#[from] StoreError),
}

/// The simulated market. Clones are the same.
#[derive(Clone, Debug)]
pub struct MarketSim {
    service: Service,
    sales: BatchQueue<Call, Answer>,
    token: Option<ServiceToken>,
    anonymous: Arc<AnonymousBuyers>,
    metrics: SaleMetrics,
}

impl MarketSim {
    /// Opens the simulated market on a context.
    ///
    /// # Errors
    /// [`OpenError`] if its data can't be opened, or it can't be what it is preset to be.
    pub async fn open(context: &ServiceContext, config: Config) -> Result<Self, OpenError> {
        let service = context.open(services::MARKET_SIM, MIGRATIONS).await?;
        let preset = Arc::new(config.preset);
        service
            .prepare(async || {
                let preset = Arc::clone(&preset);
                service.database().write(move |tx| take_over_preset(tx, &preset)).await
            })
            .await??;
        let sales = service.database().batch_queue(sell);
        let metrics = SaleMetrics::new(&context.metrics);
        Ok(Self { service, sales, token: config.token, anonymous: Arc::default(), metrics })
    }

    /// Returns whether a request comes from the environment.
    fn is_environment(&self, headers: &HeaderMap) -> bool {
        self.token.as_ref().is_none_or(|token| token.is_shown_by(headers))
    }

    /// Returns what a farmers' market shows to anybody: its public contract, and neither controls nor insides.
    pub fn stall(&self) -> axum::Router {
        api::stall(self)
    }

    /// Returns all its routes: the market's public contract, `/v1/market`, and what the gateway asks.
    pub fn router(&self) -> axum::Router {
        api::router(self)
    }
}
