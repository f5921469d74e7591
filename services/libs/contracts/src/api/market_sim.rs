//! `/v1/market`: tells the stand-in for the farmers' market what to be. For development only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Ingredient;

/// What the simulated market is told to be. `GET` answers it, `PUT` sets what is given and leaves the
/// rest, `DELETE` brings back what it begins as.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MarketSimSettings {
    /// The least that a sale sells.
    pub quantity_min: i64,
    /// The most that a sale sells.
    pub quantity_max: i64,
    /// Share of sales that sell nothing, from 0 to 1.
    pub zeros: f64,
    /// How long an answer takes, in milliseconds.
    pub delay_ms: u64,
    /// Share of calls that fail with 500, from 0 to 1. Half of them fail after the sale was made.
    pub errors: f64,
    /// Whether no call is answered at all: each gets 503.
    pub outage: bool,
    /// What the draws are made from: the same seed and the same calls give the same sales.
    #[schema(format = "uint64")]
    pub seed: u64,
}

/// A change of some of the [`MarketSimSettings`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in MarketSimSettings")]
pub struct ChangeMarketSim {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub quantity_min: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub quantity_max: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub zeros: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 20_000)]
    pub delay_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub errors: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "uint64")]
    pub seed: Option<u64>,
}

/// The simulated market: its settings, and what it sold since its data began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MarketSim {
    /// What it is told to be.
    pub settings: MarketSimSettings,
    /// How much it sold of each ingredient.
    pub sold: BTreeMap<Ingredient, i64>,
    /// How many different sales it made, those of nothing included.
    pub sales: i64,
}

/// What the farmers' market answers: `GET /api/farmers-market/buy?ingredient=lemon`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sale {
    /// How much was sold; 0: there is none now.
    pub quantity_sold: i64,
}
