//! How long events are kept. What is older goes, a batch a transaction, the outbox first and the inbox after it; counters
//! of what went stay, so that the audit still adds up.
//!
//! From an outbox goes what all readers have acknowledged, and never the last event: SQLite gives the next `seq` by it. From an
//! inbox goes only what no outbox can send again.

use std::{collections::BTreeMap, time::Duration};

use contracts::{
    Timestamp,
    api::audit::{RetentionFact, RetentionQuery, RetentionSide},
    events::Envelope,
};
use store::{Database, Many, Row, StoreError, Tx, params};
use uuid::Uuid;

use crate::bus::Bus;

/// How long events are kept unless something else is said: a week.
pub const RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How much longer an inbox remembers an event than its outbox keeps it. Clocks of several machines differ by less, and no
/// transaction takes as long.
pub const INBOX_MARGIN: Duration = Duration::from_secs(60 * 60);
/// How many events of a side one transaction removes at the most: few enough that other work for the writer is not delayed much.
pub const REMOVED_AT_ONCE_MAX: i64 = 1_000;
/// How often a service looks for events to remove.
pub const LOOK_EVERY: Duration = Duration::from_secs(60);

const OUTBOX: &str = "outbox";
const INBOX: &str = "inbox";

const OLDEST_UNPUBLISHED: &str = "SELECT id FROM outbox WHERE seq =
         (SELECT MIN(seq) FROM outbox WHERE seq > (SELECT position FROM broker))";
const OLDEST_OF_OUTBOX: &str =
    "SELECT time FROM outbox WHERE seq < (SELECT MAX(seq) FROM outbox) AND
         seq <= (SELECT position FROM broker) ORDER BY seq LIMIT 1";
const OLDEST_OF_INBOX: &str = "SELECT handled_at FROM inbox WHERE id < ?1 ORDER BY id LIMIT 1";
// SKIP LOCKED: one replica cleans, the others skip; no deadlock.
const CLAIM_SQLITE: &str = "SELECT before_id FROM horizons WHERE side = ?1";
const CLAIM_POSTGRES: &str =
    "SELECT before_id FROM horizons WHERE side = ?1 FOR UPDATE SKIP LOCKED";
// The rows with the smallest `seqs`, and of those the old ones: a search for old ones alone would read the whole table.
const REMOVE_FROM_OUTBOX: &str = "DELETE FROM outbox WHERE seq IN (
         SELECT seq FROM (
             SELECT seq, time FROM outbox WHERE seq < (SELECT MAX(seq) FROM outbox) AND
                 seq <= (SELECT position FROM broker)
             ORDER BY seq LIMIT ?2) AS oldest
         WHERE time < ?1)
     RETURNING id, kind";
const REMOVE_FROM_INBOX: &str = "DELETE FROM inbox WHERE id IN (
         SELECT id FROM (SELECT id, handled_at FROM inbox WHERE id < ?3 ORDER BY id LIMIT ?2) AS oldest
         WHERE handled_at < ?1)
     RETURNING id, name";
const MOVE_HORIZON: &str = "UPDATE horizons SET before_id = ?2 WHERE side = ?1";
const COUNT_REMOVED: Many = Many {
    each: "INSERT INTO removed (name, side, removed) VALUES (?1, ?2, ?3)
         ON CONFLICT (side, name) DO UPDATE SET removed = removed.removed + excluded.removed",
    all: "INSERT INTO removed (name, side, removed)
         SELECT * FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[])
         ON CONFLICT (side, name) DO UPDATE SET removed = removed.removed + excluded.removed",
};
const REMOVED: &str = "SELECT name, removed FROM removed WHERE side = ?1";
const KEPT_IN_OUTBOX: &str = "SELECT kind, COUNT(*), COUNT(
         CASE WHEN seq > (SELECT position FROM broker) THEN seq END)
     FROM outbox WHERE id <= ?1 GROUP BY kind";
const KEPT_IN_INBOX: &str = "SELECT name, COUNT(*) FROM inbox WHERE id <= ?1 GROUP BY name";

/// Every statement of this file that both engines run, for the test that prepares them.
pub const STATEMENTS: [&str; 10] = [
    OLDEST_UNPUBLISHED,
    OLDEST_OF_OUTBOX,
    OLDEST_OF_INBOX,
    CLAIM_SQLITE,
    REMOVE_FROM_OUTBOX,
    REMOVE_FROM_INBOX,
    MOVE_HORIZON,
    REMOVED,
    KEPT_IN_OUTBOX,
    KEPT_IN_INBOX,
];
/// Every statement of this file for many rows.
pub const MANY: [Many; 1] = [COUNT_REMOVED];

/// Removes a batch of the events that are older than `retention` from the outbox and the inbox of a service; returns
/// whether there may be more.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is removed then.
pub async fn look(
    database: &Database,
    bus: &dyn Bus,
    retention: Duration,
) -> Result<bool, StoreError> {
    let service = database.service();
    // Events of transactions before this one have smaller ids, and those of later ones larger: if nothing is unpublished
    // in it, all below is published.
    let newest = contracts::new_uuid();
    let published_below = bus.published_below(service).await;
    let looked = database.write(move |tx| {
        let oldest = tx.query_one(OLDEST_UNPUBLISHED, &[], |row| row.get::<Uuid>(0))?;
        let before = tx.now().minus(retention);
        let outbox = remove_from_outbox(tx, before)?;
        let inbox = match published_below {
            Some(bound) => remove_from_inbox(tx, before.minus(INBOX_MARGIN), bound)?,
            None => 0,
        };
        Ok((oldest, outbox.max(inbox)))
    });
    let (oldest, removed) = looked.await?;
    bus.note_published_below(service, oldest.unwrap_or(newest)).await;
    Ok(removed >= REMOVED_AT_ONCE_MAX)
}

fn remove_from_outbox(tx: &mut Tx<'_>, before: Timestamp) -> Result<i64, StoreError> {
    let oldest = tx.query_one(OLDEST_OF_OUTBOX, &[], |row| row.get::<Timestamp>(0))?;
    if oldest.is_none_or(|oldest| oldest >= before) {
        return Ok(0);
    }
    let Some(horizon) = claim(tx, OUTBOX)? else { return Ok(0) };
    let removed = tx.query(REMOVE_FROM_OUTBOX, &params![before, REMOVED_AT_ONCE_MAX], |row| {
        let kind: String = row.get(1)?;
        Ok((row.get(0)?, name_of(&kind).to_owned()))
    })?;
    note(tx, OUTBOX, horizon, removed)
}

fn remove_from_inbox(
    tx: &mut Tx<'_>,
    before: Timestamp,
    published_below: Uuid,
) -> Result<i64, StoreError> {
    let oldest =
        tx.query_one(OLDEST_OF_INBOX, &params![published_below], |row| row.get::<Timestamp>(0))?;
    if oldest.is_none_or(|oldest| oldest >= before) {
        return Ok(0);
    }
    let Some(horizon) = claim(tx, INBOX)? else { return Ok(0) };
    let bounds = params![before, REMOVED_AT_ONCE_MAX, published_below];
    let removed = tx.query(REMOVE_FROM_INBOX, &bounds, |row| Ok((row.get(0)?, row.get(1)?)))?;
    note(tx, INBOX, horizon, removed)
}

/// Takes the right to remove from a side until the commit; returns its horizon, or nothing if another process has it.
fn claim(tx: &mut Tx<'_>, side: &str) -> Result<Option<String>, StoreError> {
    let sql = tx.either(CLAIM_SQLITE, CLAIM_POSTGRES);
    tx.query_one(sql, &params![side], |row| row.get(0))
}

/// Adds the removed events to the counters; returns how many they are.
fn note(
    tx: &mut Tx<'_>,
    side: &str,
    horizon: String,
    removed: Vec<(String, String)>,
) -> Result<i64, StoreError> {
    let count = i64::try_from(removed.len()).unwrap_or(i64::MAX);
    if removed.is_empty() {
        return Ok(count);
    }
    let mut names: BTreeMap<String, i64> = BTreeMap::new();
    let mut largest = horizon;
    for (id, name) in removed {
        *names.entry(name).or_default() += 1;
        largest = largest.max(id);
    }
    tx.execute(MOVE_HORIZON, &params![side, largest])?;
    tx.execute_all(
        &COUNT_REMOVED,
        names.iter().map(|(name, count)| params![name.as_str(), side, *count]),
    )?;
    Ok(count)
}

/// Returns what the service no longer keeps, and what it still keeps of the events up to the one asked for, at one moment.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn facts(tx: &mut Tx<'_>, query: &RetentionQuery) -> Result<RetentionFact, StoreError> {
    let mut outbox = side(tx, OUTBOX)?;
    let mut inbox = side(tx, INBOX)?;
    let mut unpublished: BTreeMap<String, i64> = BTreeMap::new();
    if let Some(upto) = query.upto {
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let kinds: Vec<(String, i64, i64)> = tx.query(KEPT_IN_OUTBOX, &params![upto], read)?;
        for (kind, kept, waiting) in kinds {
            // Two versions of an event are one event.
            *outbox.kept.entry(name_of(&kind).to_owned()).or_default() += kept;
            *unpublished.entry(name_of(&kind).to_owned()).or_default() += waiting;
        }
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        inbox.kept = tx.query(KEPT_IN_INBOX, &params![upto], read)?.into_iter().collect();
    }
    Ok(RetentionFact { outbox, inbox, unpublished })
}

fn side(tx: &mut Tx<'_>, side: &str) -> Result<RetentionSide, StoreError> {
    let horizon: Option<String> = tx.query_one(CLAIM_SQLITE, &params![side], |row| row.get(0))?;
    let removed = tx.query(REMOVED, &params![side], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(RetentionSide {
        horizon: horizon.and_then(|id| id.parse().ok()),
        removed: removed.into_iter().collect(),
        kept: BTreeMap::new(),
    })
}

fn name_of(kind: &str) -> &str {
    Envelope::name_and_version_of(kind).map_or(kind, |(name, _)| name)
}
