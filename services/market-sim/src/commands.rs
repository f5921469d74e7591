//! What changes the simulated market, one file a change.

pub(crate) mod change_settings;
pub(crate) mod sell;
