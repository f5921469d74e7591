//! The live view: aggregates over every event.
//!
//! In: every event about orders, ingredients and dishes. Out: nothing.
//!
//! Guarantees: aggregates are sums, so that they are the same in whatever order events of different services arrive; each
//! event counts once.
//!
//! Does not know: the state of any order, and no other service: what it shows, it was told.

use std::time::Duration;

use ::store::{BATCH_MAX, Migrations, OpenError};
use axum::{Router, extract::State, routing::get};
use contracts::{
    api::{audit::Counters, board::Summary},
    services::BOARD,
};
use events::Gathering;
use service::{Service, ServiceContext, problem::Problem};

mod projection;
mod reactions;
mod store;

/// Every event gathers: a viewer does not see whether the board is behind by the pause, and at 200 orders a second one commit is
/// for some 70 events.
const GATHERING: Gathering =
    Gathering { only: None, pause: Duration::from_millis(50), events_max: BATCH_MAX };

/// Its tables, for the tests of its statements.
#[doc(hidden)]
pub const MIGRATIONS: Migrations = Migrations {
    owner: "board",
    steps: &[
        (1, "counters", include_str!("../migrations/V1__counters.sql")),
        (2, "turn", include_str!("../migrations/V2__turn.sql")),
        (3, "delivery_us", include_str!("../migrations/V3__delivery_us.sql")),
    ],
};

/// Every statement of this service, for the test that has the engines prepare them.
#[doc(hidden)]
pub use store::{MANY, POSTGRESQL_STATEMENTS, STATEMENTS};

/// The service. Clones are the same.
#[derive(Clone, Debug)]
pub struct Board {
    service: Service,
}

impl Board {
    /// Opens the service on a context.
    ///
    /// # Errors
    /// [`OpenError`] if its database can't be opened.
    pub async fn open(context: &ServiceContext) -> Result<Self, OpenError> {
        let mut service = context.open(BOARD, MIGRATIONS).await?;
        service.consume_gathering(GATHERING, reactions::react);
        Ok(Self { service })
    }

    /// Returns its routes.
    pub fn router(&self) -> Router {
        let own = Router::new()
            .route("/v1/summary", get(summary))
            .route("/internal/facts/counters", get(counters))
            .with_state(self.clone());
        self.service.with_common_routes(own)
    }
}

async fn summary(State(board): State<Board>) -> Result<axum::Json<Summary>, Problem> {
    let counters = board.service.database().read(store::counters).await?;
    Ok(axum::Json(projection::summary(&counters)))
}

async fn counters(State(board): State<Board>) -> Result<axum::Json<Counters>, Problem> {
    Ok(axum::Json(Counters { counters: board.service.database().read(store::counters).await? }))
}
