//! Services that tell the facts of a world.

use std::sync::Arc;

use axum::{Router, extract::Query, routing::get};
use backends::{Backend, Backends};
use contracts::{
    api::{
        audit::{
            Counters, Facts, FactsQuery, InboxFact, OrderFact, OutboxFact, PurchaseFact,
            ReservationFact, RetentionQuery, StorageCheck, TicketFact,
        },
        inventory::Stock,
        orders::{AskStates, Order, OrderStates},
    },
    services::{INVENTORY, KITCHEN, MARKET, MARKET_SIM, ORDERS},
};
use serde::Serialize;

use super::{NUMBER, Shared, World, lock};
use crate::stage::all;

/// Returns a page of facts by their keys, as a service tells them.
fn page<T: Clone + Serialize>(
    mut facts: Vec<T>,
    query: &FactsQuery,
    key: impl Fn(&T) -> String,
) -> axum::Json<Facts<T>> {
    facts.sort_by_key(&key);
    let after = query.after.clone().unwrap_or_default();
    let limit = usize::try_from(query.limit.unwrap_or(2_000)).unwrap();
    facts.retain(|fact| key(fact) > after);
    facts.truncate(limit);
    axum::Json(Facts { facts })
}

/// Returns a stand-in for a service that tells the facts of a world.
fn tells(world: &Shared, service: &'static str) -> Router {
    macro_rules! facts {
        ($facts:expr, $key:expr) => {{
            let world = Arc::clone(world);
            get(async move |Query(query): Query<FactsQuery>| {
                let mut world = lock(&world);
                world.work();
                page($facts(&*world), &query, $key)
            })
        }};
    }
    macro_rules! answer {
        ($answer:expr) => {{
            let world = Arc::clone(world);
            get(async move || axum::Json($answer(&*lock(&world))))
        }};
    }
    let (subjects, gone) = (Arc::clone(world), Arc::clone(world));
    let purchase = |fact: &PurchaseFact| fact.purchase.to_string();
    let router = Router::new()
        .route(
            "/internal/facts/outbox",
            facts!(
                |world: &World| world.outboxes.get(service).cloned().unwrap_or_default(),
                |fact: &OutboxFact| fact.id.to_string()
            ),
        )
        .route(
            "/internal/facts/inbox",
            facts!(
                |world: &World| world.inboxes.get(service).cloned().unwrap_or_default(),
                |fact: &InboxFact| fact.id.to_string()
            ),
        )
        .route(
            "/internal/facts/subjects",
            get(async move |Query(query): Query<FactsQuery>| {
                let mut world = lock(&subjects);
                world.work();
                page(world.told(service, query.above), &query, |fact| fact.subject.clone())
            }),
        )
        .route(
            "/internal/facts/retention",
            get(async move |Query(query): Query<RetentionQuery>| {
                axum::Json(lock(&gone).retention(service, &query))
            }),
        )
        .route(
            "/internal/facts/storage",
            answer!(|world: &World| StorageCheck {
                problems: world.storage.get(service).cloned().unwrap_or_default()
            }),
        )
        .route("/internal/status", answer!(|world: &World| world.statuses[service].clone()));
    match service {
        ORDERS => {
            let shared = Arc::clone(world);
            let states = async move |service::http::Json(asked): service::http::Json<AskStates>| {
                let world = lock(&shared);
                let known = world.orders.iter().filter(|fact| asked.ids.contains(&fact.order));
                let order = |fact: &OrderFact| Order {
                    id: fact.order,
                    number: NUMBER,
                    status: fact.status,
                    dish: fact.dish.clone(),
                    placed_at: contracts::Timestamp::now(),
                    ended_at: None,
                    reason: None,
                };
                axum::Json(OrderStates { orders: known.map(order).collect() })
            };
            router
                .route(
                    "/internal/facts/orders",
                    facts!(|world: &World| world.orders.clone(), |fact: &OrderFact| fact
                        .order
                        .to_string()),
                )
                .route("/v1/orders/states", axum::routing::post(states))
        }
        KITCHEN => router.route(
            "/internal/facts/tickets",
            facts!(|world: &World| world.tickets.clone(), |fact: &TicketFact| fact
                .order
                .to_string()),
        ),
        INVENTORY => router
            .route(
                "/internal/facts/reservations",
                facts!(|world: &World| world.reservations.clone(), |fact: &ReservationFact| fact
                    .order
                    .to_string()),
            )
            .route(
                "/internal/facts/purchases",
                facts!(|world: &World| world.purchases.clone(), purchase),
            )
            .route(
                "/internal/facts/stock",
                answer!(|world: &World| Stock { stock: world.stock.clone(), waiting_orders: 0 }),
            ),
        MARKET => router.route(
            "/internal/facts/receipts",
            facts!(|world: &World| world.receipts.clone(), purchase),
        ),
        MARKET_SIM => router
            .route("/internal/facts/sales", facts!(|world: &World| world.sales.clone(), purchase)),
        _ => router
            .route(
                "/internal/facts/counters",
                answer!(|world: &World| Counters { counters: world.counters.clone() }),
            )
            .route("/internal/live", answer!(World::board_view)),
    }
}

/// Returns the services of a world.
pub(crate) fn services(world: &Shared) -> Backends {
    all(|service| Backend::in_process(tells(world, service)))
}
