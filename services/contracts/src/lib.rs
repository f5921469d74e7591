//! The published language of the house: what services say to each other and to the world. Words only, no logic.
//!
//! [`events`] are what happened, for ever in the shape in which they were published; [`api`] is what is asked and
//! answered at the door; [`market`] is generated from the market's proto.

pub mod api;
pub mod events;
mod id;
mod ingredient;
mod time;

pub use id::{Id, OrderId, ParseIdError, PurchaseId, kinds};
pub use ingredient::{Ingredient, QUANTITY_MAX, Quantities, UnknownIngredient};
pub use time::{ParseTimestampError, Timestamp};

/// The services of the house, by the names that logs, events, schemas and files use.
pub mod services {
    /// The one public door.
    pub const GATEWAY: &str = "gateway";
    /// Takes orders and knows where each one is.
    pub const ORDERS: &str = "orders";
    /// Picks the recipe, asks for ingredients, cooks.
    pub const KITCHEN: &str = "kitchen";
    /// Stock, reservations, purchases.
    pub const INVENTORY: &str = "inventory";
    /// The adapter in front of the farmers' market outside.
    pub const MARKET: &str = "market";
    /// The stand-in for that market.
    pub const PLAZA: &str = "plaza";
    /// The live view.
    pub const BOARD: &str = "board";

    /// All of them, in the order in which an order meets them.
    pub const ALL: [&str; 7] = [GATEWAY, ORDERS, KITCHEN, INVENTORY, MARKET, PLAZA, BOARD];
}

/// The market's gRPC client, server and messages.
#[expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::missing_errors_doc,
    reason = "generated; the proto holds the words"
)]
pub mod market {
    tonic::include_proto!("chefcito.market.v1");
}
