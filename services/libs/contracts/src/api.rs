//! What is asked and answered at the door, one file a service. All of it is JSON; times are RFC 3339 in UTC, durations
//! are whole milliseconds. Fields are only ever added.

pub mod audit;
pub mod board;
pub mod gateway;
pub mod inventory;
pub mod kitchen;
pub mod live;
pub mod market;
pub mod market_sim;
pub mod orders;
pub mod proof;
pub mod service;

use serde::{Deserialize, Serialize};

/// What every error answer looks like: RFC 9457, `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// Names the kind of problem: `/problems/unknown-dish`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this very request, and what to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
