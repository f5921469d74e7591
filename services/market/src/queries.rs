//! What the market is asked, one file a question.

pub(crate) mod list_receipts;
