//! What is true and what may happen: no I/O, no clock, no SQL.

pub(crate) mod menu;
pub(crate) mod round;
pub(crate) mod stoves;
pub(crate) mod ticket;
