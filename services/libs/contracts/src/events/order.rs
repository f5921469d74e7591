//! What the orders service tells.

use serde::{Deserialize, Serialize};

use super::Event;
use crate::{OrderId, Timestamp};

/// A guest's order was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPlaced {
    /// The order.
    pub order: OrderId,
    /// Its running number, from 1.
    pub number: i64,
    /// The dish that the guest named; if none, the kitchen picks one by the number.
    pub dish: Option<String>,
    /// When it was accepted.
    pub placed_at: Timestamp,
}

/// A guest wants an order no longer. The kitchen decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancellationRequested {
    /// The order.
    pub order: OrderId,
}

/// An order is on the table: its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderDelivered {
    /// The order.
    pub order: OrderId,
    /// What was served.
    pub dish: String,
    /// When it was accepted.
    pub placed_at: Timestamp,
    /// When it was delivered.
    pub delivered_at: Timestamp,
}

/// An order ended because its guest cancelled it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCancelled {
    /// The order.
    pub order: OrderId,
}

/// An order ended because the kitchen can't make its dish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRejected {
    /// The order.
    pub order: OrderId,
    /// Why, for the guest.
    pub reason: String,
}

macro_rules! about_an_order {
    ($($event:ty => $name:literal v $version:literal),+ $(,)?) => {$(
        impl Event for $event {
            const NAME: &'static str = $name;
            const VERSION: u16 = $version;

            fn subject(&self) -> String {
                self.order.to_string()
            }
        }
    )+};
}
pub(super) use about_an_order;

about_an_order! {
    OrderPlaced => "order.placed" v 1,
    CancellationRequested => "order.cancellation_requested" v 1,
    OrderDelivered => "order.delivered" v 1,
    OrderCancelled => "order.cancelled" v 1,
    OrderRejected => "order.rejected" v 1,
}
