//! The command line of the environment. `main.rs` only calls in here; the load generator, and loading images into nodes, are open to
//! the benchmark, too.

pub mod load;
pub mod loading;

mod background;
mod client;
mod commands;
mod compose_file;
mod config;
mod docker;
mod ecs;
mod error;
mod images;
mod kubernetes;
mod kustomize;
mod log_files;
mod log_streams;
mod manifests;
mod output;
mod postgres;
mod process;
mod progress;
mod runtimes;
mod seeds;
mod signals;
mod state;
mod terminal;
mod yaml;

pub use commands::main;
