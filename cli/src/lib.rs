//! The command line of the house. `main.rs` only calls in here; the load generator is open to the benchmark, too.

pub mod load;

#[expect(dead_code, reason = "the runtime of containers, which uses all of it, follows")]
mod blueprint;
mod client;
mod commands;
mod config;
#[expect(dead_code, reason = "the runtime of containers, which uses all of it, follows")]
mod docker;
mod embedded;
mod error;
mod images;
mod log_files;
mod output;
mod plan;
mod postgres;
mod process;
mod progress;
mod seeds;
mod signals;
mod state;
mod yaml;

pub use commands::main;
