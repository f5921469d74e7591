//! The floor that every service stands on. No word of the restaurant is known in here.
//!
//! - [`database`]: one writer that commits for many at once, readers beside it, SQLite and PostgreSQL below one small
//!   [`Tx`](database::Tx).
//! - [`outbox`], [`bus`], [`consumer`], [`dead_letters`]: an event and the change that it tells are one transaction;
//!   what was announced is delivered at least once and acted on exactly once.
//! - [`retention`]: how long events are kept, and what is left of those that are not.
//! - [`service`]: puts a service together from these, with workers and the routes that every service has.
//! - [`http`], [`token`], [`problem`], [`telemetry`], [`metrics`], [`config`], [`tls`]: the edges.
//! - [`alone`]: runs a service in a process of its own.

pub mod alone;
pub mod bus;
pub mod clock;
pub mod config;
pub mod consumer;
pub mod database;
pub mod dead_letters;
pub mod facts;
pub mod http;
pub mod leases;
pub mod metrics;
pub mod outbox;
mod patience;
pub mod problem;
pub mod retention;
pub mod service;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod timers;
pub mod tls;
pub mod token;

pub use clock::Clock;
