//! The database of one service: a SQLite file, or a schema of PostgreSQL.
//!
//! Guarantees: one writer commits for all callers that wait ([`Database::write`], [`Database::batch_queue`]); bounded
//! readers ask beside it ([`Database::read`]); work is a plain synchronous function over a [`Tx`], the same text for both
//! engines; a migrated schema; [`leases`] and [`timers`] that a crash does not forget.
//!
//! Does not know: events, HTTP, the environment's variables, the restaurant. A library that must write in every
//! transaction is given a [`CommitHook`].

mod arrays;
mod batch;
mod clock;
mod database;
mod database_metrics;
mod error;
mod execution;
mod explain;
mod health;
mod hook;
pub mod leases;
mod metrics;
mod migrations;
mod planning;
mod postgres;
mod readers;
mod retry;
mod server;
mod span;
mod sqlite;
pub mod timers;
pub mod tls;
mod transaction;
mod value;
mod writer;
mod writer_threads;

pub use arrays::Many;
pub use batch::{BATCH_MAX, BATCH_ROWS_MAX, WAITING_MAX, WAITING_ROWS_MAX};
pub use clock::Clock;
pub use database::{BatchQueue, Database, Durability, Location, OpenError};
pub use database_metrics::DatabaseMetrics;
pub use error::{StoreError, chain};
pub use execution::Execution;
#[cfg(feature = "testing")]
pub use execution::Steps;
pub use hook::{AfterCommit, CommitHook, NoHook};
pub use metrics::{SECONDS, ServiceLabels};
pub use migrations::{Migration, Migrations};
pub use readers::{LOOK_UP_ROWS_MAX, READS_WAITING_MAX};
pub use retry::jittered;
pub use server::{ConnectError, Server};
pub use span::{SERVICE_SPAN, service_span};
pub use transaction::{Row, Tx};
pub use value::{ByName, FromValue, ToValue, Value, ValueRef};
pub use writer::{WRITES_WAITING_MAX, Work};
pub use writer_threads::WriterThreads;

use transaction::{Access, Connection};
