//! What makes a process a service.
//!
//! Guarantees: settings are read once and wrong ones are named; every request is bounded in size and time and answered,
//! refusals as RFC 9457 [problems](problem); a service that is told to stop answers what is under way; logs and metrics
//! have one form; a request that is sent again under its key changes nothing and gets the first
//! response ([`idempotency`]). A [`ServiceContext`] puts a service together from a database, a bus, workers and the routes that every
//! service has; [`standalone`] runs one in a process of its own.
//!
//! Does not know: what any service does.

mod backlog;
pub mod config;
mod context;
mod file_size;
pub mod http;
pub mod idempotency;
pub mod metrics;
mod migrations;
pub mod problem;
mod routes;
pub mod standalone;
pub mod starts;
mod startup_retry;
pub mod telemetry;
pub mod token;

pub use context::{CountOpen, ListWaiting, Pace, Service, ServiceContext};
pub use routes::facts_page;
