//! What has to hold in the transaction that acts on events: that their shards still are this process'.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    membership::{Held, Membership},
    stream::Each,
};
use store::{
    StoreError, Tx,
    leases::{self, Lease},
};

/// The leases under which some events were fetched.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    shards: Each<Option<i64>>,
    leases: Arc<[Lease]>,
    held: watch::Receiver<Held>,
}

impl Guard {
    /// Returns the guard of events that were fetched from these shards, under leases of these epochs.
    pub(super) fn new(shards: Each<Option<i64>>, membership: &Membership) -> Self {
        let lease = |(shard, epoch): (usize, &Option<i64>)| {
            epoch.map(|epoch| membership.lease(shard, epoch))
        };
        let leases = shards.iter().enumerate().filter_map(lease).collect();
        Self { shards, leases, held: membership.held() }
    }
}

impl events::Guard for Guard {
    fn check(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        leases::check_all(tx, &self.leases)
    }

    fn is_over(&self) -> bool {
        let held = self.held.borrow();
        self.shards.iter().zip(&held.shards).any(|(one, other)| one.is_some() && one != other)
    }
}
