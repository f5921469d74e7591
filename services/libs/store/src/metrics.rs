//! The labels of a service's metrics, and the metrics of its writer.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::{encoding::EncodeLabelSet, metrics::histogram::Histogram};

/// The bounds of the buckets for durations, in seconds: from a commit without a disk to the longest time limit.
pub const SECONDS: [f64; 13] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];
/// The bounds of the buckets for sizes: up to the most that one transaction takes.
const SIZES: [f64; 7] = [1.0, 2.0, 4.0, 16.0, 64.0, 256.0, 4_096.0];

/// The label of what each service of a process counts for itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServiceLabels {
    /// The service's name.
    pub service: &'static str,
}

/// What a writer counts, once a transaction.
#[derive(Debug)]
pub(crate) struct WriterMetrics {
    /// Works of each committed transaction.
    pub(crate) works: Histogram,
    /// Pieces of these works.
    pub(crate) pieces: Histogram,
    /// How long each commit took.
    pub(crate) commit_seconds: Histogram,
    retries: AtomicU64,
}

impl Default for WriterMetrics {
    fn default() -> Self {
        Self {
            works: Histogram::new(SIZES),
            pieces: Histogram::new(SIZES),
            commit_seconds: Histogram::new(SECONDS),
            retries: AtomicU64::new(0),
        }
    }
}

impl WriterMetrics {
    /// Counts a committed transaction.
    pub(crate) fn committed(&self, works: usize, pieces: usize) {
        self.works.observe(works as f64);
        self.pieces.observe(pieces as f64);
    }

    /// Counts a transaction that is done again.
    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many transactions were done again.
    pub(crate) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }
}
