//! A stand-in for the farmers' market, for development only: it speaks the market's public contract, keeps its sales, and
//! can be told what to be, also while it runs.
//!
//! No events come in or go out: the plaza is outside the house.

use std::sync::Arc;

use chassis::{
    config::{self, ConfigError},
    database::{Form, Migrations, StoreError},
    service::{Floor, Service},
};
use contracts::{api::plaza::ChangePlaza, services};

mod api;
mod commands;
mod domain;
mod queries;
mod store;

use commands::{
    change_settings::take_over_preset,
    sell::{Answer, Call, sell},
};
pub use domain::{DELAY_MS_MAX, InvalidSettings, QUANTITY_SOLD_MAX, default_settings};
pub use store::{MANY, POSTGRESQL_STATEMENTS, STATEMENTS};

const MIGRATIONS: Migrations = Migrations {
    owner: services::PLAZA,
    steps: &[(1, "plaza", include_str!("../migrations/V1__plaza.sql"))],
};

/// Where the plaza sells to anybody, as a farmers' market does.
pub const STALL: &str = "/api/farmers-market/";

/// What the plaza begins with.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What differs from [`default_settings`]. It is taken over when the data begins and whenever it is another preset than
    /// at the last start; between, what the plaza was told by `PUT /v1/plaza` stays.
    pub preset: ChangePlaza,
}

impl Config {
    /// Reads the preset from `CHEFCITO_PLAZA_QUANTITY_MIN`, `…_QUANTITY_MAX`, `…_ZEROS`, `…_DELAY_MS`, `…_ERRORS`,
    /// `…_OUTAGE` and `…_SEED`.
    ///
    /// # Errors
    /// [`ConfigError`] if one of them is not what it should be.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let preset = ChangePlaza {
            quantity_min: config::read("CHEFCITO_PLAZA_QUANTITY_MIN", "a whole number")?,
            quantity_max: config::read("CHEFCITO_PLAZA_QUANTITY_MAX", "a whole number")?,
            zeros: config::read("CHEFCITO_PLAZA_ZEROS", "a share from 0 to 1")?,
            delay_ms: config::read("CHEFCITO_PLAZA_DELAY_MS", "a whole number of milliseconds")?,
            errors: config::read("CHEFCITO_PLAZA_ERRORS", "a share from 0 to 1")?,
            outage: config::read("CHEFCITO_PLAZA_OUTAGE", "true or false")?,
            seed: config::read("CHEFCITO_PLAZA_SEED", "a whole number from 0 on")?,
        };
        Ok(Self { preset })
    }
}

/// A plaza that can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its database can't be opened.
    #[error("can't open the plaza")]
    Database(#[from] chassis::database::OpenError),
    /// It can't be what it is preset to be.
    #[error("the plaza can't be what the CHEFCITO_PLAZA_… variables say")]
    Preset(#[from] InvalidSettings),
    /// Its settings can't be saved.
    #[error("can't save the settings of the plaza")]
    Store(#[from] StoreError),
}

/// The plaza. Clones are the same.
#[derive(Clone, Debug)]
pub struct Plaza {
    service: Service,
    sales: Form<Call, Answer>,
}

impl Plaza {
    /// Opens the plaza on a floor.
    ///
    /// # Errors
    /// [`OpenError`] if its data can't be opened, or it can't be what it is preset to be.
    pub async fn open(floor: &Floor, config: Config) -> Result<Self, OpenError> {
        let service = floor.open(services::PLAZA, MIGRATIONS).await?;
        let preset = Arc::new(config.preset);
        service
            .prepare(async || {
                let preset = Arc::clone(&preset);
                service.database().write(move |tx| take_over_preset(tx, &preset)).await
            })
            .await??;
        let sales = service.database().form(sell);
        Ok(Self { service, sales })
    }

    /// Returns what a farmers' market shows to anybody: its public contract, and neither controls nor insides.
    pub fn stall(&self) -> axum::Router {
        api::stall(self)
    }

    /// Returns all its routes: the market's public contract, `/v1/plaza`, and what the gateway asks.
    pub fn router(&self) -> axum::Router {
        api::router(self)
    }
}
