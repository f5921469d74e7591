//! What is true and what may happen: no I/O, no clock, no SQL.

mod basket;
mod breaker;
mod reserving;
mod restocking;

pub(crate) use basket::{Basket, INGREDIENTS, out_of_bounds};
pub(crate) use breaker::{Breaker, Gate};
pub(crate) use reserving::{Decision, WAITING_WINDOW_MAX, Walk};
pub(crate) use restocking::{Appetite, what_to_buy};
