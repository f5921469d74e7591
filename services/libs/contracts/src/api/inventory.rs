//! `/v1/stock` and `/v1/purchases`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Ingredient, OrderId, PurchaseId, Quantities, Timestamp};

/// What is on the shelves: answered by `GET /v1/stock`, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stock {
    /// One line an ingredient that was ever booked.
    pub stock: Vec<Shelf>,
    /// How many orders wait for ingredients.
    pub waiting_orders: i64,
}

/// One ingredient. `opening + adjustments + bought − reserved + released = on_hand`, always.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Shelf {
    /// The ingredient.
    pub ingredient: Ingredient,
    /// What is free to be reserved, never below 0.
    pub on_hand: i64,
    /// What it opened with.
    pub opening: i64,
    /// The sum of all adjustments, may be negative.
    pub adjustments: i64,
    /// The sum of all that was bought.
    pub bought: i64,
    /// The sum of all that was ever set aside for orders.
    pub reserved: i64,
    /// The sum of all that cancelled orders gave back.
    pub released: i64,
    /// What waiting orders still need beyond what is on hand.
    pub missing: i64,
    /// When the market is asked again for what is missing, as the replica that answers plans it. Absent while nothing is missing, while
    /// the market is being asked, and while the moment is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
}

/// `PUT /v1/stock`: opening quantities, booked once an ingredient (with `?dry_run=true`: only says what would change).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenStock {
    /// The quantity of each ingredient.
    #[schema(value_type = std::collections::BTreeMap<Ingredient, crate::Quantity>)]
    pub opening: Quantities,
}

/// `POST /v1/stock/adjustments`: books the difference, so that on hand becomes what is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdjustStock {
    /// What should be on hand of each ingredient.
    #[schema(value_type = std::collections::BTreeMap<Ingredient, crate::Quantity>)]
    pub set: Quantities,
}

/// How stock is opened and adjusted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct BookingOptions {
    /// Change nothing, only say what would change.
    pub dry_run: Option<bool>,
}

/// What a booking changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StockChanges {
    /// What each ingredient changed by; those that did not change are left out.
    #[schema(value_type = std::collections::BTreeMap<Ingredient, i64>)]
    pub booked: Quantities,
    /// Ingredients that were as said, or already opened.
    pub unchanged: Vec<Ingredient>,
}

/// How a purchase stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PurchaseStatus {
    /// Asked, no answer yet.
    Open,
    /// Answered; the quantity may be 0.
    Done,
    /// Nobody can say whether it happened; counts zero.
    Unknown,
}

impl PurchaseStatus {
    /// Returns the name by which it is stored and sent.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Unknown => "unknown",
        }
    }
}

/// One purchase at the farmers' market.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Purchase {
    /// Its id.
    pub id: PurchaseId,
    /// What was asked for.
    pub ingredient: Ingredient,
    /// How it stands.
    pub status: PurchaseStatus,
    /// What was sold; 0 until it is done.
    pub quantity: i64,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
}

/// `GET /v1/purchases`: what to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListPurchases {
    /// Only purchases of this ingredient.
    pub ingredient: Option<Ingredient>,
    /// Only purchases that are older than this one: `next_before` of the page before.
    pub before: Option<PurchaseId>,
    /// How many at the most, from 1 to 1,000 (default 100).
    #[param(minimum = 1, maximum = 1_000)]
    pub limit: Option<i64>,
}

/// A page of purchases, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurchasePage {
    /// The purchases.
    pub purchases: Vec<Purchase>,
    /// Give this as `before` to get the next page; absent on the last one.
    pub next_before: Option<PurchaseId>,
}

/// An order that waits for ingredients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitingOrder {
    /// The order.
    pub order: OrderId,
    /// What it needs.
    #[schema(value_type = std::collections::BTreeMap<Ingredient, i64>)]
    pub needs: Quantities,
}
