//! What the context promises, on every engine and every bus.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod bus_promises;
mod database_bounds;
mod database_promises;
mod gathering;
mod http_limits;
mod idempotency;
mod leases;
mod many_rows;
mod metrics;
mod pairs;
mod redis_losses;
mod redis_memory;
mod redis_replicas;
mod redis_town;
mod replicas;
mod restarts;
mod retention;
mod rolling_deploy;
mod stage;
mod storage_trouble;
mod timers;
mod tls_to_postgres;
mod tls_to_redis;
mod writer_panics;
