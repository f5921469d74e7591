//! Who may do what, until when. A lease is a row in the service's own database, on its clock; each new owner gets a
//! greater epoch, which is checked in the transaction that completes the work, so that an owner that slept too long
//! completes nothing.

use std::time::Duration;

use contracts::Timestamp;

use crate::{
    database::{StoreError, Tx},
    params,
};

const ACQUIRE: &str = "INSERT INTO leases (name, owner, epoch, expires_at) VALUES (?1, ?2, 1, ?3)
     ON CONFLICT (name) DO UPDATE SET
         owner = excluded.owner,
         epoch = CASE WHEN leases.owner = excluded.owner THEN leases.epoch ELSE leases.epoch + 1 END,
         expires_at = excluded.expires_at
     WHERE leases.owner = excluded.owner OR leases.expires_at <= ?4
     RETURNING epoch";
const CHECK: &str = "UPDATE leases SET epoch = epoch WHERE name = ?1 AND owner = ?2 AND epoch = ?3";
const RELEASE: &str =
    "UPDATE leases SET expires_at = 0 WHERE name = ?1 AND owner = ?2 AND epoch = ?3";

/// Every statement of this file, for the test that prepares them.
pub const STATEMENTS: [&str; 3] = [ACQUIRE, CHECK, RELEASE];

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

/// Takes or renews a lease; `None` while another owner has it.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn acquire(
    tx: &mut Tx,
    name: &str,
    owner: &str,
    length: Duration,
) -> Result<Option<Lease>, StoreError> {
    let now = tx.database_now()?;
    let expires_at = now.plus(length);
    let epoch = tx.query_one(ACQUIRE, &params![name, owner, expires_at, now], |row| row.get(0))?;
    Ok(epoch.map(|epoch| Lease { name: name.into(), owner: owner.into(), epoch, expires_at }))
}

/// Makes sure that the lease is still its owner's, and that nobody takes it before this transaction ends.
///
/// # Errors
/// [`StoreError::Engine`] if it is not: nothing of the transaction may be saved then.
pub fn check(tx: &mut Tx, lease: &Lease) -> Result<(), StoreError> {
    match tx.execute(CHECK, &params![lease.name, lease.owner, lease.epoch])? {
        0 => Err(StoreError::engine(format!(
            "the lease `{}` of epoch {} is another's",
            lease.name, lease.epoch
        ))),
        _ => Ok(()),
    }
}

/// Gives a lease back before its time, so that the next owner need not wait.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn release(tx: &mut Tx, lease: &Lease) -> Result<(), StoreError> {
    tx.execute(RELEASE, &params![lease.name, lease.owner, lease.epoch]).map(|_| ())
}
