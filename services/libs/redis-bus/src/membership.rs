//! What a process does for its service when there are several of them: which shards it reads, and whether it publishes.
//!
//! Each is a lease in the service's own database. A replica announces itself by a lease, too, so that all of them know how
//! many they are; who has more shards than its share gives some back, who has fewer takes what is free. A lease is over
//! three seconds after a replica was last heard of, and at once when it says goodbye.

use std::{
    array,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    rebalance::{self, Me},
    stream::{Each, SHARDS},
};
use store::{
    Database, StoreError, Tx,
    leases::{self, Family, Lease},
};

/// The names of all these leases.
const FAMILY: Family = Family { first: "bus/", end: "bus0" };
/// The lease of the one who publishes.
pub(super) const RELAY: &str = "bus/relay";
/// What the leases of replicas begin with.
pub(super) const REPLICA: &str = "bus/replica/";
/// How long a replica that is not heard of keeps what it has.
const LENGTH: Duration = Duration::from_secs(3);
/// How often a replica is heard of.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How soon it looks again when something changed.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long a replica that ends waits for its reader to be done.
const END_MAX: Duration = Duration::from_secs(2);
/// How long a replica that is gone is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Returns the name of the lease of a shard.
pub(super) fn shard(shard: usize) -> String {
    format!("bus/{shard}")
}

/// What a process has.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// Whether it publishes.
    pub(super) relay: bool,
    /// The shards that it reads, with the epochs of their leases.
    pub(super) shards: Each<Option<i64>>,
    /// Until when that is so if it can't be renewed.
    pub(super) until: Option<Instant>,
}

/// The part of a process in the work of its service.
#[derive(Debug)]
pub(crate) struct Membership {
    database: Database,
    /// The id of this process: the same after a restart.
    instance_id: String,
    /// The owner of this process's leases: another after a restart.
    owner: String,
    publishes: bool,
    reads: AtomicBool,
    held: watch::Sender<Held>,
    /// The shards that its reader is not done with.
    used: watch::Sender<Each<bool>>,
    changed: Notify,
}

impl Membership {
    /// Makes the membership of the process with this instance id.
    pub(super) fn new(database: Database, instance_id: &str, publishes: bool) -> Arc<Self> {
        Arc::new(Self {
            database,
            instance_id: instance_id.to_owned(),
            owner: format!("{instance_id} {}", Uuid::new_v4().simple()),
            publishes,
            reads: AtomicBool::new(false),
            held: watch::Sender::new(Held::default()),
            used: watch::Sender::new([false; SHARDS]),
            changed: Notify::new(),
        })
    }

    /// Asks for a share of the shards, too.
    pub(super) fn read(&self) {
        self.reads.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Returns what the process has, as it changes.
    pub(super) fn held(&self) -> watch::Receiver<Held> {
        self.held.subscribe()
    }

    /// Says which shards the reader is not done with.
    pub(super) fn use_shards(&self, used: Each<bool>) {
        let changed = self.used.send_if_modified(|before| std::mem::replace(before, used) != used);
        if changed {
            self.changed.notify_one();
        }
    }

    /// Says which shards the reader begins to use, beside those that it is not done with.
    pub(super) fn use_shards_too(&self, more: &Each<bool>) {
        let before = *self.used.borrow();
        self.use_shards(array::from_fn(|shard| before[shard] || more[shard]));
    }

    /// Returns the lease of a shard, of this epoch.
    pub(super) fn lease(&self, shard: usize, epoch: i64) -> Lease {
        let (name, owner) = (self::shard(shard), self.owner.clone());
        Lease { name, owner, epoch, expires_at: contracts::Timestamp::default() }
    }

    /// Renews leases and rebalances until `stop` is cancelled; then releases the leases.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        if !self.publishes && !self.reads.load(Ordering::Acquire) {
            // A service that only serves is not divided.
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.changed.notified() => {}
            }
        }
        while !stop.is_cancelled() {
            let wait = match self.renew().await {
                Ok(true) => LOOK_AGAIN,
                Ok(false) => RENEW_EVERY,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    warn!("Could not renew what it has of the bus: {error}");
                    RENEW_EVERY
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.changed.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.say_goodbye().await;
    }

    async fn say_goodbye(&self) {
        let mut used = self.used.subscribe();
        let done = used.wait_for(|used| used.iter().all(|used| !used));
        let _ = tokio::time::timeout(END_MAX, done).await;
        let owner = self.owner.clone();
        let released = self.database.write_exclusive(move |tx| FAMILY.release(tx, &owner));
        if let Err(error) = released.await {
            warn!("Could not give back what it has of the bus: {error}");
        }
    }

    /// Runs one round of rebalancing; returns whether there is more to do soon.
    async fn renew(&self) -> Result<bool, StoreError> {
        let started = Instant::now();
        let me = Me {
            owner: self.owner.clone(),
            instance_id: self.instance_id.clone(),
            is_exclusive: self.database.engine() == "sqlite",
            publishes: self.publishes,
            reads: self.reads.load(Ordering::Acquire),
        };
        let used = *self.used.borrow();
        // Who takes a lease may wait for another replica that acts under it, and that one for whatever this one has locked.
        let round = self.database.write_exclusive(move |tx| rebalance(tx, &me, &used)).await?;
        self.held.send_if_modified(|held| {
            let (relay, shards) = (round.relay, round.shards);
            held.until = Some(started + LENGTH);
            if relay != held.relay {
                info!("{} publishing", if relay { "Begins" } else { "Leaves" });
            }
            let changed = (relay, shards) != (held.relay, held.shards);
            if shards != held.shards {
                let own = (0..SHARDS).filter(|at| shards[*at].is_some());
                let own: Vec<String> = own.map(|shard| shard.to_string()).collect();
                info!("Reads {} shards: {}", own.len(), own.join(", "));
            }
            (held.relay, held.shards) = (relay, shards);
            changed
        });
        Ok(round.gives)
    }
}

/// The outcome of a round of rebalancing.
struct Round {
    relay: bool,
    shards: Each<Option<i64>>,
    /// Whether it has something to give back that its reader is not done with.
    gives: bool,
}

fn rebalance(tx: &mut Tx<'_>, me: &Me, used: &Each<bool>) -> Result<Round, StoreError> {
    let now = tx.database_now()?;
    let expires_at = now.plus(LENGTH);
    FAMILY.renew(tx, &me.owner, expires_at)?;
    let seen = FAMILY.list(tx)?;
    let plan = rebalance::plan(&seen, me, now, used);
    for name in &plan.release {
        if let Some(lease) = seen.iter().find(|lease| lease.name == *name) {
            leases::release(tx, lease)?;
        }
    }
    let mut epochs: Each<Option<i64>> = array::from_fn(|at| plan.keep[at]);
    let mut relay = plan.has_relay;
    for name in &plan.take {
        let before = seen.iter().find(|lease| lease.name == *name);
        if !leases::take(tx, name, before, &me.owner, expires_at)? {
            continue;
        }
        let epoch = before.map_or(1, |lease| lease.epoch + 1);
        relay = relay || name == RELAY;
        if let Some(at) = (0..SHARDS).find(|at| shard(*at) == *name) {
            epochs[at] = Some(epoch);
        }
    }
    for name in &plan.forget {
        leases::forget(tx, name, now.minus(REMEMBERED))?;
    }
    Ok(Round { relay, shards: epochs, gives: plan.gives })
}
