//! Records what the clients of an environment asked and were answered, and checks that the answers agree with each other.
//!
//! Guarantees: a history that breaks a rule is found with the requests that show it; the check takes linear time and
//! bounded memory, and holds on every runtime, with any number of replicas.
//!
//! Does not know: HTTP clients and services, deliberately: callers send the requests and hand over the bodies. The check
//! knows only what clients see: requests and answers of one caller (idempotency keys are scoped by caller).
//!
//! A [`Recorder`] writes one line before each request is sent and one after its answer has arrived; [`check()`] reads the lines
//! again.
//!
//! The order of the lines is the order of time: if the answer of A is above the request B, A was answered before B was sent.
//! The times in the lines are for readers. A request without an answer, or with one that says nothing (503, a lost
//! connection), may have had its effect or not; the check expects neither.

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
