//! Records what the clients of an environment asked and were answered, and checks that the answers agree with each other.
//!
//! A [`Recorder`] writes one line before each request is sent and one after its answer has arrived; [`check()`] reads the lines
//! again. The check takes linear time and bounded memory, and holds on every runtime, with any number of replicas, because
//! it knows only what clients see: HTTP requests and answers of one caller (idempotency keys are scoped by caller).
//!
//! The order of the lines is the order of time: if the answer of A is above the request B, A was answered before B was sent.
//! The times in the lines are for readers. A request without an answer, or with one that says nothing (503, a lost
//! connection), may have had its effect or not; the check expects neither.
//!
//! This crate deliberately knows neither HTTP clients nor services: callers send the requests and hand over the bodies.

mod check;
mod file;
mod line;
mod orders;
mod recorder;
mod violation;

pub use check::check;
pub use file::{HistoryError, LINE_BYTES_MAX, check_file, open_to_append, open_to_read};
pub use line::{Ask, Begin, Line, Outcome, Seen, Shelf, VERSION};
pub use orders::ORDERS_MAX;
pub use recorder::{Call, Recorder};
pub use violation::{Findings, Rule, RuleFindings, SAMPLES_MAX, Violation};
