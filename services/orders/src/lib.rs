//! Takes orders and knows where each one is.
//!
//! In: `menu.changed`, `cooking.started`, `dish.prepared`, `dish.cancelled`, `cancellation.refused`, `dish.refused`.
//! Out: `order.placed`, `order.cancellation_requested`, `order.delivered`, `order.cancelled`, `order.rejected`.
//!
//! Guarantees: an order that was accepted is found from then on and reaches one final status, once; a request sent again
//! under its key places no second order.
//!
//! Does not know: recipes, ingredients, stoves: of the menu only the names.

use ::store::{BATCH_ROWS_MAX, BatchQueue, Migrations, OpenError, StoreError};
use axum::{Router, http::StatusCode};
use contracts::{
    api::orders::{ORDERS_PER_REQUEST_MAX, PlacedOrders},
    services::ORDERS,
};
use service::idempotency::IdempotentQueue;
use service::{Service, ServiceContext};

mod api;
mod commands;
mod domain;
mod queries;
mod reactions;
mod store;

use commands::{
    cancel_orders::{CancelOrder, Cancellation, cancel_orders},
    place_orders::{PlaceRequest, place_orders},
};
use domain::UnknownDish;

// A request is never too heavy for a batch.
const _: () = assert!(ORDERS_PER_REQUEST_MAX <= BATCH_ROWS_MAX);

/// Its tables, for the tests of its statements.
#[doc(hidden)]
pub const MIGRATIONS: Migrations = Migrations {
    owner: "orders",
    steps: &[
        (1, "orders", include_str!("../migrations/V1__orders.sql")),
        (2, "kept_responses", include_str!("../migrations/V2__kept_responses.sql")),
        (3, "lists", include_str!("../migrations/V3__lists.sql")),
        (4, "open", include_str!("../migrations/V4__open.sql")),
    ],
};

/// Every statement of this service, for the test that has both engines prepare them.
#[doc(hidden)]
pub use store::{MANY, STATEMENTS};

/// The service. Clones are the same.
#[derive(Clone, Debug)]
pub struct Orders {
    service: Service,
    place: IdempotentQueue<PlaceRequest, PlacedOrders, UnknownDish>,
    cancel: BatchQueue<CancelOrder, Cancellation>,
}

impl Orders {
    /// Opens the service on a context.
    ///
    /// # Errors
    /// [`OpenError`] if its database can't be opened.
    pub async fn open(context: &ServiceContext) -> Result<Self, OpenError> {
        let mut service = context.open(ORDERS, MIGRATIONS).await?;
        service.count_open(store::count_open);
        service.list_waiting(store::waiting);
        service.consume(reactions::react);
        let place = IdempotentQueue::new(
            service.database(),
            "place_orders",
            StatusCode::ACCEPTED,
            |request: &PlaceRequest| request.dishes.len(),
            place_orders,
        );
        let cancel = service.database().batch_queue(cancel_orders);
        Ok(Self { service, place, cancel })
    }

    /// Returns its routes.
    pub fn router(&self) -> Router {
        self.service.with_common_routes(api::router(self.clone()))
    }

    /// Returns what it is made of, for tests that look behind its routes.
    #[doc(hidden)]
    #[must_use]
    pub const fn service(&self) -> &Service {
        &self.service
    }

    async fn cancel(&self, request: CancelOrder) -> Result<Cancellation, StoreError> {
        self.cancel.submit(request).await
    }
}
