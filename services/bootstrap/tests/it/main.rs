//! The bootstrap of an environment, as containers call it.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod command;
mod roles;
mod secrets;
