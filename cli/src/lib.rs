//! The command line of chefcito. `main.rs` only calls `main`; the benchmark also uses the load generator and the
//! loading of images into nodes.

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
