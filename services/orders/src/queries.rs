//! What can be asked about orders, one file a question.

pub(crate) mod find_orders;
pub(crate) mod list_orders;
