//! What the databases of a process say of their queues and pools, for Prometheus: read when they are asked for.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, histogram::Histogram},
};

use crate::{Database, ServiceLabels};

/// The databases whose figures are told.
pub struct DatabaseMetrics(pub Arc<Mutex<Vec<Database>>>);

impl fmt::Debug for DatabaseMetrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DatabaseMetrics").finish_non_exhaustive()
    }
}

/// A figure of one database.
type Figure = fn(&Database) -> u64;

const GAUGES: [(&str, &str, Figure); 6] = [
    ("writer_waiting_works", "Works that wait for the writer", |database| {
        database.waiting() as u64
    }),
    ("writer_waiting_rows", "Rows that wait at the forms before the writer", |database| {
        database.waiting_rows() as u64
    }),
    ("reads_waiting", "Reads that wait for a reader", |database| {
        database.inner.readers.waiting() as u64
    }),
    ("readers_busy", "Connections of the readers that answer a read", |database| {
        database.inner.readers.busy() as u64
    }),
    ("reader_connections", "Connections of the readers", |database| {
        database.inner.readers.connections() as u64
    }),
    ("storage_trouble", "1 if the storage is damaged, full or can't be written", |database| {
        database.trouble().is_some().into()
    }),
];
/// A histogram of one database.
type Distribution = for<'d> fn(&'d Database) -> &'d Histogram;

const HISTOGRAMS: [(&str, &str, Distribution); 4] = [
    ("writer_batch_works", "Works in each committed transaction", |database| {
        &database.inner.queue.metrics.works
    }),
    ("writer_batch_pieces", "Pieces of the works in each committed transaction", |database| {
        &database.inner.queue.metrics.pieces
    }),
    ("writer_commit_seconds", "How long the engine took to commit each transaction", |database| {
        &database.inner.queue.metrics.commit_seconds
    }),
    ("read_wait_seconds", "How long reads waited for a reader", |database| {
        database.inner.readers.wait_seconds()
    }),
];
const COUNTERS: [(&str, &str, Figure); 3] = [
    (
        "writer_retries",
        "Transactions done again after a conflict or a lost connection",
        |database| database.inner.queue.metrics.retries(),
    ),
    ("writes_refused", "Writes refused because too much waited", |database| {
        database.inner.queue.refusals()
    }),
    ("reads_refused", "Reads refused because too many waited", |database| {
        database.inner.readers.refused()
    }),
];

impl Collector for DatabaseMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let databases = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, help, figure) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for database in &databases {
                let value = i64::try_from(figure(database)).unwrap_or(i64::MAX);
                let labels = ServiceLabels { service: database.service() };
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        for (name, help, distribution) in HISTOGRAMS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            for database in &databases {
                let labels = ServiceLabels { service: database.service() };
                distribution(database).encode(family.encode_family(&labels)?)?;
            }
        }
        for (name, help, figure) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for database in &databases {
                let labels = ServiceLabels { service: database.service() };
                ConstCounter::new(figure(database)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
