//! `/v1/orders`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{OrderId, Timestamp};

/// The most orders in one request.
pub const ORDERS_PER_REQUEST_MAX: usize = 1_000;
/// The longest name of a dish, in bytes.
pub const DISH_BYTES_MAX: usize = 64;
/// The longest idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

/// `POST /v1/orders`: one order (`{}` or `{"dish": "pizza"}`), or several (`{"orders": [{}, {"dish": "pizza"}]}`).
///
/// With an `Idempotency-Key` header, a repeat of the same request gets the same response; with another body it is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceOrders {
    /// The dish of a single order; without it the kitchen picks one.
    #[schema(min_length = 1, max_length = 64)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dish: Option<String>,
    /// Several orders, from 1 to 1,000; all are accepted or none.
    #[schema(min_items = 1, max_items = 1_000)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders: Option<Vec<OrderLine>>,
}

/// One of several orders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderLine {
    /// The dish; without it the kitchen picks one.
    #[schema(min_length = 1, max_length = 64)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dish: Option<String>,
}

/// `202 Accepted`: the orders are saved and will be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlacedOrders {
    /// The orders, in the order of the request.
    pub orders: Vec<Order>,
}

/// Where an order is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum OrderStatus {
    /// Accepted; waits for ingredients or a stove.
    Placed,
    /// The guest asked for cancellation; the kitchen has not decided yet.
    Cancelling,
    /// On a stove.
    Cooking,
    /// On the table.
    Delivered,
    /// Ended by its guest.
    Cancelled,
    /// Ended by the kitchen.
    Rejected,
}

impl OrderStatus {
    /// All of them, in the order in which an order may meet them.
    pub const ALL: [Self; 6] = [
        Self::Placed,
        Self::Cancelling,
        Self::Cooking,
        Self::Delivered,
        Self::Cancelled,
        Self::Rejected,
    ];

    /// Returns the name by which it is stored and sent.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Cancelling => "cancelling",
            Self::Cooking => "cooking",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
        }
    }

    /// Returns whether nothing more happens to an order in this status.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Delivered | Self::Cancelled | Self::Rejected)
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A name that is no status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a status of an order: it should be placed, cancelling, cooking, delivered, cancelled or rejected"
)]
pub struct UnknownOrderStatus;

impl FromStr for OrderStatus {
    type Err = UnknownOrderStatus;

    fn from_str(name: &str) -> Result<Self, UnknownOrderStatus> {
        Self::ALL.into_iter().find(|status| status.name() == name).ok_or(UnknownOrderStatus)
    }
}

/// One order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Its running number, from 1.
    pub number: i64,
    /// Where it is.
    pub status: OrderStatus,
    /// The dish: the one ordered, or the one that the kitchen picked once it cooks.
    pub dish: Option<String>,
    /// When it was accepted.
    pub placed_at: Timestamp,
    /// When it was delivered, cancelled or rejected.
    pub ended_at: Option<Timestamp>,
    /// Why it was rejected, or why it could not be cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `GET /v1/orders`: what to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListOrders {
    /// Only orders in this status.
    pub status: Option<OrderStatus>,
    /// Only orders of this dish.
    pub dish: Option<String>,
    /// Only orders with a running number below this: `next_before` of the page before.
    pub before: Option<i64>,
    /// How many at the most, from 1 to 1,000 (default 100).
    #[param(minimum = 1, maximum = 1_000)]
    pub limit: Option<i64>,
}

/// A page of orders, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderPage {
    /// The orders.
    pub orders: Vec<Order>,
    /// Give this as `before` to get the next page; absent on the last one.
    pub next_before: Option<i64>,
}

/// `POST /v1/orders/states`: asks where up to 1,000 orders are, in one query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskStates {
    /// The orders, 1,000 at the most.
    #[schema(max_items = 1_000)]
    pub ids: Vec<OrderId>,
}

/// Where orders are; those that do not exist are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderStates {
    /// The orders, by id.
    pub orders: Vec<Order>,
}
