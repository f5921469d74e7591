//! The texts that describe an environment: the compose file and kustomizations, parsed strictly into plain values.
//!
//! Guarantees: what is not supported is an error with its place, and never ignored; a value is never changed silently; text
//! of any depth and size ends in bounded time and memory.
//!
//! Does not know: engines, clusters, commands and output; it reads files of a checkout, and nothing else.
//!
//! ```text
//! compose_file   `manifests/compose.yaml` as services, networks and volumes
//! kustomize      `manifests/kubernetes` as objects
//! quantities     quantities of memory and processors
//! ```

pub mod compose_file;
pub mod kustomize;
pub mod quantities;

mod at;
mod error;

pub use error::{Error, Result};

#[cfg(test)]
mod tests;
