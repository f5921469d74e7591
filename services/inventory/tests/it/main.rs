//! The inventory, as the kitchen, its guests and the farmers' market see it.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod adjusting;
mod cancelling;
mod disorder;
mod over_grpc;
mod pairs;
mod pantry;
mod replicas;
mod reserving;
mod restocking;
mod statements;
mod throughput;
