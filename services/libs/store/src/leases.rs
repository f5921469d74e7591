//! Leases: which replica may do what, until when. A lease is a row in the service's own database, on its clock; each new owner gets a
//! greater epoch, which is checked in the transaction that completes the work, so that an owner that slept too long
//! completes nothing.

use contracts::Timestamp;

use crate::{Many, StoreError, Tx, params};

const RELEASE: &str =
    "UPDATE leases SET expires_at = 0 WHERE name = ?1 AND owner = ?2 AND epoch = ?3";
const LIST: &str = "SELECT name, owner, epoch, expires_at FROM leases WHERE name >= ?1 AND name < ?2 ORDER BY name";
const RENEW_ALL: &str = "UPDATE leases SET expires_at = ?4
     WHERE name >= ?1 AND name < ?2 AND owner = ?3 AND expires_at > 0";
const MAKE: &str = "INSERT INTO leases (name, owner, epoch, expires_at) VALUES (?1, ?2, 1, ?3)
     ON CONFLICT (name) DO NOTHING";
const TAKE: &str = "UPDATE leases SET owner = ?2, epoch = epoch + 1, expires_at = ?3
     WHERE name = ?1 AND owner = ?4 AND epoch = ?5 AND expires_at = ?6";
const RELEASE_ALL: &str =
    "UPDATE leases SET expires_at = 0 WHERE name >= ?1 AND name < ?2 AND owner = ?3";
const FORGET: &str = "DELETE FROM leases WHERE name = ?1 AND expires_at <= ?2";
// Locked in the order of their names, against deadlocks. With SQLite there is one process, so no lock is needed.
const CHECK_ALL: Many = Many {
    each: "SELECT name FROM leases WHERE name = ?1 AND owner = ?2 AND epoch = ?3",
    all: "SELECT leases.name FROM leases
         JOIN UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[]) AS held (name, owner, epoch)
         ON leases.name = held.name AND leases.owner = held.owner AND leases.epoch = held.epoch
         ORDER BY leases.name FOR SHARE OF leases",
};

/// Every statement of this file that both engines run, for the test that prepares them.
pub const STATEMENTS: [&str; 7] = [RELEASE, LIST, RENEW_ALL, MAKE, TAKE, RELEASE_ALL, FORGET];
/// Every statement of this file for many rows.
pub const MANY: [Many; 1] = [CHECK_ALL];

/// A right to do something, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What for.
    pub name: String,
    /// Whose.
    pub owner: String,
    /// Grows with each new owner.
    pub epoch: i64,
    /// Until when, on the database's clock.
    pub expires_at: Timestamp,
}

/// Makes sure that leases are still their owners', and that no other replica takes them before this transaction ends.
///
/// # Errors
/// [`StoreError::Conflict`] if one of them is not: nothing of the transaction may be saved then.
pub fn check_all(tx: &mut Tx<'_>, leases: &[Lease]) -> Result<(), StoreError> {
    let held = leases.iter().map(|lease| params![lease.name, lease.owner, lease.epoch]);
    let found: Vec<String> = tx.query_all(&CHECK_ALL, held, |row| row.get(0))?;
    match leases.iter().find(|lease| !found.contains(&lease.name)) {
        Some(Lease { name, epoch, .. }) => {
            Err(StoreError::conflict(format!("the lease `{name}` of epoch {epoch} is another's")))
        }
        None => Ok(()),
    }
}

/// Leases whose names begin alike.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// What the names begin with.
    pub first: &'static str,
    /// The least text behind all such names.
    pub end: &'static str,
}

impl Family {
    /// Returns the leases of all owners.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed.
    pub fn list(self, tx: &mut Tx<'_>) -> Result<Vec<Lease>, StoreError> {
        tx.query(LIST, &params![self.first, self.end], |row| {
            Ok(Lease {
                name: row.get(0)?,
                owner: row.get(1)?,
                epoch: row.get(2)?,
                expires_at: row.get(3)?,
            })
        })
    }

    /// Renews those that an owner has and did not release.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed.
    pub fn renew(
        self,
        tx: &mut Tx<'_>,
        owner: &str,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        tx.execute(RENEW_ALL, &params![self.first, self.end, owner, expires_at]).map(|_| ())
    }

    /// Gives back those that an owner has.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed.
    pub fn release(self, tx: &mut Tx<'_>, owner: &str) -> Result<(), StoreError> {
        tx.execute(RELEASE_ALL, &params![self.first, self.end, owner]).map(|_| ())
    }
}

/// Takes a lease, if it still is as it was seen, or is not there if it was not; returns whether that was so.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn take(
    tx: &mut Tx<'_>,
    name: &str,
    seen: Option<&Lease>,
    owner: &str,
    expires_at: Timestamp,
) -> Result<bool, StoreError> {
    let taken = match seen {
        Some(seen) => tx.execute(
            TAKE,
            &params![name, owner, expires_at, seen.owner, seen.epoch, seen.expires_at],
        )?,
        None => tx.execute(MAKE, &params![name, owner, expires_at])?,
    };
    Ok(taken == 1)
}

/// Forgets a lease that was over before this moment.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn forget(tx: &mut Tx<'_>, name: &str, before: Timestamp) -> Result<(), StoreError> {
    tx.execute(FORGET, &params![name, before]).map(|_| ())
}

/// Gives a lease back before its time, so that the next owner need not wait.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn release(tx: &mut Tx<'_>, lease: &Lease) -> Result<(), StoreError> {
    tx.execute(RELEASE, &params![lease.name, lease.owner, lease.epoch]).map(|_| ())
}
