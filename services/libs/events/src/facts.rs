//! What every service tells the audit about itself: its outbox, its inbox, its storage.

use std::collections::BTreeMap;

use contracts::{
    api::audit::{FACTS_PER_PAGE_MAX, FactsQuery, InboxFact, OutboxFact, SubjectFact},
    events::Envelope,
};
use store::{Row, StoreError, Tx, params};

const OUTBOX: &str = "SELECT id, kind, subject, seq > (SELECT position FROM broker) FROM outbox
     WHERE id > ?1 ORDER BY id LIMIT ?2";
const INBOX: &str = "SELECT id, name FROM inbox WHERE id > ?1 ORDER BY id LIMIT ?2";

// A page is of whole subjects, so it ends with the last of the next so many.
const SUBJECTS: &str = "SELECT subject, kind, COUNT(*) FROM outbox WHERE subject > ?1 AND subject <= (
         SELECT MAX(subject) FROM (
             SELECT DISTINCT subject FROM outbox WHERE subject > ?1 ORDER BY subject LIMIT ?2) AS page)
     GROUP BY subject, kind ORDER BY subject, kind";

// The id is no plain column here, so that SQLite looks for the subject first.
const SUBJECTS_ABOVE: &str =
    "SELECT subject, kind, COUNT(*) FROM outbox WHERE subject > ?1 AND subject <= (
         SELECT MAX(subject) FROM (
             SELECT DISTINCT subject FROM outbox WHERE subject > ?1 AND id || '' > ?3
             ORDER BY subject LIMIT ?2) AS page)
         AND id || '' > ?3
     GROUP BY subject, kind ORDER BY subject, kind";

/// Every statement of this file, for the test that prepares them.
pub const STATEMENTS: [&str; 4] = [OUTBOX, INBOX, SUBJECTS, SUBJECTS_ABOVE];

/// Returns where a page of facts begins (after this key) and how many it holds at the most.
#[must_use]
pub fn page(query: &FactsQuery) -> (String, i64) {
    let limit = query.limit.unwrap_or(FACTS_PER_PAGE_MAX).clamp(1, FACTS_PER_PAGE_MAX);
    (query.after.clone().unwrap_or_default(), limit)
}

/// Returns a page of the events that the service wrote.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn outbox(tx: &mut Tx<'_>, query: &FactsQuery) -> Result<Vec<OutboxFact>, StoreError> {
    let (after, limit) = page(query);
    tx.query(OUTBOX, &params![after, limit], |row| {
        let kind: String = row.get(1)?;
        Ok(OutboxFact {
            id: row.get(0)?,
            name: name_of(&kind).to_owned(),
            subject: row.get(2)?,
            published: row.get::<Option<i64>>(3)? == Some(0),
        })
    })
}

/// Returns a page of the events that the service acted on.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn inbox(tx: &mut Tx<'_>, query: &FactsQuery) -> Result<Vec<InboxFact>, StoreError> {
    let (after, limit) = page(query);
    tx.query(INBOX, &params![after, limit], |row| {
        Ok(InboxFact { id: row.get(0)?, name: row.get(1)? })
    })
}

/// Returns what the service told about each subject of a page; only by events above an id, if the query has one.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn subjects(tx: &mut Tx<'_>, query: &FactsQuery) -> Result<Vec<SubjectFact>, StoreError> {
    let (after, limit) = page(query);
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let rows: Vec<(String, String, i64)> = match query.above {
        Some(above) => tx.query(SUBJECTS_ABOVE, &params![after, limit, above], read)?,
        None => tx.query(SUBJECTS, &params![after, limit], read)?,
    };
    let mut facts: Vec<SubjectFact> = Vec::new();
    for (subject, kind, count) in rows {
        if facts.last().is_none_or(|fact| fact.subject != subject) {
            facts.push(SubjectFact { subject, events: BTreeMap::new() });
        }
        if let Some(fact) = facts.last_mut() {
            // Two versions of an event are one event.
            *fact.events.entry(name_of(&kind).to_owned()).or_default() += count;
        }
    }
    Ok(facts)
}

fn name_of(kind: &str) -> &str {
    Envelope::name_and_version_of(kind).map_or(kind, |(name, _)| name)
}
