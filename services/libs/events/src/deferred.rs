//! Events of types that this version of the program does not know, kept for a version that does.
//!
//! During a rolling deploy a newer service writes such events, and an old replica may be the one that receives them.
//!
//! - The consumer saves an unknown event in its own database before it acknowledges it. Later events about the same subject
//!   are saved behind it, so that they stay in order; other subjects go on.
//! - Every replica looks at the first event of each deferred subject. A replica that knows its type acts on it, then on the
//!   events behind it.
//! - After [`DEFERRED_MAX`] without such a replica the unknown event becomes a dead letter that was never tried, and the
//!   events behind it go on. A version that knows the type replays that dead letter by itself; only then does an event come
//!   after later ones about its subject.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use contracts::{
    Timestamp,
    events::{
        Envelope,
        catalogue::{Catalogue, Concern},
    },
};
use store::{Database, Many, StoreError, Tx, params};
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    consumer::{self, Reaction},
    dead_letters,
};

/// How long the events about a subject wait for a version that knows the first of them: longer than a rolling deploy takes,
/// and short enough for a guest if the newer version never comes.
pub const DEFERRED_MAX: Duration = Duration::from_secs(5 * 60);
/// How often a service looks at what is deferred: another replica may have deferred it.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How many rows one look reads at once: with 500 bytes an event, 500 KiB.
const READ_AT_ONCE_MAX: i64 = 1_000;

const ANY: &str = "SELECT seq FROM deferred_events LIMIT 1";
const COUNT: &str = "SELECT COUNT(*) FROM deferred_events";
const OLDEST: &str = "SELECT deferred_at FROM deferred_events ORDER BY seq LIMIT 1";
const INSERT: &str = "INSERT INTO deferred_events (id, kind, subject, event, deferred_at)
     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO NOTHING";
const FIRST: &str = "SELECT seq, kind, deferred_at FROM deferred_events AS event
     WHERE seq > ?1 AND NOT EXISTS (SELECT seq FROM deferred_events AS earlier
         WHERE earlier.subject = event.subject AND earlier.seq < event.seq)
     ORDER BY seq LIMIT ?2";
const TAKE: &str = "DELETE FROM deferred_events WHERE seq = ?1 RETURNING event";
const SUBJECTS: Many = Many {
    each: "SELECT DISTINCT subject FROM deferred_events WHERE subject = ?1",
    all: "SELECT DISTINCT subject FROM deferred_events WHERE subject = ANY($1::TEXT[])",
};

/// Every statement of this file that both engines run, for the test that prepares them.
pub const STATEMENTS: [&str; 6] = [ANY, COUNT, OLDEST, INSERT, FIRST, TAKE];
/// Every statement of this file for many rows.
pub const MANY: [Many; 1] = [SUBJECTS];

/// Saves the events of unknown types, and those about subjects that are deferred; returns the others, in their order.
pub(crate) fn defer(
    tx: &mut Tx<'_>,
    catalogue: Catalogue,
    events: &[Arc<Envelope>],
) -> Result<Vec<Arc<Envelope>>, StoreError> {
    let mut subjects: HashSet<String> = HashSet::new();
    if tx.query_one(ANY, &[], |row| row.get::<i64>(0))?.is_some() {
        let of_batch = events.iter().map(|event| params![event.subject]);
        subjects.extend(tx.query_all(&SUBJECTS, of_batch, |row| row.get::<String>(0))?);
    }
    let mut known = Vec::with_capacity(events.len());
    let mut unknown: BTreeSet<&str> = BTreeSet::new();
    for event in events {
        let is_unknown = catalogue.concern(&event.kind, tx.service()) == Concern::Unknown;
        if is_unknown {
            unknown.insert(&event.kind);
            subjects.insert(event.subject.clone());
        }
        if subjects.contains(&event.subject) {
            insert(tx, event)?;
        } else {
            known.push(Arc::clone(event));
        }
    }
    if !unknown.is_empty() {
        let unknown: Vec<&str> = unknown.into_iter().collect();
        warn!("Deferred events that this version does not know: {}", unknown.join(", "));
    }
    Ok(known)
}

fn insert(tx: &mut Tx<'_>, event: &Envelope) -> Result<(), StoreError> {
    let text =
        serde_json::to_string(event).map_err(|error| StoreError::rejected(error.to_string()))?;
    let now = tx.now();
    tx.execute(INSERT, &params![event.id, event.kind, event.subject, text, now]).map(|_| ())
}

/// Returns how many events are deferred.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn count(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(tx.query_one(COUNT, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Returns since when the first of them is deferred.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn oldest(tx: &mut Tx<'_>) -> Result<Option<Timestamp>, StoreError> {
    tx.query_one(OLDEST, &[], |row| row.get(0))
}

/// Acts on what this version knows of the deferred events and of the dead letters that no version has tried, and gives up
/// what has waited too long; returns whether there is more that can be done at once.
///
/// # Errors
/// [`StoreError`] if the database failed; the rest is done next time.
pub async fn look(
    database: &Database,
    catalogue: Catalogue,
    react: &Arc<Reaction>,
) -> Result<bool, StoreError> {
    replay_untried(database, catalogue, react).await?;
    let mut after = 0;
    let mut more = false;
    loop {
        let page = database.read(move |tx| first_of_subjects(tx, after)).await?;
        let Some(last) = page.last() else { return Ok(more) };
        after = last.seq;
        for event in page {
            if settle(database, catalogue, react, event).await? {
                // What waited behind it is the first of its subject now.
                more = true;
            }
        }
    }
}

/// The first deferred event about a subject.
struct First {
    seq: i64,
    kind: String,
    deferred_at: Timestamp,
}

fn first_of_subjects(tx: &mut Tx<'_>, after: i64) -> Result<Vec<First>, StoreError> {
    tx.query(FIRST, &params![after, READ_AT_ONCE_MAX], |row| {
        Ok(First { seq: row.get(0)?, kind: row.get(1)?, deferred_at: row.get(2)? })
    })
}

/// Acts on a deferred event, drops it if the service does not read it, or sets it aside; returns whether it is gone.
async fn settle(
    database: &Database,
    catalogue: Catalogue,
    react: &Arc<Reaction>,
    First { seq, kind, deferred_at }: First,
) -> Result<bool, StoreError> {
    match catalogue.concern(&kind, database.service()) {
        Concern::Passes => database.write(move |tx| take(tx, seq)).await?,
        Concern::Acts => {
            let reaction = Arc::clone(react);
            let acted = database.write(move |tx| {
                let Some(event) = take(tx, seq)? else { return Ok(None) };
                consumer::act(tx, &*reaction, &[Arc::new(event.clone())])?;
                Ok(Some(event))
            });
            match acted.await {
                Err(StoreError::Rejected(why)) => {
                    database.write(move |tx| set_aside(tx, seq, &why, 1)).await?
                }
                acted => acted?,
            }
        }
        Concern::Unknown => {
            if database.clock().now() < deferred_at.plus(DEFERRED_MAX) {
                return Ok(false);
            }
            let version = env!("CARGO_PKG_VERSION");
            let why = format!(
                "version {version} does not know `{kind}`; a version that does acts on it by itself"
            );
            database.write(move |tx| set_aside(tx, seq, &why, dead_letters::UNTRIED)).await?
        }
    };
    Ok(true)
}

/// Removes a deferred event; returns it if no other replica did so before.
fn take(tx: &mut Tx<'_>, seq: i64) -> Result<Option<Envelope>, StoreError> {
    let text: Option<String> = tx.query_one(TAKE, &params![seq], |row| row.get(0))?;
    let read = |text: String| {
        serde_json::from_str(&text).map_err(|error| StoreError::rejected(error.to_string()))
    };
    text.map(read).transpose()
}

fn set_aside(
    tx: &mut Tx<'_>,
    seq: i64,
    why: &str,
    attempts: i64,
) -> Result<Option<Envelope>, StoreError> {
    let Some(event) = take(tx, seq)? else { return Ok(None) };
    warn!("Set aside event {}: {why}", event.id);
    dead_letters::insert(tx, &event, why, attempts)?;
    Ok(Some(event))
}

async fn replay_untried(
    database: &Database,
    catalogue: Catalogue,
    react: &Arc<Reaction>,
) -> Result<(), StoreError> {
    let mut after = Uuid::nil();
    loop {
        let page = database.read(move |tx| dead_letters::untried(tx, after, READ_AT_ONCE_MAX));
        let page = page.await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = *last;
        for (id, kind) in page {
            match catalogue.concern(&kind, database.service()) {
                Concern::Unknown => {}
                Concern::Passes => {
                    database.write(move |tx| dead_letters::drop(tx, id)).await?;
                }
                Concern::Acts => {
                    let reaction = Arc::clone(react);
                    let replayed =
                        database.write(move |tx| dead_letters::replay(tx, &*reaction, id));
                    match replayed.await {
                        Ok(_) => info!("Acted on event {id} that an older version did not know"),
                        Err(StoreError::Rejected(why)) => {
                            let noted =
                                move |tx: &mut Tx<'_>| dead_letters::failed_again(tx, id, &why);
                            database.write(noted).await?;
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }
}
