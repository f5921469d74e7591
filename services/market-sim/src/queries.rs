//! What the simulated market is asked, one file a question.

pub(crate) mod find_sale;
pub(crate) mod list_sales;
pub(crate) mod show_market_sim;
