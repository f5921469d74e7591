//! `/v1/audit`: the invariants, and the sorted facts from which the gateway merges them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::orders::OrderStatus;
use crate::{Ingredient, OrderId, PurchaseId, Quantities};

/// How many facts a page has at the most.
pub const FACTS_PER_PAGE_MAX: i64 = 2_000;
/// How many ids a finding shows at the most.
pub const SAMPLES_MAX: usize = 10;

/// `GET /v1/audit`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AuditOptions {
    /// Allow what is in flight: for an environment that is working.
    pub live: Option<bool>,
}

/// `POST /v1/audit/ledger`: orders that a client was told are accepted, each of which must exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// The orders, 1,000 at the most.
    #[schema(max_items = 1_000)]
    pub ids: Vec<OrderId>,
}

/// Whether all that must hold holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditReport {
    /// Whether every invariant holds.
    pub passed: bool,
    /// Whether what was in flight was allowed.
    pub live: bool,
    /// The invariants, in the order of their numbers.
    pub invariants: Vec<Invariant>,
}

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Invariant {
    /// Its name: `orders.balance`.
    pub name: String,
    /// What must hold, in a sentence.
    pub rule: String,
    /// Whether it holds.
    pub passed: bool,
    /// The figure that was expected.
    pub expected: i64,
    /// The figure that was found.
    pub found: i64,
    /// `found − expected`.
    pub difference: i64,
    /// Up to ten ids or names that break it.
    pub samples: Vec<String>,
    /// Anything else worth saying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// `GET /internal/facts/…?after=…&limit=…`: a page of facts with keys above `after`, sorted by key. A page that is not
/// full is the last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactsQuery {
    /// The key of the last fact of the page before.
    pub after: Option<String>,
    /// How many at the most; 2,000 if not said or more.
    pub limit: Option<i64>,
    /// Of the subjects: count only events with larger ids than this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<Uuid>,
}

/// A page of facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts<T> {
    /// The facts, sorted by key.
    pub facts: Vec<T>,
}

/// `/internal/facts/outbox`, by event id: an event that a service wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxFact {
    /// The event's id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What it is about.
    pub subject: String,
    /// Whether all who read it have taken it over.
    pub published: bool,
}

/// `/internal/facts/subjects`, by subject: what a service told about one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectFact {
    /// The subject: an order's id, an ingredient, or the menu.
    pub subject: String,
    /// How many events of each name.
    pub events: BTreeMap<String, i64>,
}

/// `/internal/facts/inbox`, by event id: an event that a service acted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxFact {
    /// The event's id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

/// `/internal/facts/orders` of the orders service, by order id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderFact {
    /// The order.
    pub order: OrderId,
    /// Where it is.
    pub status: OrderStatus,
    /// The dish, once it is known.
    pub dish: Option<String>,
}

/// `/internal/facts/tickets` of the kitchen, by order id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketFact {
    /// The order.
    pub order: OrderId,
    /// `requested`, `reserved`, `cooking`, `prepared`, `cancelled` or `refused`.
    pub status: String,
    /// The dish; empty if it was refused.
    pub dish: String,
    /// What the ticket was opened with.
    pub needs: Quantities,
}

/// `/internal/facts/reservations` of the inventory, by order id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationFact {
    /// The order.
    pub order: OrderId,
    /// `waiting`, `reserved`, `released`, `left` (the queue) or `tombstone`.
    pub status: String,
    /// What it needs or had.
    pub needs: Quantities,
}

/// `/internal/facts/purchases` of the inventory, `/internal/facts/receipts` of the market and `/internal/facts/sales` of the
/// simulated market, by purchase id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurchaseFact {
    /// The purchase.
    pub purchase: PurchaseId,
    /// The ingredient.
    pub ingredient: Ingredient,
    /// `open`, `done` or `unknown`.
    pub status: String,
    /// How much was sold.
    pub quantity: i64,
}

/// `/internal/facts/storage` of every service: what its storage says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageCheck {
    /// What is wrong; empty if nothing is.
    pub problems: Vec<String>,
}

/// `/internal/facts/counters` of the board: its aggregates as stored, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// The aggregates.
    pub counters: BTreeMap<String, i64>,
}

/// `GET /internal/facts/retention?upto=…` of every service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionQuery {
    /// Count what is still kept up to this event, and it.
    pub upto: Option<Uuid>,
}

/// `/internal/facts/retention` of every service, at one moment: which events it no longer keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionFact {
    /// Of those that it wrote.
    pub outbox: RetentionSide,
    /// Of those that it acted on.
    pub inbox: RetentionSide,
    /// How many of the events still kept in the outbox are not published, by name.
    pub unpublished: BTreeMap<String, i64>,
}

/// What is no longer kept on one side of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionSide {
    /// The largest id of an event that was removed; none if none was.
    pub horizon: Option<Uuid>,
    /// How many were removed, by name.
    pub removed: BTreeMap<String, i64>,
    /// How many are still kept up to the event that was asked for, by name.
    pub kept: BTreeMap<String, i64>,
}
