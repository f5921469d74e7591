//! What the kitchen tells.

use serde::{Deserialize, Serialize};

use super::{Event, order::about_an_order};
use crate::{OrderId, Quantities};

/// A ticket was opened: the kitchen needs these ingredients for one order, all or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngredientsRequested {
    /// The order.
    pub order: OrderId,
    /// The order's running number: who came first.
    pub number: i64,
    /// What will be cooked.
    pub dish: String,
    /// The version of the recipe that the ticket was opened with.
    pub recipe_version: i64,
    /// What the recipe takes.
    pub needs: Quantities,
}

/// A cook has a stove and all ingredients; from here on the dish can't be cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CookingStarted {
    /// The order.
    pub order: OrderId,
    /// What is cooked.
    pub dish: String,
    /// The stove's number, from 1.
    pub stove: i64,
}

/// A dish is ready to be served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DishPrepared {
    /// The order.
    pub order: OrderId,
    /// What was cooked.
    pub dish: String,
}

/// A dish will not be cooked, because the guest cancelled in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DishCancelled {
    /// The order.
    pub order: OrderId,
}

/// A guest cancelled too late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancellationRefused {
    /// The order.
    pub order: OrderId,
    /// Why, for the guest.
    pub reason: String,
}

/// The kitchen can't make what was ordered: the dish left the menu after the order was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DishRefused {
    /// The order.
    pub order: OrderId,
    /// Why, for the guest.
    pub reason: String,
}

/// The menu has other dishes or other recipes than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MenuChanged {
    /// The menu's version, from 1; a later menu has a greater one.
    pub version: i64,
    /// The names of all dishes that can be ordered, sorted.
    pub dishes: Vec<String>,
}

about_an_order! {
    IngredientsRequested => "ingredients.requested" v 1,
    CookingStarted => "cooking.started" v 1,
    DishPrepared => "dish.prepared" v 1,
    DishCancelled => "dish.cancelled" v 1,
    CancellationRefused => "cancellation.refused" v 1,
    DishRefused => "dish.refused" v 1,
}

impl Event for MenuChanged {
    const NAME: &'static str = "menu.changed";
    const VERSION: u16 = 1;

    fn subject(&self) -> String {
        "menu".into()
    }
}
