//! Where a service is: at the addresses that its names mean. Each request goes to the replica that has the fewest
//! under way; names are looked up again and again, so that replicas that come get their share and those that go are left.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::http::uri::Authority;
use futures_util::future::join_all;

const HTTP_PORT: u16 = 80;
/// How old what a name meant may be: so long may it take until a new replica gets its share.
const LOOK_UP_EVERY: Duration = Duration::from_secs(1);
/// How long looking up a name may take. It is asked of the engine or the cluster, next door.
const LOOK_UP_MAX: Duration = Duration::from_millis(500);
/// How long a replica that failed is left alone, if there are others.
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// The replicas of one service.
#[derive(Debug)]
pub(super) struct Replicas {
    names: Vec<Authority>,
    known: Mutex<Known>,
    /// Held by who looks up the name: one is enough.
    looking: tokio::sync::Mutex<()>,
    turn: AtomicUsize,
}

#[derive(Debug, Default)]
struct Known {
    replicas: Vec<Arc<Replica>>,
    looked_up_at: Option<Instant>,
    away_since: Option<Instant>,
}

#[derive(Debug)]
struct Replica {
    address: SocketAddr,
    under_way: AtomicUsize,
    failed_at: Mutex<Option<Instant>>,
}

/// A replica that a request goes to.
#[derive(Debug)]
pub(super) struct Chosen(Arc<Replica>);

impl Chosen {
    pub(super) fn address(&self) -> SocketAddr {
        self.0.address
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Replica {
    fn new(address: SocketAddr) -> Arc<Self> {
        Arc::new(Self { address, under_way: AtomicUsize::new(0), failed_at: Mutex::default() })
    }

    fn failed_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.failed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_left_alone(&self) -> bool {
        self.failed_at().is_some_and(|at| at.elapsed() < LEFT_ALONE)
    }
}

impl Replicas {
    pub(super) fn new(names: Vec<Authority>) -> Arc<Self> {
        Arc::new(Self {
            names,
            known: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            turn: AtomicUsize::new(0),
        })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Chooses the replica with the fewest requests under way, of those that did not fail just now if there are any;
    /// nothing if the name means nothing.
    pub(super) async fn choose(self: &Arc<Self>) -> Option<Chosen> {
        let looked_up_at = self.known().looked_up_at;
        match looked_up_at {
            None => self.look_up(Instant::now()).await,
            Some(at) if at.elapsed() > LOOK_UP_EVERY && self.looking.try_lock().is_ok() => {
                let replicas = Arc::clone(self);
                tokio::spawn(async move { replicas.look_up(Instant::now()).await });
            }
            Some(_) => {}
        }
        let known = self.known();
        let count = known.replicas.len();
        // Among equals each has its turn.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let chosen = (0..count)
            .map(|at| &known.replicas[(turn + at) % count])
            .min_by_key(|one| (one.is_left_alone(), one.under_way.load(Ordering::Relaxed)))?;
        if let Some(failed_at) = &mut *chosen.failed_at() {
            // This request tries it; the others wait for what comes of it.
            *failed_at = Instant::now();
        }
        chosen.under_way.fetch_add(1, Ordering::Relaxed);
        Some(Chosen(Arc::clone(chosen)))
    }

    /// Notes that a replica answered.
    pub(super) fn answered(&self, chosen: &Chosen) {
        let was_failed = chosen.0.failed_at().take().is_some();
        if was_failed || self.is_away() {
            self.known().away_since = None;
        }
    }

    /// Notes that a replica, or the name itself, led nowhere.
    pub(super) fn failed(&self, chosen: Option<&Chosen>) {
        if let Some(Chosen(replica)) = chosen {
            *replica.failed_at() = Some(Instant::now());
        }
        let mut known = self.known();
        if known.replicas.iter().all(|replica| replica.is_left_alone()) {
            known.away_since.get_or_insert_with(Instant::now);
        }
    }

    /// Returns since when no replica is known that answers; nothing if there is one.
    pub(super) fn away_since(&self) -> Option<Instant> {
        self.known().away_since
    }

    pub(super) fn is_away(&self) -> bool {
        self.away_since().is_some()
    }

    /// Looks up the name, unless somebody did since `before`.
    pub(super) async fn look_up(&self, before: Instant) {
        let _turn = self.looking.lock().await;
        if self.known().looked_up_at.is_some_and(|at| at > before) {
            return;
        }
        let found = join_all(self.names.iter().map(look_up)).await;
        let mut known = self.known();
        known.looked_up_at = Some(Instant::now());
        let mut before = std::mem::take(&mut known.replicas);
        if found.iter().all(Option::is_some) {
            known.replicas = with_addresses(&before, found.into_iter().flatten().flatten());
        } else {
            // A name may be unknown, or who knows it away: those that answer are kept. An address at which nobody answers
            // any more may become another service's.
            before.retain(|replica| replica.failed_at().is_none());
            let kept: Vec<SocketAddr> = before.iter().map(|replica| replica.address).collect();
            let found = found.into_iter().flatten().flatten().chain(kept);
            known.replicas = with_addresses(&before, found);
        }
    }
}

/// Returns what a name means now; nothing if that can't be found out.
async fn look_up(name: &Authority) -> Option<Vec<SocketAddr>> {
    let host = name.host().trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((host, name.port_u16().unwrap_or(HTTP_PORT)));
    Some(tokio::time::timeout(LOOK_UP_MAX, found).await.ok()?.ok()?.collect())
}

/// Returns a replica for each address; those that were known stay who they were.
fn with_addresses(
    before: &[Arc<Replica>],
    addresses: impl Iterator<Item = SocketAddr>,
) -> Vec<Arc<Replica>> {
    let mut addresses: Vec<SocketAddr> = addresses.collect();
    addresses.sort_unstable();
    addresses.dedup();
    let same = |address: &SocketAddr| before.iter().find(|one| one.address == *address).cloned();
    addresses
        .into_iter()
        .map(|address| same(&address).unwrap_or_else(|| Replica::new(address)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(ports: &[u16]) -> Arc<Replicas> {
        let replicas = Replicas::new(vec![Authority::from_static("127.0.0.1:1")]);
        let mut known = replicas.known();
        known.replicas =
            ports.iter().map(|port| Replica::new(([127, 0, 0, 1], *port).into())).collect();
        known.looked_up_at = Some(Instant::now());
        drop(known);
        replicas
    }

    #[tokio::test]
    async fn the_replica_with_the_least_to_do_is_chosen() {
        let replicas = replicas(&[1, 2, 3]);
        let mut chosen = Vec::new();
        for _ in 0..6 {
            chosen.push(replicas.choose().await.unwrap());
        }
        let mut ports: Vec<u16> = chosen.iter().map(|one| one.address().port()).collect();
        ports.sort_unstable();
        assert_eq!(ports, [1, 1, 2, 2, 3, 3]);
        chosen.retain(|one| one.address().port() != 2);
        assert_eq!(replicas.choose().await.unwrap().address().port(), 2);
    }

    #[tokio::test]
    async fn one_that_failed_is_left_alone_while_there_are_others() {
        let replicas = replicas(&[1, 2]);
        let first = replicas.choose().await.unwrap();
        replicas.failed(Some(&first));
        assert!(!replicas.is_away());
        let mut others = Vec::new();
        for _ in 0..4 {
            let other = replicas.choose().await.unwrap();
            assert_ne!(other.address(), first.address());
            others.push(other);
        }
        replicas.failed(others.first());
        assert!(replicas.is_away());
        let trial = replicas.choose().await.unwrap();
        replicas.answered(&trial);
        assert!(!replicas.is_away());
    }

    #[tokio::test]
    async fn a_name_that_means_nothing_keeps_who_answers_and_leaves_who_does_not() {
        let replicas = Replicas::new(vec![Authority::from_static("no-such-service.invalid:1")]);
        replicas.known().replicas = vec![
            Replica::new(([127, 0, 0, 1], 1).into()),
            Replica::new(([127, 0, 0, 1], 2).into()),
        ];
        replicas.known().looked_up_at = Some(Instant::now());
        let failed = replicas.choose().await.unwrap();
        replicas.failed(Some(&failed));
        replicas.look_up(Instant::now()).await;
        let left = replicas.choose().await.unwrap();
        assert_ne!(left.address(), failed.address());
        assert_eq!(replicas.known().replicas.len(), 1);
        replicas.failed(Some(&left));
        replicas.look_up(Instant::now()).await;
        assert!(replicas.choose().await.is_none());
    }

    #[test]
    fn who_stays_keeps_what_is_known_of_it() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let before = vec![Replica::new(at(1)), Replica::new(at(2))];
        let after = with_addresses(&before, [at(3), at(2), at(3)].into_iter());
        assert_eq!(after.iter().map(|one| one.address.port()).collect::<Vec<_>>(), [2, 3]);
        assert!(Arc::ptr_eq(&after[0], &before[1]));
    }
}
