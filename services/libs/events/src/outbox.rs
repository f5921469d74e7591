//! Events on their way out.
//!
//! An announced event is a row of the outbox, written in the transaction of the change that it tells. After the commit the
//! writer hands the rows to the `Relay`, which offers them to the bus at once. A bus within the process takes each over
//! when all readers have committed it, in any order; a broker takes them over in their order. The position, up to which
//! all are taken over, is saved now and then: see `position`.
//! Events beyond [`IN_FLIGHT_MAX`] stay in the table. The relay reads them when there is room, on the writer's own thread,
//! between two commits, so that it misses no row and none overtakes another.

use std::sync::Arc;

use contracts::{
    Timestamp,
    events::{Envelope, SpecVersion, source_of},
};
use serde_json::value::RawValue;
use store::{Many, Row, StoreError, Tx, params};
use uuid::Uuid;

use crate::announce::Announced;

mod cursor;
pub mod position;
mod relay;
mod works;

pub use relay::Relay;

/// How many events of one service are on their way at once. At 500 bytes an event this bounds a service to 2 MiB.
pub const IN_FLIGHT_MAX: usize = 4_096;

const INSERT: &str = "INSERT INTO outbox (id, kind, subject, time, traceparent, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
// The transaction draws its number (xid) before its `seqs`: the relay waits for that number (see `cursor`).
const INSERT_ALL: Many = Many {
    each: INSERT,
    all: "WITH mine AS MATERIALIZED (SELECT pg_current_xact_id() AS number), told AS (
         INSERT INTO outbox (id, kind, subject, time, traceparent, data)
         SELECT event.* FROM mine, UNNEST(
             $1::TEXT[], $2::TEXT[], $3::TEXT[], $4::BIGINT[], $5::TEXT[], $6::TEXT[]) AS event
         WHERE mine.number IS NOT NULL
         RETURNING seq
     )
     SELECT seq FROM told ORDER BY seq",
};
const BEHIND: &str = "SELECT seq, id, kind, subject, time, traceparent, data FROM outbox
     WHERE seq > ?1 ORDER BY seq LIMIT ?2";
const BEFORE: &str = "SELECT seq FROM outbox WHERE seq > ?1 AND seq <= ?2 ORDER BY seq";
const AT: Many = Many {
    each: "SELECT seq, id, kind, subject, time, traceparent, data FROM outbox WHERE seq = ?1",
    all: "SELECT seq, id, kind, subject, time, traceparent, data FROM outbox
         WHERE seq = ANY($1::BIGINT[]) ORDER BY seq",
};
const LAST: &str = "SELECT MAX(seq) FROM outbox";
const OF_SUBJECT: &str = "SELECT seq, id, kind, subject, time, traceparent, data FROM outbox
     WHERE subject = ?1 ORDER BY seq LIMIT ?2";

/// Every statement of this file that both engines run, for the test that prepares them.
pub const STATEMENTS: [&str; 10] = [
    BEHIND,
    BEFORE,
    LAST,
    OF_SUBJECT,
    position::READ,
    position::CONTACT,
    position::MEET,
    position::ADVANCE,
    position::COUNT_UNPUBLISHED,
    position::OLDEST_UNPUBLISHED,
];
/// Every statement of this file for many rows.
pub const MANY: [Many; 2] = [INSERT_ALL, AT];

/// An event that is saved.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its number in its service's outbox, from 1; a later one is greater.
    pub seq: i64,
    /// The event.
    pub event: Arc<Envelope>,
}

pub use position::{count_unpublished, oldest_unpublished};

/// Writes the events that a transaction announced; returns them with their `seqs`.
pub(crate) fn append(tx: &mut Tx<'_>) -> Result<Vec<Stored>, StoreError> {
    let events = std::mem::take(&mut tx.attached::<Announced>().events);
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let seqs: Vec<i64> = if tx.is_sqlite() {
        let mut seqs = Vec::with_capacity(events.len());
        for event in &events {
            let (trace, data) = (&event.traceparent, event.data.get());
            tx.execute(
                INSERT,
                &params![event.id, event.kind, event.subject, event.time, trace, data],
            )?;
            seqs.extend(tx.last_number());
        }
        seqs
    } else {
        let rows = events.iter().map(|event| {
            let (trace, data) = (&event.traceparent, event.data.get());
            params![event.id, event.kind, event.subject, event.time, trace, data]
        });
        tx.query_all(&INSERT_ALL, rows, |row| row.get(0))?
    };
    Ok(seqs
        .into_iter()
        .zip(events)
        .map(|(seq, event)| Stored { seq, event: Arc::new(event) })
        .collect())
}

fn read_stored(service: &str, row: &Row<'_>) -> Result<Stored, StoreError> {
    let data = RawValue::from_string(row.get(6)?)
        .map_err(|error| StoreError::rejected(error.to_string()))?;
    let event = Envelope {
        specversion: SpecVersion::V1,
        id: row.get::<Uuid>(1)?,
        source: source_of(service),
        kind: row.get(2)?,
        subject: row.get(3)?,
        time: row.get::<Timestamp>(4)?,
        traceparent: row.get(5)?,
        data,
    };
    Ok(Stored { seq: row.get(0)?, event: Arc::new(event) })
}

/// Returns the `seq` of the last event in the outbox; 0 if there is none.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn last(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(tx.query_one(LAST, &[], |row| row.get::<Option<i64>>(0))?.flatten().unwrap_or(0))
}

/// Returns the first events about a subject, oldest first, up to `limit`.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn events_of(tx: &mut Tx<'_>, subject: &str, limit: i64) -> Result<Vec<Envelope>, StoreError> {
    let service = tx.service();
    tx.query(OF_SUBJECT, &params![subject, limit], |row| {
        read_stored(service, row).map(|stored| Arc::unwrap_or_clone(stored.event))
    })
}
