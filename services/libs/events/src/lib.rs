//! Events between services.
//!
//! Guarantees: a change and the events that it announces ([`Announce`]) are one transaction; each announced event reaches
//! every reader of the catalogue at least once, in order for each subject, and is acted on once; an event that can't be
//! acted on becomes a [dead letter](dead_letters) and holds nobody up; an event that only a newer version knows is
//! [deferred] until that version acts on it; old events are removed and stay counted.
//!
//! Does not know: HTTP, the environment's variables, Redis (a [`Bus`] may be anything that keeps its promises), what an
//! event means.

mod announce;
mod bus;
pub mod consumer;
pub mod dead_letters;
pub mod deferred;
pub mod facts;
mod in_process;
mod metrics;
mod migrations;
pub mod outbox;
pub mod retention;

pub use announce::Announce;
pub use bus::{Bus, Delivery, Guard, NoGuard, Subscription};
pub use consumer::{Consumer, Gathering, Reaction};
pub use in_process::{Faults, in_process, in_process_with};
pub use metrics::ConsumerMetrics;
pub use migrations::MIGRATIONS;
pub use outbox::{Relay, Stored};
