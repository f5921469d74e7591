//! What the inventory tells.

use serde::{Deserialize, Serialize};

use super::{Event, order::about_an_order};
use crate::{Ingredient, OrderId, PurchaseId, Quantities};

/// All that an order needs was set aside for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngredientsReserved {
    /// The order.
    pub order: OrderId,
    /// What was set aside.
    pub reserved: Quantities,
    /// Whether the order had to wait for it (then `ingredients.awaited` came before).
    pub waited: bool,
}

/// The shelves are short of something that an order needs; it waits in arrival order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngredientsAwaited {
    /// The order.
    pub order: OrderId,
    /// What was missing when it came.
    pub missing: Quantities,
}

/// What an order had of the inventory when it was cancelled was given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngredientsReleased {
    /// The order.
    pub order: OrderId,
    /// What went back on the shelves; nothing if the order was still waiting, or had not come yet.
    pub released: Quantities,
    /// Whether the order left the queue of those who wait.
    pub left_queue: bool,
}

/// Something was bought at the farmers' market and is on the shelf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngredientPurchased {
    /// The purchase.
    pub purchase: PurchaseId,
    /// What was bought.
    pub ingredient: Ingredient,
    /// How much, more than 0.
    pub quantity: i64,
}

about_an_order! {
    IngredientsReserved => "ingredients.reserved" v 1,
    IngredientsAwaited => "ingredients.awaited" v 1,
    IngredientsReleased => "ingredients.released" v 1,
}

impl Event for IngredientPurchased {
    const NAME: &'static str = "ingredient.purchased";
    const VERSION: u16 = 1;

    fn subject(&self) -> String {
        self.ingredient.name().into()
    }
}
