//! Stories of the kitchen, told over its real database, bus and routes. The orders and the inventory are stood in for by
//! writers of their events.

mod cancelling;
mod cooking;
mod engines;
mod menu;
#[expect(clippy::unwrap_used, reason = "the helpers of tests, which clippy does not know as tests")]
mod stage;
mod starting;
