//! The published language of the environment: what services say to each other and to the world. Words only, no logic but how strictly
//! they are read: [`json`].
//!
//! Guarantees: [`events`] are what happened, for ever readable in the shape in which they were published; [`api`] is what is
//! asked and answered at the door; [`services`] is the one table of those who say it; [`market`] is generated from the
//! market's proto.
//!
//! Does not know: databases, HTTP servers and clients, and how any service does what it says.

pub mod api;
pub mod events;
mod id;
mod ingredient;
pub mod json;
pub mod services;
mod time;

pub use id::{Id, OrderId, ParseIdError, PurchaseId, kinds, new_uuid};
pub use ingredient::{Ingredient, QUANTITY_MAX, Quantities, Quantity, UnknownIngredient};
pub use time::{ParseTimestampError, Timestamp};

/// The market's gRPC client, server and messages.
#[expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::missing_errors_doc,
    reason = "generated; the proto holds the words"
)]
pub mod market {
    tonic::include_proto!("chefcito.market.v1");

    /// The most that one purchase buys, as the proto says of `quantity_sold`. What claims to be more is no answer.
    pub const QUANTITY_SOLD_MAX: i64 = 1_000_000;
}
