//! Stock, reservations, purchases.
//!
//! In: `ingredients.requested`, `dish.cancelled`. Out: `ingredients.reserved`, `ingredients.awaited`,
//! `ingredients.released`, `ingredient.purchased`.
//!
//! Guarantees: an order gets all that it needs or waits, in arrival order; stock is never below 0; what those who wait are
//! short of is bought at the farmers' [`Market`], for as long as it takes, and what came is booked once.
//!
//! Does not know: dishes and recipes, guests, where the market buys (any [`Market`] will do).

use std::{convert::Infallible, sync::Arc, time::Duration};

use ::store::{BatchQueue, Migrations, OpenError, StoreError, Tx};
use axum::{Router, http::StatusCode};
use contracts::{
    api::inventory::{AdjustStock, OpenStock, StockChanges},
    services,
};
use service::idempotency::IdempotentQueue;
use service::{
    Pace, Service, ServiceContext,
    config::{self, ConfigError},
};
use tokio::sync::Notify;

use crate::{
    attempts::Attempts,
    buyer::Buyer,
    commands::{Served, adjust_stock, open_stock},
    figures::Figures,
};

mod api;
mod attempts;
mod buyer;
mod commands;
mod domain;
mod figures;
mod market;
mod queries;
mod reactions;
pub mod store;

pub use market::{ANSWER_BYTES_MAX, Answer, GrpcMarket, InvalidAddress, Market, MarketError};

/// How its tables came to be what they are.
pub const MIGRATIONS: Migrations = Migrations {
    owner: "inventory",
    steps: &[
        (1, "inventory", include_str!("../migrations/V1__inventory.sql")),
        (2, "kept_responses", include_str!("../migrations/V2__kept_responses.sql")),
    ],
};

/// How often those who wait are looked at without anything having come: the safety net.
const SERVE_IDLE: Duration = Duration::from_secs(1);

/// How the environment buys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many purchases are open at once. Enough that a market that takes its time is kept busy (64 calls of 10 ms are
    /// 6,400 a second), few enough that it is not overrun and that little is bought in vain.
    pub purchases_open_max: usize,
    /// How many calls must fail in a row for the market to be left alone: one lost connection is no outage.
    pub breaker_failures: u32,
    /// For how long it is left alone at first; doubled after each trial that fails.
    pub breaker_pause: Duration,
    /// The longest wait before a failed purchase is asked again, and before another trial: so long may it take to notice
    /// that the market is back.
    pub failure_pause_max: Duration,
    /// The longest wait before a market that has none of an ingredient is asked for it again.
    pub none_pause_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            purchases_open_max: 64,
            breaker_failures: 5,
            breaker_pause: Duration::from_millis(500),
            failure_pause_max: Duration::from_secs(5),
            none_pause_max: Duration::from_secs(1),
        }
    }
}

impl Config {
    /// Reads `CHEFCITO_PURCHASES_OPEN_MAX`, `CHEFCITO_BREAKER_FAILURES`, `CHEFCITO_BREAKER_PAUSE_MS`,
    /// `CHEFCITO_FAILURE_PAUSE_MS_MAX` and `CHEFCITO_NONE_PAUSE_MS_MAX`; what is not set has its default.
    ///
    /// # Errors
    /// [`ConfigError`] if one of them is not what it should be.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let default = Self::default();
        let number = "a whole number, at least 1";
        let purchases_open_max: std::num::NonZeroUsize = config::read_or(
            "CHEFCITO_PURCHASES_OPEN_MAX",
            number,
            default.purchases_open_max.try_into().unwrap_or(std::num::NonZeroUsize::MIN),
        )?;
        let breaker_failures: std::num::NonZeroU32 = config::read_or(
            "CHEFCITO_BREAKER_FAILURES",
            number,
            default.breaker_failures.try_into().unwrap_or(std::num::NonZeroU32::MIN),
        )?;
        Ok(Self {
            purchases_open_max: purchases_open_max.get(),
            breaker_failures: breaker_failures.get(),
            breaker_pause: milliseconds("CHEFCITO_BREAKER_PAUSE_MS", default.breaker_pause)?,
            failure_pause_max: milliseconds(
                "CHEFCITO_FAILURE_PAUSE_MS_MAX",
                default.failure_pause_max,
            )?,
            none_pause_max: milliseconds("CHEFCITO_NONE_PAUSE_MS_MAX", default.none_pause_max)?,
        })
    }
}

fn milliseconds(variable: &str, default: Duration) -> Result<Duration, ConfigError> {
    let read: Option<u32> = config::read(variable, "a whole number of milliseconds")?;
    Ok(read.map_or(default, |milliseconds| Duration::from_millis(milliseconds.into())))
}

/// Who is woken by a commit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals {
    /// Something is short: the buyer.
    pub(crate) shortage: Arc<Notify>,
    /// More of those who wait can be served than one transaction should.
    pub(crate) more_to_serve: Arc<Notify>,
}

impl Signals {
    pub(crate) fn after_serving(&self, tx: &mut Tx<'_>, served: &Served) {
        if served.more {
            tx.wake_after_commit(&self.more_to_serve);
        }
    }
}

/// The inventory. Clones are the same.
#[derive(Clone, Debug)]
pub struct Inventory {
    service: Service,
    openings: BatchQueue<OpenStock, StockChanges>,
    adjustments: IdempotentQueue<AdjustStock, StockChanges, Infallible>,
    attempts: Attempts,
}

impl Inventory {
    /// Opens the inventory on a context: its database, its reactions, and its buyer at this market.
    ///
    /// # Errors
    /// [`OpenError`] if its database can't be opened.
    pub async fn open(
        context: &ServiceContext,
        config: Config,
        market: impl Market,
    ) -> Result<Self, OpenError> {
        let mut service = context.open(services::INVENTORY, MIGRATIONS).await?;
        let signals = Signals::default();
        service.count_open(queries::count_open);
        service.list_waiting(queries::list_waiting);

        let waking = signals.clone();
        let openings = service
            .database()
            .batch_queue(move |tx, commands: &[OpenStock]| open_stock(tx, commands, &waking));
        let waking = signals.clone();
        let adjustments = IdempotentQueue::new(
            service.database(),
            "adjust_stock",
            StatusCode::OK,
            |_| 1,
            move |tx, commands: &[&AdjustStock]| adjust_stock(tx, commands, &waking),
        );

        let waking = signals.clone();
        service.consume(move |tx, name, events| reactions::react(tx, name, events, &waking));

        let database = service.database().clone();
        service.work("serve", Arc::clone(&signals.more_to_serve), SERVE_IDLE, move || {
            let database = database.clone();
            async move {
                let more = database.write(serve).await?;
                Ok(if more { Pace::Again } else { Pace::Idle })
            }
        });
        let figures = Figures::new(&context.metrics);
        let attempts = Attempts::default();
        let buyer = Buyer::new(service.clone(), config, market, signals, figures, attempts.clone());
        context.spawn(buyer.run());
        Ok(Self { service, openings, adjustments, attempts })
    }

    /// Returns its routes.
    pub fn router(&self) -> Router {
        api::router(self)
    }
}

fn serve(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    let mut shelves = store::lock_shelves(tx)?;
    let served = commands::serve_waiting(tx, &mut shelves, &std::collections::HashSet::new())?;
    store::save_shelves(tx, shelves)?;
    Ok(served.more)
}
