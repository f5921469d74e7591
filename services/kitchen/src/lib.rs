//! Picks the recipe, asks for ingredients, cooks. In: `order.placed`, `ingredients.reserved`, `order.cancellation_requested`.
//! Out: `menu.changed`, `ingredients.requested`, `dish.refused`, `cooking.started`, `dish.prepared`, `dish.cancelled`,
//! `cancellation.refused`.
//!
//! Guarantees: each order has one ticket: requested → reserved → cooking → prepared, or it ends as cancelled or refused. Stoves and
//! cooking times are rows, and a *round* moves dishes through them; `domain::round` decides it, `commands::cook` saves it. A
//! stove cooks one dish at a time. The kitchen alone decides whether a dish can still be cancelled.
//!
//! Does not know: stock, purchases, and where an order is.

use std::{sync::Arc, time::Duration};

use ::store::{Migrations, OpenError};
use axum::Router;
use contracts::{
    events::{Event as _, OrderPlaced},
    services::KITCHEN,
};
use events::{Gathering, consumer::by_name};
use service::{Service, ServiceContext};
use tokio::sync::Notify;

mod api;
mod commands;
mod config;
mod domain;
mod queries;
mod reactions;
mod store;

pub use config::{Config, STOVES_MAX};

use commands::{Cook, cook, install_stoves};
use reactions::Reactions;

/// How long the cook does not look at the rail at the most: what another replica left is taken over after that.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// Orders that are placed while the kitchen has just opened tickets gather, so that one commit in each service on their way is for
/// several: at 200 orders a second for two, at 1,000 for eight. An order that comes alone never waits.
const GATHERING: Gathering = Gathering {
    only: Some(OrderPlaced::NAME),
    pause: Duration::from_millis(10),
    // More would save little, and delay each order more than a commit does.
    events_max: 8,
};

const MIGRATIONS: Migrations = Migrations {
    owner: KITCHEN,
    steps: &[
        (1, "tickets", include_str!("../migrations/V1__tickets.sql")),
        (2, "stoves", include_str!("../migrations/V2__stoves.sql")),
        (3, "menu", include_str!("../migrations/V3__menu.sql")),
    ],
};

/// The kitchen, at work.
#[derive(Clone, Debug)]
pub struct Kitchen {
    service: Service,
}

impl Kitchen {
    /// Opens the kitchen on a context and lets it work until the context is closed. A number of stoves out of bounds is taken
    /// as the nearest one that is in them.
    ///
    /// # Errors
    /// [`OpenError`] if its database can't be opened.
    pub async fn open(context: &ServiceContext, config: Config) -> Result<Self, OpenError> {
        let mut service = context.open(KITCHEN, MIGRATIONS).await?;
        let stoves = config.stoves.clamp(1, STOVES_MAX);
        let database = service.database().clone();
        let installed = service
            .prepare(async || database.write(move |tx| install_stoves(tx, stoves)).await)
            .await;
        installed.map_err(|source| OpenError::Store { service: KITCHEN, source })?;
        service.count_open(queries::count_open);
        service.list_waiting(queries::waiting);
        service.set_places(stoves.into());

        let cook_wakes = Arc::new(Notify::new());
        let a_cook = Cook { cooking_time: config.cooking_time };
        let reactions =
            Reactions { seed: config.seed, cook: a_cook, cook_wakes: Arc::clone(&cook_wakes) };
        let react = by_name(move |tx, name, events| reactions.react(tx, name, events));
        service.consume_batches(GATHERING, react);
        let database = service.database().clone();
        service.work("cook", cook_wakes, IDLE_MAX, move || {
            let database = database.clone();
            async move { database.write(move |tx| cook(tx, a_cook)).await }
        });
        Ok(Self { service })
    }

    /// Returns its service: name, database and context.
    #[must_use]
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// Returns its routes.
    pub fn router(&self) -> Router {
        self.service.with_common_routes(api::routes(self.service.clone()))
    }
}
