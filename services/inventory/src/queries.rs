//! What is asked and changes nothing, one file a question.

mod list_purchases;
mod show_stock;

pub(crate) use list_purchases::{LIMIT_MAX, list_purchases};
pub(crate) use show_stock::{count_open, list_waiting, show_stock};
