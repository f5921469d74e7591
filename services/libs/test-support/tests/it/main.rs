//! The stories of services as processes of their own.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod answers;
mod kills;
mod ledgers;
mod one_order;
mod postgres;
mod replicas;
mod restarts;
mod tls;
