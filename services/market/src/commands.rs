//! What changes a purchase, one file a change.

pub(crate) mod save_intents;
pub(crate) mod save_receipts;
