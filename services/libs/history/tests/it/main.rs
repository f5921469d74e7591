//! Histories: right ones pass, each kind of wrong answer is found, and files of any content are told apart.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod answers;
mod files;
mod model;
mod mutations;
