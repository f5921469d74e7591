//! `/v1/summary`: the environment at a glance, from every event.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Ingredient;

/// Orders and dishes so far. Counted from events, so a moment behind the services themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Summary {
    /// Orders accepted.
    pub placed: i64,
    /// Orders delivered.
    pub delivered: i64,
    /// Orders cancelled.
    pub cancelled: i64,
    /// Orders rejected.
    pub rejected: i64,
    /// Accepted, and not at an end yet.
    pub in_flight: i64,
    /// In flight, and short of ingredients.
    pub waiting_for_ingredients: i64,
    /// On a stove.
    pub cooking: i64,
    /// Dishes delivered, by name.
    pub dishes: BTreeMap<String, i64>,
    /// Ingredients bought.
    pub bought: BTreeMap<Ingredient, i64>,
    /// How long deliveries took, placed to delivered.
    pub delivery: Latency,
}

/// A distribution of durations. A percentile in microseconds differs from the exact one by 4 % at most; milliseconds are
/// the same figures, rounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// How many.
    pub count: i64,
    /// The mean, in milliseconds.
    pub mean_ms: i64,
    /// Half took no longer, in milliseconds.
    pub p50_ms: i64,
    /// 99 of 100 took no longer, in milliseconds.
    pub p99_ms: i64,
    /// The mean, in microseconds.
    #[serde(default)]
    pub mean_us: i64,
    /// Half took no longer, in microseconds.
    #[serde(default)]
    pub p50_us: i64,
    /// 99 of 100 took no longer, in microseconds.
    #[serde(default)]
    pub p99_us: i64,
}
