//! Lines of logs: of the files of the embedded environment, and of streams of containers and pods.
//!
//! Guarantees: lines come in the order of their times as far as they were written in it; after a break none is missing and
//! none comes twice; a line takes bounded memory, whoever wrote it.
//!
//! Does not know: engines, clusters and output; callers open the streams and show the lines.

pub mod files;
pub mod streams;
