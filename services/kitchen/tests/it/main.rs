//! Stories of the kitchen, told over its real database, bus and routes. The orders and the inventory are stood in for by
//! writers of their events.

#![expect(clippy::unwrap_used, reason = "clippy does not know the helpers of tests as tests")]

mod cancelling;
mod cooking;
mod engines;
mod menu;
mod stage;
mod starting;
