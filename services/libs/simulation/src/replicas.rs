//! Two replicas of a service on one database, and a lease that one of them has at a time.
//!
//! An environment on SQLite has one process a database, so nothing in it contends for a lease. These replicas do, through
//! `store::leases`, as the processes of the bus over Redis do: two writers on one SQLite file, each of which knows the other
//! only by what the other has committed.
//!
//! The owner of the lease adds to a sum: it reads the sum in one transaction, thinks, sometimes for longer than its lease
//! lasts, and saves the new sum in another transaction that checks the lease. If a late owner can save, additions of the next
//! one are lost, which [`check`] sees.

use std::{path::Path, sync::Arc, time::Duration};

use store::{
    Clock, Database, Durability, Execution, Location, Migrations, NoHook, OpenError, StoreError,
    Tx,
    leases::{self, Family, Lease},
    params,
};

use crate::world::{World, WorldSteps};

/// The service that they are replicas of.
pub(crate) const REPLICAS: &str = "replicas";
/// The leases of that service; there is one.
const FAMILY: Family = Family { first: "adder", end: "addes" };
const LEASE: &str = "adder";
/// How long a lease lasts. Its owner never renews it, so each addition that takes longer is late.
const LENGTH: Duration = Duration::from_millis(200);
const MIGRATIONS: Migrations = Migrations {
    owner: REPLICAS,
    steps: &[(
        1,
        "additions",
        "CREATE TABLE additions (seq {serial}, epoch BIGINT NOT NULL, sum_before BIGINT NOT NULL, sum BIGINT NOT NULL);",
    )],
};
const SUM: &str = "SELECT sum FROM additions ORDER BY seq DESC LIMIT 1";
const ADD: &str = "INSERT INTO additions (epoch, sum_before, sum) VALUES (?1, ?2, ?2 + 1)";

/// One of the replicas. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Replica {
    world: Arc<World>,
    database: Database,
    /// Another in each life.
    owner: String,
}

/// Opens both replicas in the folder of a life.
///
/// # Errors
/// [`OpenError`] if the database can't be opened.
pub(crate) async fn open(world: &Arc<World>, folder: &Path) -> Result<[Replica; 2], OpenError> {
    let location = Location::Folder { folder: folder.to_owned(), durability: Durability::Process };
    let life = world.draw(|draws| draws.below(u64::MAX));
    let open = async |name: &str| {
        let steps = Arc::new(WorldSteps(Arc::clone(world)));
        let execution = Execution::Tasks(steps);
        let (clock, hook) = (Clock::System, Arc::new(NoHook));
        let database =
            Database::open(REPLICAS, &location, &[MIGRATIONS], clock, hook, execution).await?;
        Ok(Replica { world: Arc::clone(world), database, owner: format!("{name} {life:016x}") })
    };
    Ok([open("a").await?, open("b").await?])
}

impl Replica {
    /// Takes the lease whenever it is free, and adds while it lasts.
    pub(crate) async fn work(self) {
        loop {
            let wait = self.world.draw(|draws| draws.below(LENGTH.as_millis() as u64));
            tokio::time::sleep(Duration::from_millis(wait)).await;
            // A failed commit leaves the lease to whoever finds it free.
            if let Ok(Some(lease)) = self.take().await {
                self.world
                    .note(format_args!("replica    {} has epoch {}", self.owner, lease.epoch));
                self.add_while(lease).await;
            }
        }
    }

    /// Ends the replica. What it was about to save is saved or refused then.
    pub(crate) async fn close(&self) {
        self.database.close().await;
    }

    /// Takes the lease if it is over, or if this replica has lost track of it: then with a new epoch.
    async fn take(&self) -> Result<Option<Lease>, StoreError> {
        let owner = self.owner.clone();
        let taken = self.database.write_exclusive(move |tx| {
            let now = tx.database_now()?;
            let seen = FAMILY.list(tx)?.pop();
            if seen.as_ref().is_some_and(|seen| seen.owner != owner && seen.expires_at > now) {
                return Ok(None);
            }
            let expires_at = now.plus(LENGTH);
            if !leases::take(tx, LEASE, seen.as_ref(), &owner, expires_at)? {
                return Ok(None);
            }
            let epoch = seen.map_or(1, |seen| seen.epoch + 1);
            Ok(Some(Lease { name: LEASE.into(), owner: owner.clone(), epoch, expires_at }))
        });
        taken.await
    }

    /// Adds one time after the other until the lease is over. An addition that is not done by then goes on by itself.
    async fn add_while(&self, lease: Lease) {
        let over = tokio::time::Instant::now() + LENGTH;
        loop {
            let addition = tokio::task::spawn_local(self.clone().add(lease.clone()));
            match tokio::time::timeout_at(over, addition).await {
                Ok(Ok(true)) => {}
                Ok(_) | Err(_) => return,
            }
            if self.world.draw(|draws| draws.happens(200)) {
                let released = lease.clone();
                let release = self.database.write(move |tx| leases::release(tx, &released));
                // It is over soon without that, too.
                let _ = release.await;
                return;
            }
        }
    }

    /// Adds once; returns whether the replica may go on under this lease.
    async fn add(self, lease: Lease) -> bool {
        let (length, epoch) = (LENGTH.as_millis() as u64, lease.epoch);
        let thinks = self.world.draw(|draws| match draws.happens(300) {
            true => draws.below(4 * length),
            false => draws.below(length / 4),
        });
        let saved = async {
            let before = self.database.read(sum).await?;
            tokio::time::sleep(Duration::from_millis(thinks)).await;
            let add = move |tx: &mut Tx<'_>| {
                leases::check_all(tx, std::slice::from_ref(&lease))?;
                tx.execute(ADD, &params![lease.epoch, before])
            };
            self.database.write(add).await
        };
        let saved = saved.await;
        self.world.note(format_args!("replica    {} adds in epoch {epoch}: {saved:?}", self.owner));
        match saved {
            Ok(_) => {
                self.world.sometimes("replica: adds under its lease");
                true
            }
            Err(StoreError::Conflict(_)) => {
                self.world.sometimes("recovery: late work refused, another epoch has begun");
                false
            }
            Err(_) => false,
        }
    }
}

fn sum(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(tx.query_one(SUM, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Returns the additions that were made from another sum than the one before them left: each lost what was added between.
///
/// # Errors
/// An error if the database of the replicas can't be read.
pub(crate) fn check(database: &rusqlite::Connection) -> rusqlite::Result<Vec<String>> {
    let mut lost = Vec::new();
    let mut additions =
        database.prepare("SELECT epoch, sum_before, sum FROM additions ORDER BY seq")?;
    let mut rows = additions.query([])?;
    let mut sum = 0;
    while let Some(row) = rows.next()? {
        let (epoch, before): (i64, i64) = (row.get(0)?, row.get(1)?);
        if before != sum {
            lost.push(format!(
                "a replica added to {before} in epoch {epoch}, although the sum was {sum}"
            ));
        }
        sum = row.get(2)?;
    }
    Ok(lost)
}
