//! `/v1/live`: the restaurant as it changes, as server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>), or at a WebSocket, whose messages are the texts of such
//! events: browsers open six event streams to a host at the most.
//!
//! The first event is a `snapshot`: a whole [`View`]. `change` events follow, each a [`Change`] to the view before it. An event's
//! id names the view that it leads to. Who reconnects with `Last-Event-ID` gets the changes since that view if they are still
//! kept, and else a snapshot. Comments come while nothing changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    board::Summary,
    inventory::{Purchase, Shelf},
    service::ServiceStatus,
};
use crate::{Ingredient, OrderId, Quantities, Timestamp};

/// The most orders in flight that a view shows: those that came first.
pub const IN_FLIGHT_SHOWN_MAX: usize = 64;
/// The most orders at their end that a view shows: those that ended last.
pub const ENDED_SHOWN_MAX: usize = 64;
/// The most dishes of which a view shows figures: the first of those that were delivered, by name.
pub const DISHES_SHOWN_MAX: usize = 64;
/// The most purchases that a view shows: the newest.
pub const PURCHASES_SHOWN_MAX: usize = 32;
/// The name of the event with a [`View`].
pub const SNAPSHOT: &str = "snapshot";
/// The name of the event with a [`Change`].
pub const CHANGE: &str = "change";

/// Where an order is on its way, in the order in which orders get there. Of what is told of one order, the farthest counts:
/// services are heard in any order.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum TicketState {
    /// Accepted.
    Placed,
    /// In the kitchen, which asks for ingredients.
    Requested,
    /// Short of ingredients.
    Waiting,
    /// Has all ingredients, and waits for a stove.
    Reserved,
    /// On a stove.
    Cooking,
    /// Cooked.
    Ready,
    /// On the table.
    Delivered,
    /// Ended by its guest.
    Cancelled,
    /// Ended by the kitchen.
    Rejected,
}

impl TicketState {
    /// All of them, in their order.
    pub const ALL: [Self; 9] = [
        Self::Placed,
        Self::Requested,
        Self::Waiting,
        Self::Reserved,
        Self::Cooking,
        Self::Ready,
        Self::Delivered,
        Self::Cancelled,
        Self::Rejected,
    ];

    /// Returns the name by which it is sent.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Requested => "requested",
            Self::Waiting => "waiting",
            Self::Reserved => "reserved",
            Self::Cooking => "cooking",
            Self::Ready => "ready",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
        }
    }

    /// Returns whether nothing more happens to an order in this state.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Delivered | Self::Cancelled | Self::Rejected)
    }
}

/// One order, as the board shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ticket {
    /// The order.
    pub id: OrderId,
    /// Its running number, from 1.
    pub number: i64,
    /// Its dish; absent until the kitchen has picked one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dish: Option<String>,
    /// Where it is.
    pub state: TicketState,
    /// When it was accepted.
    pub placed_at: Timestamp,
    /// When it came to its state.
    pub changed_at: Timestamp,
    /// The stove that it is on, or was, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stove: Option<i64>,
    /// What was missing when it began to wait.
    #[schema(value_type = BTreeMap<Ingredient, i64>)]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: Quantities,
}

/// How long deliveries of one dish took, placed to delivered. A percentile differs from the exact one by 4 % and half a millisecond
/// at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DishFigures {
    /// How many these figures are of: all that were delivered since the board keeps them.
    pub delivered: i64,
    /// Half took no longer, in milliseconds.
    pub p50_ms: i64,
    /// 95 of 100 took no longer, in milliseconds.
    pub p95_ms: i64,
}

/// The orders of the board at one revision: `GET /internal/live?after=…`, answered as soon as there is a later one, and after a
/// second at the latest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardView {
    /// Grows with each commit that changed the board.
    pub revision: i64,
    /// The totals.
    pub summary: Summary,
    /// How long deliveries took, by dish; 64 dishes at the most. Absent from a board that does not know them yet.
    #[serde(default)]
    pub dishes: BTreeMap<String, DishFigures>,
    /// The first orders in flight and the last ones that ended, by number.
    pub orders: Vec<Ticket>,
}

/// `GET /internal/live`: what the asker has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AfterRevision {
    /// Answer once the board has a later revision; at once without it.
    pub after: Option<i64>,
}

/// `GET /v1/live`: where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct WatchOptions {
    /// The id of the last event that the viewer got: the same as the header `Last-Event-ID`, for those who can't send that.
    pub last_event_id: Option<String>,
}

/// How often viewers are told of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pace {
    /// The most changes a second. The first one after a pause is told at once.
    pub changes_per_second_max: u32,
    /// The viewers of this gateway. Above some numbers of them, changes are told less often.
    pub viewers: u32,
}

/// The restaurant at one moment. It shows 64 orders in flight, 64 that ended, 64 dishes and 32 purchases at the most; the totals
/// count all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct View {
    /// When it was put together, by the clock of the gateway.
    pub at: Timestamp,
    /// The totals.
    pub summary: Summary,
    /// How long deliveries took, by dish.
    #[serde(default)]
    pub dishes: BTreeMap<String, DishFigures>,
    /// The first orders in flight and the last ones that ended, by number.
    pub orders: Vec<Ticket>,
    /// The shelves, by ingredient.
    pub stock: Vec<Shelf>,
    /// The newest purchases, newest first. A quantity of 0 is shown, too: the market had none.
    pub purchases: Vec<Purchase>,
    /// Each service, by name.
    pub services: BTreeMap<String, ServiceStatus>,
    /// The services whose part is not known now, each with the moment since which it is not: their part is of before.
    pub away: BTreeMap<String, Timestamp>,
    /// How often viewers are told.
    pub pace: Pace,
}

/// What makes the next view of one. What is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// When the next view was put together.
    pub at: Timestamp,
    /// Other totals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// Dishes that are new, or have other figures.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dishes: BTreeMap<String, DishFigures>,
    /// Orders that are new, or changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<Ticket>,
    /// Orders that are shown no longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<OrderId>,
    /// Shelves that are new, or changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stock: Vec<Shelf>,
    /// Purchases that are new, or changed. Only the newest are shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub purchases: Vec<Purchase>,
    /// Services that are new, or changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, ServiceStatus>,
    /// All services whose part is not known now, if these are others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<BTreeMap<String, Timestamp>>,
    /// Another pace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
}
