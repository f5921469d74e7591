//! Runs the whole embedded environment on one thread, in simulated time, from a seed.
//!
//! Guarantees: a seed decides everything that happens (scheduling, entropy, clock, faults, load), so a seed that fails
//! fails again. Linux only: [`machine`] overrides functions of the C library. One process runs one seed, because UUIDv7's
//! counter and other thread-local state of libraries would leak from one seed into the next.
//!
//! Does not know: PostgreSQL, Redis, sockets, threads and the loss of power, deliberately. See `README.md`.

mod clients;
pub mod machine;
mod market;
pub mod plan;
pub mod planted;
mod replicas;
mod run;
pub mod seeds;
mod world;

pub use run::{Outcome, run};
