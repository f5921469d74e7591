//! What changes the plaza, one file a change.

pub(crate) mod change_settings;
pub(crate) mod sell;
