//! The live view: aggregates over every event, how long each dish takes, the orders in flight, and the last ones that ended.
//!
//! In: every event about orders, ingredients and dishes. Out: nothing.
//!
//! Guarantees: aggregates are sums and an order is as far as its farthest event, so that both are the same in whatever order events of
//! different services arrive; each event counts once; a revision grows with each commit, in their order.
//!
//! Does not know: any other service: what it shows, it was told.

use std::{sync::Arc, time::Duration};

use ::store::{BATCH_MAX, Migrations, OpenError};
use axum::{Router, extract::State, routing::get};
use contracts::{
    api::{
        audit::Counters,
        board::Summary,
        live::{AfterRevision, BoardView},
    },
    services::BOARD,
};
use events::Gathering;
use service::{Service, ServiceContext, http::Query, problem::Problem};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

mod projection;
mod reactions;
mod store;
mod tickets;

/// How long an asker waits for a later revision.
const REVISION_WAIT_MAX: Duration = Duration::from_secs(1);
/// How often the revision is looked at meanwhile: another replica may have changed it.
const LOOK_EVERY: Duration = Duration::from_millis(100);
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
        (4, "tickets", include_str!("../migrations/V4__tickets.sql")),
        (5, "dish_deliveries", include_str!("../migrations/V5__dish_deliveries.sql")),
    ],
};

/// Every statement of this service, for the test that has the engines prepare them.
#[doc(hidden)]
pub use store::{MANY, STATEMENTS};

/// The service. Clones are the same.
#[derive(Clone, Debug)]
pub struct Board {
    service: Service,
    /// Signalled by commits of this replica.
    changed: Arc<Notify>,
}

impl Board {
    /// Opens the service on a context.
    ///
    /// # Errors
    /// [`OpenError`] if its database can't be opened.
    pub async fn open(context: &ServiceContext) -> Result<Self, OpenError> {
        let mut service = context.open(BOARD, MIGRATIONS).await?;
        let changed = Arc::new(Notify::new());
        let signal = Arc::clone(&changed);
        service.consume_batches(GATHERING, move |tx, events| reactions::react(tx, events, &signal));
        Ok(Self { service, changed })
    }

    /// Returns its routes.
    pub fn router(&self) -> Router {
        let own = Router::new()
            .route("/v1/summary", get(summary))
            .route("/internal/live", get(live))
            .route("/internal/facts/counters", get(counters))
            .with_state(self.clone());
        self.service.with_common_routes(own)
    }

    /// Waits for a later revision, or for [`REVISION_WAIT_MAX`].
    async fn await_revision(&self, after: i64) -> Result<(), Problem> {
        let deadline = Instant::now() + REVISION_WAIT_MAX;
        while self.service.database().read(store::revision).await? <= after
            && Instant::now() < deadline
        {
            let next_look = deadline.min(Instant::now() + LOOK_EVERY);
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep_until(next_look) => {}
                () = self.service.context().stop().cancelled() => break,
            }
        }
        Ok(())
    }
}

async fn summary(State(board): State<Board>) -> Result<axum::Json<Summary>, Problem> {
    let counters = board.service.database().read(store::counters).await?;
    Ok(axum::Json(projection::summary(&counters)))
}

async fn live(
    State(board): State<Board>,
    Query(asked): Query<AfterRevision>,
) -> Result<axum::Json<BoardView>, Problem> {
    if let Some(after) = asked.after {
        board.await_revision(after).await?;
    }
    Ok(axum::Json(board.service.database().read(store::view).await?))
}

async fn counters(State(board): State<Board>) -> Result<axum::Json<Counters>, Problem> {
    Ok(axum::Json(Counters { counters: board.service.database().read(store::counters).await? }))
}
