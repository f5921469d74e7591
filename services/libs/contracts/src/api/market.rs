//! What the market service tells about itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether calls go through to the farmers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Circuit {
    /// They do.
    Closed,
    /// Too many failed: none is made for a while.
    Open,
    /// One is made, to see.
    HalfOpen,
}
