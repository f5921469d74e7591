//! The orders service, as its guests and the kitchen see it.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod cancelling;
mod crowded;
mod delivering;
mod door;
mod listing;
mod pairs;
mod placing;
mod repeating;
mod standalone;
