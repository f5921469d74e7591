//! Every event of the environment: who writes it, who reads it, and what keeps it in order.

use super::{
    CancellationRefused, CancellationRequested, CookingStarted, DishCancelled, DishPrepared,
    DishRefused, Envelope, Event, IngredientPurchased, IngredientsAwaited, IngredientsReleased,
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

/// Returns the services that an event of this name is offered to: its readers. If it is not in the catalogue, a newer version
/// wrote it: each service that reads any event must keep it for its own newer version.
#[must_use]
pub fn offered_to(name: &str) -> Vec<&'static str> {
    if let Some(entry) = CATALOGUE.iter().find(|entry| entry.name == name) {
        return entry.readers.to_vec();
    }
    let mut readers: Vec<&'static str> =
        CATALOGUE.iter().flat_map(|entry| entry.readers).copied().collect();
    readers.sort_unstable();
    readers.dedup();
    readers
}

/// The events that one version of the program knows.
#[derive(Clone, Copy, Debug)]
pub struct Catalogue(pub &'static [Entry]);

impl Default for Catalogue {
    fn default() -> Self {
        Self(&CATALOGUE)
    }
}

/// What an event is to a reader of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// The reader acts on it.
    Acts,
    /// The version knows that the reader does not act on it.
    Passes,
    /// The version does not know its name, or can't read its version.
    Unknown,
}

impl Catalogue {
    /// Returns what an event of this type is to a reader.
    #[must_use]
    pub fn concern(self, kind: &str, reader: &str) -> Concern {
        let Some((name, version)) = Envelope::name_and_version_of(kind) else {
            return Concern::Unknown;
        };
        match self.0.iter().find(|entry| entry.name == name) {
            None => Concern::Unknown,
            Some(entry) if !entry.readers.contains(&reader) => Concern::Passes,
            Some(entry) if version > entry.version => Concern::Unknown,
            Some(_) => Concern::Acts,
        }
    }
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
