//! How many watch, in all and of each key and address.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;

/// How many may watch at once: each has a connection.
const VIEWERS_MAX: u32 = 2_000;
/// How many of them may have one key, or one address: guests behind a proxy have the same.
const VIEWERS_OF_ONE_MAX: u32 = 1_000;

/// Who watches.
#[derive(Clone, Debug, Default)]
pub(super) struct Viewers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    counted: Mutex<Counted>,
    /// Signalled when one comes or goes.
    changed: Notify,
    gauge: Gauge,
}

#[derive(Debug, Default)]
struct Counted {
    all: u32,
    of_keys: HashMap<String, u32>,
    of_addresses: HashMap<IpAddr, u32>,
    /// Whether a task reads what they see.
    is_served: bool,
}

/// Why one may not watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There are too many.
    All,
    /// There are too many of this key or address.
    One,
}

/// One who watches, until it is dropped.
#[derive(Debug)]
pub(super) struct Viewer {
    viewers: Viewers,
    key: String,
    address: IpAddr,
    /// Whether no task reads what viewers see: the caller starts it.
    pub(super) is_first: bool,
}

impl Viewers {
    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the metric of how many watch.
    pub(super) fn gauge(&self) -> Gauge {
        self.0.gauge.clone()
    }

    /// Returns how many watch.
    pub(super) fn count(&self) -> u32 {
        self.counted().all
    }

    /// Waits until one comes or goes.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Lets one in.
    ///
    /// # Errors
    /// [`Refused`] if there are too many.
    pub(super) fn enter(&self, key: &str, address: IpAddr) -> Result<Viewer, Refused> {
        let mut counted = self.counted();
        if counted.all >= VIEWERS_MAX {
            return Err(Refused::All);
        }
        let of_key = counted.of_keys.get(key).copied().unwrap_or(0);
        let of_address = counted.of_addresses.get(&address).copied().unwrap_or(0);
        if of_key.max(of_address) >= VIEWERS_OF_ONE_MAX {
            return Err(Refused::One);
        }
        counted.all += 1;
        counted.of_keys.insert(key.to_owned(), of_key + 1);
        counted.of_addresses.insert(address, of_address + 1);
        let is_first = !std::mem::replace(&mut counted.is_served, true);
        drop(counted);
        self.0.gauge.inc();
        self.0.changed.notify_one();
        Ok(Viewer { viewers: self.clone(), key: key.to_owned(), address, is_first })
    }

    /// Notes that the task which reads for viewers ends, unless there is a viewer. Returns whether it is to end. [`Viewers::enter`]
    /// decides under the same lock whether to start another one.
    pub(super) fn end_service(&self) -> bool {
        let mut counted = self.counted();
        counted.is_served = counted.all > 0;
        !counted.is_served
    }

    /// Notes that the task which reads for viewers has ended, whatever the reason: the next viewer starts another one.
    pub(super) fn note_end_of_service(&self) {
        self.counted().is_served = false;
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let mut counted = self.viewers.counted();
        counted.all -= 1;
        one_less(&mut counted.of_keys, &self.key);
        one_less(&mut counted.of_addresses, &self.address);
        drop(counted);
        self.viewers.0.gauge.dec();
        self.viewers.0.changed.notify_one();
    }
}

fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: &K) {
    match counts.get_mut(key) {
        Some(count) if *count > 1 => *count -= 1,
        _ => {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_may_watch_and_not_too_many() {
        let viewers = Viewers::default();
        let address = |number: u32| IpAddr::from(number.to_be_bytes());
        let of_one: Vec<Viewer> = (0..VIEWERS_OF_ONE_MAX)
            .map(|number| viewers.enter("one", address(number)).unwrap())
            .collect();
        assert_eq!(of_one.iter().filter(|viewer| viewer.is_first).count(), 1);
        assert_eq!(viewers.enter("one", address(0)).unwrap_err(), Refused::One);
        let others: Vec<Viewer> = (0..VIEWERS_MAX - VIEWERS_OF_ONE_MAX)
            .map(|number| viewers.enter(&number.to_string(), address(1 << 24)).unwrap())
            .collect();
        assert_eq!(viewers.enter("two", address(9)).unwrap_err(), Refused::All);
        assert!(!viewers.end_service(), "somebody watches");
        drop((of_one, others));
        assert_eq!(viewers.count(), 0);
        assert!(viewers.counted().of_keys.is_empty() && viewers.counted().of_addresses.is_empty());
        assert!(viewers.end_service());
        assert!(viewers.enter("one", address(0)).unwrap().is_first);
    }
}
