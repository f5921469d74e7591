//! Decides which leases a replica takes and gives back, from the leases in the table. Plain functions.

use contracts::Timestamp;

use super::{
    membership::{RELAY, REPLICA, shard},
    stream::{Each, SHARDS},
};
use store::leases::Lease;

/// The replica that decides.
#[derive(Clone, Debug)]
pub(super) struct Me {
    pub(super) owner: String,
    /// Stable across restarts; leases of this instance's predecessor may be taken at once.
    pub(super) instance_id: String,
    /// Whether there can be no other replica; leases of any owner may be taken at once.
    pub(super) is_exclusive: bool,
    pub(super) publishes: bool,
    pub(super) reads: bool,
}

/// The leases to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) take: Vec<String>,
    pub(super) release: Vec<String>,
    pub(super) forget: Vec<String>,
    pub(super) has_relay: bool,
    /// The shards to go on with, by their epochs.
    pub(super) keep: Each<Option<i64>>,
    /// Whether there are shards to be given back that are still used.
    pub(super) gives: bool,
}

impl Me {
    fn has(&self, lease: &Lease) -> bool {
        lease.owner == self.owner && lease.expires_at > Timestamp::default()
    }

    fn may_take(&self, lease: Option<&Lease>, now: Timestamp) -> bool {
        lease.is_none_or(|lease| {
            let was_here = lease
                .owner
                .rsplit_once(' ')
                .is_some_and(|(instance_id, _)| instance_id == self.instance_id);
            self.is_exclusive || was_here || lease.expires_at <= now
        })
    }
}

/// Decides what to take and what to give back. `used` are the shards that the reader is not done with.
pub(super) fn plan(seen: &[Lease], me: &Me, now: Timestamp, used: &Each<bool>) -> Plan {
    let find = |name: &str| seen.iter().find(|lease| lease.name == name);
    let mut plan = Plan::default();
    if me.publishes {
        plan.has_relay = find(RELAY).is_some_and(|lease| me.has(lease));
        if !plan.has_relay && me.may_take(find(RELAY), now) {
            plan.take.push(RELAY.to_owned());
        }
    }
    if !me.reads {
        return plan;
    }
    let announced = format!("{REPLICA}{}", me.instance_id);
    if !find(&announced).is_some_and(|lease| me.has(lease)) {
        plan.take.push(announced.clone());
    }
    let replicas = seen.iter().filter(|lease| lease.name.starts_with(REPLICA));
    let (mut alive, gone): (Vec<&Lease>, Vec<&Lease>) = replicas
        .filter(|lease| lease.name != announced)
        .partition(|lease| lease.expires_at > now && !me.is_exclusive);
    plan.forget = gone.into_iter().map(|lease| lease.name.clone()).collect();
    alive.sort_by(|one, other| one.name.cmp(&other.name));
    let rank = alive.iter().filter(|lease| lease.name < announced).count();
    let share = share(alive.len() + 1, rank);
    let mut kept = 0;
    for (at, is_used) in used.iter().enumerate() {
        let Some(lease) = find(&shard(at)).filter(|lease| me.has(lease)) else { continue };
        if kept < share {
            plan.keep[at] = Some(lease.epoch);
            kept += 1;
        } else if *is_used {
            plan.gives = true;
        } else {
            plan.release.push(lease.name.clone());
        }
    }
    let free = (0..SHARDS).map(shard).filter(|name| {
        !find(name).is_some_and(|lease| me.has(lease)) && me.may_take(find(name), now)
    });
    plan.take.extend(free.take(share - kept));
    plan
}

/// Returns how many shards the replica with this rank has among so many.
const fn share(replicas: usize, rank: usize) -> usize {
    SHARDS / replicas + (rank < SHARDS % replicas) as usize
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contracts::Timestamp;

    use super::{Me, Plan, SHARDS, plan, shard, share};
    use store::leases::Lease;

    const NOW: Timestamp = Timestamp::from_micros(10_000_000);

    fn me(instance_id: &str) -> Me {
        Me {
            owner: format!("{instance_id} 1"),
            instance_id: instance_id.into(),
            is_exclusive: false,
            publishes: true,
            reads: true,
        }
    }

    fn lease(name: &str, owner: &str, expires_at: Timestamp) -> Lease {
        Lease { name: name.into(), owner: owner.into(), epoch: 4, expires_at }
    }

    fn alive() -> Timestamp {
        NOW.plus(Duration::from_secs(2))
    }

    fn had_by(owner: &str, expires_at: Timestamp) -> Vec<Lease> {
        let instance_id = owner.rsplit_once(' ').unwrap().0;
        let names = (0..SHARDS).map(shard);
        let others = ["bus/relay".to_owned(), format!("bus/replica/{instance_id}")];
        names.chain(others).map(|name| lease(&name, owner, expires_at)).collect()
    }

    fn shards(plan: &Plan) -> usize {
        plan.take.iter().filter(|name| (0..SHARDS).any(|at| shard(at) == **name)).count()
    }

    #[test]
    fn shares_are_fair_and_add_up() {
        for replicas in 1..12 {
            let shares: Vec<usize> = (0..replicas).map(|rank| share(replicas, rank)).collect();
            assert_eq!(shares.iter().sum::<usize>(), SHARDS);
            assert!(shares[0] - shares[replicas - 1] <= 1);
        }
    }

    #[test]
    fn the_first_takes_everything() {
        let plan = plan(&[], &me("a"), NOW, &[false; SHARDS]);
        assert_eq!((plan.take.len(), plan.release.len()), (SHARDS + 2, 0));
    }

    #[test]
    fn who_has_too_much_stops_using_it_and_then_gives_it_back() {
        let mut seen = had_by("a 1", alive());
        seen.push(lease("bus/replica/b", "b 1", alive()));
        let busy = plan(&seen, &me("a"), NOW, &[true; SHARDS]);
        assert_eq!(busy.keep.iter().flatten().count(), 4);
        assert!(busy.gives && busy.release.is_empty() && busy.has_relay);
        let done = plan(&seen, &me("a"), NOW, &busy.keep.map(|epoch| epoch.is_some()));
        assert_eq!((done.release.len(), done.gives), (4, false));
    }

    #[test]
    fn what_another_has_is_not_taken_before_it_is_over() {
        let none = plan(&had_by("a 1", alive()), &me("b"), NOW, &[false; SHARDS]);
        assert_eq!(none.take, ["bus/replica/b"]);
        let all = plan(&had_by("a 1", NOW), &me("b"), NOW, &[false; SHARDS]);
        assert_eq!((shards(&all), all.take.len()), (SHARDS, SHARDS + 2));
        assert_eq!(all.forget, ["bus/replica/a"]);
    }

    #[test]
    fn who_was_started_again_takes_back_what_it_had_at_once() {
        let again = plan(&had_by("a 0", alive()), &me("a"), NOW, &[false; SHARDS]);
        assert_eq!((shards(&again), again.take.len()), (SHARDS, SHARDS + 2));
    }

    #[test]
    fn with_more_replicas_than_shards_some_have_none() {
        let mut seen = had_by("a 1", alive());
        seen.extend((0..9).map(|at| lease(&format!("bus/replica/b{at}"), "b 1", alive())));
        let last = plan(&seen, &me("c"), NOW, &[false; SHARDS]);
        assert_eq!(last.take, ["bus/replica/c"]);
    }
}
