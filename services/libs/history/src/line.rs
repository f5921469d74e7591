//! The format of a history: JSON lines.
//!
//! ```text
//! {"begin":{"version":1,"at":"2026-01-31T12:00:00.000000Z"}}
//! {"invoke":{"call":0,"at":"…","ask":{"place":{"key":"table-7","dishes":["pizza"]}}}}
//! {"answer":{"call":0,"at":"…","outcome":{"http":{"status":202,"orders":[{"id":"…","number":1,"status":"placed"}]}}}}
//! ```

use contracts::{Ingredient, OrderId, Timestamp, api::orders::OrderStatus};
use serde::{Deserialize, Serialize};

/// The version of this format.
pub const VERSION: u16 = 1;

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// A recorder began. A file has one for each run that was appended; calls of an earlier run get no further answers.
    Begin(Begin),
    /// A request is about to be sent.
    Invoke {
        /// The number of the call, unique in its run.
        call: u64,
        /// When.
        at: Timestamp,
        /// What is asked.
        ask: Ask,
    },
    /// A request has ended.
    Answer {
        /// The number of the call.
        call: u64,
        /// When.
        at: Timestamp,
        /// How it ended.
        outcome: Outcome,
    },
}

/// The beginning of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The version of the format, [`VERSION`].
    pub version: u16,
    /// When.
    pub at: Timestamp,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Ask {
    /// `POST /v1/orders`.
    Place {
        /// The idempotency key. Without one, each request is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The dish of each order; `null` lets the kitchen pick.
        dishes: Vec<Option<String>>,
    },
    /// `GET /v1/orders/{id}` or `POST /v1/orders/states`: a read that must find the orders that exist.
    Read {
        /// The orders.
        orders: Vec<OrderId>,
    },
    /// `GET /v1/orders`: whichever orders the service lists.
    List,
    /// `POST /v1/orders/{id}/cancel`.
    Cancel {
        /// The order.
        order: OrderId,
    },
    /// `GET /v1/stock`.
    Stock,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Outcome {
    /// It was answered.
    Http {
        /// The HTTP status.
        status: u16,
        /// The orders of the answer.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        orders: Vec<Seen>,
        /// The stock of the answer.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        stock: Vec<Shelf>,
    },
    /// It was not answered: the client does not know whether it had its effect.
    Unknown {
        /// Why.
        why: String,
    },
}

/// An order, as an answer showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its id.
    pub id: OrderId,
    /// Its running number.
    pub number: i64,
    /// Where it was. In the answer to [`Ask::Place`] it says where the order was when it was placed.
    pub status: OrderStatus,
}

/// The stock of an ingredient, as an answer showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shelf {
    /// The ingredient.
    pub ingredient: Ingredient,
    /// What is free to be reserved.
    pub on_hand: i64,
}
