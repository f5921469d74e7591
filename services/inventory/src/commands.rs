//! What changes something, one file a change. A command that changes free stock or waiting orders locks the shelves first.

mod adjust_stock;
mod open_stock;
mod release_ingredients;
mod reserve_ingredients;
mod restock;
mod serve_waiting;

pub(crate) use adjust_stock::{adjust_stock, adjusted};
pub(crate) use open_stock::{open_stock, opened};
pub(crate) use release_ingredients::release_ingredients;
pub(crate) use reserve_ingredients::reserve_ingredients;
pub(crate) use restock::{Answered, Restocked, Round, restock};
pub(crate) use serve_waiting::{Served, serve_waiting};
