//! Every event of the environment: who writes it, who reads it, and what keeps it in order.

use super::{
    CancellationRefused, CancellationRequested, CookingStarted, DishCancelled, DishPrepared,
    DishRefused, Event, IngredientPurchased, IngredientsAwaited, IngredientsReleased,
    IngredientsRequested, IngredientsReserved, MenuChanged, OrderCancelled, OrderDelivered,
    OrderPlaced, OrderRejected,
};
use crate::services::{BOARD, INVENTORY, KITCHEN, ORDERS};

/// One event of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name, without prefix and version.
    pub name: &'static str,
    /// The version written today.
    pub version: u16,
    /// The one service that writes it.
    pub writer: &'static str,
    /// The services that act on it.
    pub readers: &'static [&'static str],
    /// What events are kept in order by: what their `subject` is.
    pub key: Key,
}

/// What keeps events in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The id of an order.
    Order,
    /// The name of an ingredient.
    Ingredient,
    /// There is only one menu.
    Menu,
}

const fn entry<E: Event>(
    writer: &'static str,
    readers: &'static [&'static str],
    key: Key,
) -> Entry {
    Entry { name: E::NAME, version: E::VERSION, writer, readers, key }
}

/// Every event, in the order in which an order meets them.
pub const CATALOGUE: [Entry; 16] = [
    entry::<MenuChanged>(KITCHEN, &[ORDERS], Key::Menu),
    entry::<OrderPlaced>(ORDERS, &[KITCHEN, BOARD], Key::Order),
    entry::<IngredientsRequested>(KITCHEN, &[INVENTORY, BOARD], Key::Order),
    entry::<IngredientsAwaited>(INVENTORY, &[BOARD], Key::Order),
    entry::<IngredientPurchased>(INVENTORY, &[BOARD], Key::Ingredient),
    entry::<IngredientsReserved>(INVENTORY, &[KITCHEN, BOARD], Key::Order),
    entry::<CookingStarted>(KITCHEN, &[ORDERS, BOARD], Key::Order),
    entry::<DishPrepared>(KITCHEN, &[ORDERS, BOARD], Key::Order),
    entry::<OrderDelivered>(ORDERS, &[BOARD], Key::Order),
    entry::<CancellationRequested>(ORDERS, &[KITCHEN, BOARD], Key::Order),
    entry::<DishCancelled>(KITCHEN, &[INVENTORY, ORDERS, BOARD], Key::Order),
    entry::<CancellationRefused>(KITCHEN, &[ORDERS, BOARD], Key::Order),
    entry::<IngredientsReleased>(INVENTORY, &[BOARD], Key::Order),
    entry::<OrderCancelled>(ORDERS, &[BOARD], Key::Order),
    entry::<DishRefused>(KITCHEN, &[ORDERS, BOARD], Key::Order),
    entry::<OrderRejected>(ORDERS, &[BOARD], Key::Order),
];

/// Returns the services that act on an event of this name; none if it is not in the catalogue.
#[must_use]
pub fn readers_of(name: &str) -> &'static [&'static str] {
    CATALOGUE.iter().find(|entry| entry.name == name).map_or(&[], |entry| entry.readers)
}

/// Returns whether a service acts on any event.
#[must_use]
pub fn is_reader(service: &str) -> bool {
    CATALOGUE.iter().any(|entry| entry.readers.contains(&service))
}

/// Returns whether a service writes any event.
#[must_use]
pub fn is_writer(service: &str) -> bool {
    CATALOGUE.iter().any(|entry| entry.writer == service)
}

/// Returns what keeps events of this name in order; nothing if it is not in the catalogue.
#[must_use]
pub fn key_of(name: &str) -> Option<Key> {
    CATALOGUE.iter().find(|entry| entry.name == name).map(|entry| entry.key)
}
