//! All SQL of the gateway: who may come in.

use ::store::{ByName, Migrations, Row, StoreError, Tx, params};
use contracts::{
    Timestamp,
    api::gateway::{Key, Role},
};

use crate::sessions::LINK_VALID_FOR;

/// How the schema came to be.
pub(crate) const MIGRATIONS: Migrations = Migrations {
    owner: "gateway",
    steps: &[
        (1, "keys", include_str!("../migrations/V1__keys.sql")),
        (2, "sessions", include_str!("../migrations/V2__sessions.sql")),
    ],
};

const LIST: &str = "SELECT id, name, role, hash, unlimited, created_at, revoked_at FROM keys ORDER BY created_at, id";
const COUNT: &str = "SELECT COUNT(*) FROM keys";
const INSERT: &str = "INSERT INTO keys (id, name, role, hash, unlimited, created_at, revoked_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING";
// A key that was revoked stays so. Another secret under its id is another key.
const MAKE_SURE: &str = "INSERT INTO keys (id, name, role, hash, unlimited, created_at, revoked_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
     ON CONFLICT (id) DO UPDATE SET role = excluded.role, hash = excluded.hash, unlimited = excluded.unlimited,
         revoked_at = CASE WHEN keys.hash = excluded.hash THEN keys.revoked_at END";
const FIND: &str =
    "SELECT id, name, role, hash, unlimited, created_at, revoked_at FROM keys WHERE id = ?1";
// Changes nothing, and so keeps two gateways from each revoking what they take for the last key but one.
const LOCK_ADMINS: &str = "UPDATE keys SET role = role WHERE role = 'admin'";
const COUNT_OTHER_ADMINS: &str =
    "SELECT COUNT(*) FROM keys WHERE role = 'admin' AND revoked_at IS NULL AND id <> ?1";
const REVOKE: &str = "UPDATE keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
const LIST_SESSIONS: &str = "SELECT s.id, k.name, s.role, s.hash, s.created_at, s.key_id, s.expires_at
     FROM sessions s JOIN keys k ON k.id = s.key_id AND k.hash = s.key_hash
     WHERE k.revoked_at IS NULL AND s.ended_at IS NULL AND s.expires_at > ?1 ORDER BY s.created_at, s.id";
const COUNT_SESSIONS: &str =
    "SELECT COUNT(*) FROM sessions WHERE key_id = ?1 AND ended_at IS NULL AND expires_at > ?2";
// One that was ended early stays as long as the link that opened it could be tried again.
const DELETE_SESSIONS: &str =
    "DELETE FROM sessions WHERE expires_at <= ?1 OR ended_at IS NOT NULL AND created_at <= ?2";
const INSERT_SESSION: &str =
    "INSERT INTO sessions (id, key_id, key_hash, role, hash, created_at, expires_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING";
const END_SESSION: &str = "UPDATE sessions SET ended_at = COALESCE(ended_at, ?2) WHERE id = ?1";

/// Every statement of this file, for the test that prepares them.
#[cfg(test)]
const STATEMENTS: [&str; 13] = [
    LIST,
    COUNT,
    INSERT,
    MAKE_SURE,
    FIND,
    LOCK_ADMINS,
    COUNT_OTHER_ADMINS,
    REVOKE,
    LIST_SESSIONS,
    COUNT_SESSIONS,
    DELETE_SESSIONS,
    INSERT_SESSION,
    END_SESSION,
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

/// A session as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredSession {
    pub(crate) id: String,
    pub(crate) key: String,
    /// The hash of that key's secret: with another one, the session is none.
    pub(crate) key_hash: String,
    pub(crate) role: Role,
    /// The keyed hash of its own secret, in hex.
    pub(crate) hash: String,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// Returns the keys, and the sessions that are valid now.
pub(crate) fn list(tx: &mut Tx<'_>) -> Result<Vec<StoredKey>, StoreError> {
    let now = tx.now();
    let mut keys = tx.query(LIST, &[], read)?;
    keys.append(&mut tx.query(LIST_SESSIONS, &params![now], read_session)?);
    Ok(keys)
}

/// Returns how many sessions of a key are valid.
pub(crate) fn count_sessions(tx: &mut Tx<'_>, key: &str) -> Result<i64, StoreError> {
    let now = tx.now();
    Ok(tx.query_one(COUNT_SESSIONS, &params![key, now], |row| row.get(0))?.unwrap_or(0))
}

/// Deletes the sessions that are over, and whose links are.
pub(crate) fn delete_sessions(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let now = tx.now();
    tx.execute(DELETE_SESSIONS, &params![now, now.minus(LINK_VALID_FOR)]).map(|_| ())
}

/// Saves a session. Returns whether its id was free; otherwise nothing is changed.
pub(crate) fn insert_session(tx: &mut Tx<'_>, session: &StoredSession) -> Result<bool, StoreError> {
    let row = params![
        session.id,
        session.key,
        session.key_hash,
        ByName(session.role),
        session.hash,
        session.created_at,
        session.expires_at
    ];
    Ok(tx.execute(INSERT_SESSION, &row)? == 1)
}

/// Ends a session. Returns whether there is one of this id.
pub(crate) fn end_session(tx: &mut Tx<'_>, id: &str, now: Timestamp) -> Result<bool, StoreError> {
    Ok(tx.execute(END_SESSION, &params![id, now])? == 1)
}

pub(crate) fn find(tx: &mut Tx<'_>, id: &str) -> Result<Option<StoredKey>, StoreError> {
    tx.query_one(FIND, &params![id], read)
}

pub(crate) fn count(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(tx.query_one(COUNT, &[], |row| row.get(0))?.unwrap_or(0))
}

pub(crate) fn insert(tx: &mut Tx<'_>, stored: &StoredKey) -> Result<(), StoreError> {
    write(tx, INSERT, stored)
}

/// Saves a key as it is given, over another key of its id. Returns when this very key was revoked, if it was: it stays so.
pub(crate) fn make_sure(
    tx: &mut Tx<'_>,
    stored: &StoredKey,
) -> Result<Option<Timestamp>, StoreError> {
    write(tx, MAKE_SURE, stored)?;
    Ok(find(tx, &stored.key.id)?.and_then(|saved| saved.key.revoked_at))
}

fn write(tx: &mut Tx<'_>, sql: &'static str, stored: &StoredKey) -> Result<(), StoreError> {
    let StoredKey { key, hash, unlimited } = stored;
    let row = params![
        key.id,
        key.name,
        ByName(key.role),
        hash,
        *unlimited,
        key.created_at,
        key.revoked_at
    ];
    tx.execute(sql, &row).map(|_| ())
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
            session_of: None,
            expires_at: None,
        },
        hash: row.get(3)?,
        unlimited: row.get(4)?,
    })
}

fn read_session(row: &Row<'_>) -> Result<StoredKey, StoreError> {
    Ok(StoredKey {
        key: Key {
            id: row.get(0)?,
            name: row.get(1)?,
            role: row.by_name(2)?,
            created_at: row.get(4)?,
            revoked_at: None,
            session_of: row.get(5)?,
            expires_at: row.get(6)?,
        },
        hash: row.get(3)?,
        unlimited: false,
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
