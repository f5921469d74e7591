//! What changes orders, one file a change.

pub(crate) mod cancel_orders;
pub(crate) mod change_menu;
pub(crate) mod end_orders;
pub(crate) mod place_orders;
