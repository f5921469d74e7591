//! The words of the environment, as others have to read them.

#![expect(clippy::unwrap_used, reason = "in a test, what can't be is a failure")]

mod catalogue;
mod published;
mod services;
mod shapes;
mod texts;
mod unreadable;
