//! The command line of chefcito. `main.rs` only calls `main`; the benchmark also uses the load generator and the
//! loading of images into nodes.

mod background;
mod ci;
mod clock;
mod commands;
mod completion;
mod config;
mod confirmation;
mod diagnostics;
mod ecs;
mod error;
mod images;
mod order_prefix;
mod output;
mod output_file;
mod overlays;
mod plan;
mod postgres;
mod process;
mod progress;
mod report;
mod runtimes;
mod seeds;
mod settings;
mod signals;
mod state;
mod suggest;
mod terminal;

pub use commands::main;
