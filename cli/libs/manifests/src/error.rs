//! What ends the reading of manifests.

use std::{io, path::PathBuf};

/// The result of reading manifests.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why manifests can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file is invalid, or uses a feature that is not supported.
    #[error("{}: {detail}", path.display())]
    BadFile {
        /// The file, as it was named.
        path: PathBuf,
        /// What is wrong, and where.
        detail: String,
    },
    /// An adjustment matches nothing.
    #[error("{0}")]
    Unmatched(String),
}
