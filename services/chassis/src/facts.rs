//! What every service tells the audit about itself: its outbox, its inbox, its storage.

use contracts::{
    api::audit::{FACTS_PER_PAGE_MAX, FactsQuery, InboxFact, OutboxFact},
    events::Envelope,
};

use crate::{
    database::{StoreError, Tx},
    params,
};

const OUTBOX: &str =
    "SELECT id, kind, subject, published_at FROM outbox WHERE id > ?1 ORDER BY id LIMIT ?2";
const INBOX: &str = "SELECT id, name FROM inbox WHERE id > ?1 ORDER BY id LIMIT ?2";

/// Every statement of this file, for the test that prepares them.
pub const STATEMENTS: [&str; 2] = [OUTBOX, INBOX];

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
            published: row.get::<Option<i64>>(3)?.is_some(),
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

fn name_of(kind: &str) -> &str {
    Envelope::name_and_version_of(kind).map_or(kind, |(name, _)| name)
}
