//! All SQL of the gateway: who may come in.

use ::store::{ByName, Migrations, Row, StoreError, Tx, params};
use contracts::{Timestamp, api::gateway::Key};

/// How the schema came to be.
pub(crate) const MIGRATIONS: Migrations = Migrations {
    owner: "gateway",
    steps: &[
        (1, "keys", include_str!("../migrations/V1__keys.sql")),
        (2, "sessions", include_str!("../migrations/V2__sessions.sql")),
    ],
};

const LIST: &str =
    "SELECT id, name, role, hash, unlimited, created_at, revoked_at, session_of, expires_at
     FROM keys ORDER BY created_at, id";
const COUNT: &str = "SELECT COUNT(*) FROM keys WHERE session_of IS NULL";
const COUNT_SESSIONS: &str = "SELECT COUNT(*) FROM keys WHERE session_of IS NOT NULL";
const DELETE_EXPIRED: &str = "DELETE FROM keys WHERE expires_at <= ?1";
const INSERT: &str = "INSERT INTO keys (id, name, role, hash, unlimited, created_at, revoked_at, session_of, expires_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING";
// A key that was revoked stays so. Another secret under its id is another key.
const MAKE_SURE: &str = "INSERT INTO keys (id, name, role, hash, unlimited, created_at, revoked_at, session_of, expires_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
     ON CONFLICT (id) DO UPDATE SET role = excluded.role, hash = excluded.hash, unlimited = excluded.unlimited,
         revoked_at = CASE WHEN keys.hash = excluded.hash THEN keys.revoked_at END";
const FIND: &str =
    "SELECT id, name, role, hash, unlimited, created_at, revoked_at, session_of, expires_at
     FROM keys WHERE id = ?1";
// Changes nothing, and so keeps two gateways from each revoking what they take for the last key but one.
const LOCK_ADMINS: &str = "UPDATE keys SET role = role WHERE role = 'admin'";
const COUNT_OTHER_ADMINS: &str = "SELECT COUNT(*) FROM keys
     WHERE role = 'admin' AND revoked_at IS NULL AND session_of IS NULL AND id <> ?1";
const REVOKE: &str = "UPDATE keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";

/// Every statement of this file, for the test that prepares them.
#[cfg(test)]
const STATEMENTS: [&str; 10] = [
    LIST,
    COUNT,
    COUNT_SESSIONS,
    DELETE_EXPIRED,
    INSERT,
    MAKE_SURE,
    FIND,
    LOCK_ADMINS,
    COUNT_OTHER_ADMINS,
    REVOKE,
];

/// A key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredKey {
    pub(crate) key: Key,
    /// The keyed hash of the secret, in hex.
    pub(crate) hash: String,
    /// Whether no rate limit is kept against it.
    pub(crate) unlimited: bool,
}

pub(crate) fn list(tx: &mut Tx<'_>) -> Result<Vec<StoredKey>, StoreError> {
    tx.query(LIST, &[], read)
}

pub(crate) fn find(tx: &mut Tx<'_>, id: &str) -> Result<Option<StoredKey>, StoreError> {
    tx.query_one(FIND, &params![id], read)
}

pub(crate) fn count(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(tx.query_one(COUNT, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Deletes the sessions that are over, and returns how many there are beside them.
pub(crate) fn count_sessions(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    let now = tx.now();
    tx.execute(DELETE_EXPIRED, &params![now])?;
    Ok(tx.query_one(COUNT_SESSIONS, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Saves a key. Returns whether its id was free; otherwise nothing is changed.
pub(crate) fn insert(tx: &mut Tx<'_>, stored: &StoredKey) -> Result<bool, StoreError> {
    Ok(write(tx, INSERT, stored)? == 1)
}

/// Saves a key as it is given, over another key of its id. Returns when this very key was revoked, if it was: it stays so.
pub(crate) fn make_sure(
    tx: &mut Tx<'_>,
    stored: &StoredKey,
) -> Result<Option<Timestamp>, StoreError> {
    write(tx, MAKE_SURE, stored)?;
    Ok(find(tx, &stored.key.id)?.and_then(|saved| saved.key.revoked_at))
}

fn write(tx: &mut Tx<'_>, sql: &'static str, stored: &StoredKey) -> Result<u64, StoreError> {
    let StoredKey { key, hash, unlimited } = stored;
    let row = params![
        key.id,
        key.name,
        ByName(key.role),
        hash,
        *unlimited,
        key.created_at,
        key.revoked_at,
        key.session_of,
        key.expires_at
    ];
    tx.execute(sql, &row)
}

/// Returns how many admin keys there are beside this one, and keeps that so until the transaction ends.
pub(crate) fn count_other_admins(tx: &mut Tx<'_>, id: &str) -> Result<i64, StoreError> {
    tx.execute(LOCK_ADMINS, &[])?;
    Ok(tx.query_one(COUNT_OTHER_ADMINS, &params![id], |row| row.get(0))?.unwrap_or(0))
}

pub(crate) fn revoke(tx: &mut Tx<'_>, id: &str, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(REVOKE, &params![id, now]).map(|_| ())
}

fn read(row: &Row<'_>) -> Result<StoredKey, StoreError> {
    Ok(StoredKey {
        key: Key {
            id: row.get(0)?,
            name: row.get(1)?,
            role: row.by_name(2)?,
            created_at: row.get(5)?,
            revoked_at: row.get(6)?,
            session_of: row.get(7)?,
            expires_at: row.get(8)?,
        },
        hash: row.get(3)?,
        unlimited: row.get(4)?,
    })
}

#[cfg(test)]
mod tests {
    use ::store::{Clock, Durability, Location};

    use service::ServiceContext;

    use super::*;

    async fn prepare_all(location: Location) {
        let context = ServiceContext::new(location, events::in_process(), Clock::System);
        let service = context.open("gateway", MIGRATIONS).await.unwrap();
        for sql in STATEMENTS {
            service.database().read(move |tx| tx.prepare(sql)).await.unwrap();
        }
        context.close().await;
    }

    #[tokio::test]
    async fn sqlite_understands_every_statement() {
        let folder = tempfile::tempdir().unwrap();
        let location =
            Location::Folder { folder: folder.path().to_owned(), durability: Durability::Process };
        prepare_all(location).await;
    }

    #[tokio::test]
    async fn postgresql_understands_every_statement() {
        if let Some(database) = test_support::postgres() {
            prepare_all(database.location()).await;
        }
    }
}
