//! How much one may ask: a bucket of tokens for each key, and for each address that shows none.

use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroU32,
    str::FromStr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use service::http::network_of;

/// How many addresses are remembered at once; those beyond share one bucket. 10,000 entries are some 500 kB.
pub(crate) const ADDRESSES_MAX: usize = 10_000;
/// How often addresses that are as good as new are forgotten, at the most.
const SWEEP_EVERY: Duration = Duration::from_millis(500);

/// How many requests: so many a second on the long run, and so many at once. Written `2000/4000`; without the second
/// part, twice the first may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many a second on the long run.
    pub per_second: NonZeroU32,
    /// How many at once, after a pause.
    pub burst: NonZeroU32,
}

/// A text that is no [`Rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a rate: it should be like 2000 or 2000/4000, requests a second and at once")]
pub struct ParseRateError;

impl Rate {
    /// Returns a rate; zeros count as one.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second: at_least_one(per_second), burst: at_least_one(burst) }
    }

    /// Returns how long one token takes, and how long a whole bucket, in nanoseconds.
    fn nanos(self) -> (u64, u64) {
        let token = 1_000_000_000 / u64::from(self.per_second.get());
        (token, token * u64::from(self.burst.get()))
    }
}

const fn at_least_one(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

impl FromStr for Rate {
    type Err = ParseRateError;

    fn from_str(text: &str) -> Result<Self, ParseRateError> {
        let (per_second, burst) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let per_second: NonZeroU32 = per_second.trim().parse().map_err(|_| ParseRateError)?;
        let burst = match burst {
            Some(burst) => burst.trim().parse().map_err(|_| ParseRateError)?,
            None => per_second.saturating_mul(at_least_one(2)),
        };
        Ok(Self { per_second, burst })
    }
}

/// Takes a token at `now` from a bucket that is full again at `full_at`, all in nanoseconds; returns when it is full
/// afterwards, or how long until there is a token.
fn take(rate: Rate, full_at: u64, now: u64) -> Result<u64, Duration> {
    let (token, bucket) = rate.nanos();
    let full_after = full_at.max(now) + token;
    match (full_after - now).checked_sub(bucket) {
        None | Some(0) => Ok(full_after),
        Some(nanos) => Err(Duration::from_nanos(nanos)),
    }
}

/// A bucket that many may take from at once.
#[derive(Debug)]
pub(crate) struct Bucket {
    began: Instant,
    full_at: AtomicU64,
}

impl Bucket {
    pub(crate) fn full() -> Self {
        Self { began: Instant::now(), full_at: AtomicU64::new(0) }
    }

    /// Takes a token, or returns how long until there is one.
    pub(crate) fn take(&self, rate: Rate) -> Result<(), Duration> {
        let now = nanos_since(self.began);
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let after = take(rate, full_at, now)?;
            match self.full_at.compare_exchange_weak(
                full_at,
                after,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(other) => full_at = other,
            }
        }
    }
}

/// A bucket for each address, for as long as it is not full.
#[derive(Debug)]
pub(crate) struct Addresses {
    began: Instant,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    full_at: HashMap<IpAddr, u64>,
    swept_at: u64,
    /// The bucket of all who came while the table was full.
    others: u64,
}

impl Addresses {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), table: Mutex::default() }
    }

    /// Takes a token of an address, or returns how long until it has one.
    pub(crate) fn take(&self, address: IpAddr, rate: Rate) -> Result<(), Duration> {
        let now = nanos_since(self.began);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.take(network_of(address), rate, now)
    }
}

impl Table {
    fn take(&mut self, network: IpAddr, rate: Rate, now: u64) -> Result<(), Duration> {
        if let Some(full_at) = self.full_at.get_mut(&network) {
            *full_at = take(rate, *full_at, now)?;
            return Ok(());
        }
        if self.full_at.len() >= ADDRESSES_MAX {
            self.sweep(now);
        }
        if self.full_at.len() >= ADDRESSES_MAX {
            self.others = take(rate, self.others, now)?;
            return Ok(());
        }
        self.full_at.insert(network, take(rate, 0, now)?);
        Ok(())
    }

    fn sweep(&mut self, now: u64) {
        let every = u64::try_from(SWEEP_EVERY.as_nanos()).unwrap_or(u64::MAX);
        if now.saturating_sub(self.swept_at) >= every {
            self.swept_at = now;
            self.full_at.retain(|_, full_at| *full_at > now);
        }
    }
}

fn nanos_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_its_rate_on_the_long_run() {
        let rate = Rate::new(10, 5);
        let mut full_at = 0;
        let taken = |now: u64, full_at: &mut u64| {
            let mut taken = 0;
            while let Ok(after) = take(rate, *full_at, now) {
                *full_at = after;
                taken += 1;
            }
            taken
        };
        assert_eq!(taken(100 * SECOND, &mut full_at), 5);
        assert_eq!(taken(100 * SECOND + SECOND / 10, &mut full_at), 1);
        assert_eq!(taken(100 * SECOND + SECOND / 2, &mut full_at), 4);
        assert_eq!(taken(200 * SECOND, &mut full_at), 5);
        assert_eq!(take(rate, full_at, 200 * SECOND), Err(Duration::from_millis(100)));
    }

    #[test]
    fn the_table_of_addresses_stays_small_and_forgets_who_has_a_full_bucket() {
        let rate = Rate::new(1, 1);
        let mut table = Table::default();
        let address = |number: usize| IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
        for number in 0..ADDRESSES_MAX {
            assert!(table.take(address(number), rate, SECOND).is_ok());
        }
        // The next ones share one bucket, of one.
        assert!(table.take(address(ADDRESSES_MAX), rate, SECOND).is_ok());
        assert!(table.take(address(ADDRESSES_MAX + 1), rate, SECOND).is_err());
        assert_eq!(table.full_at.len(), ADDRESSES_MAX);
        assert!(table.take(address(ADDRESSES_MAX + 1), rate, 3 * SECOND).is_ok());
        assert_eq!(table.full_at.len(), 1);
    }

    #[test]
    fn a_rate_is_read_from_its_text() {
        assert_eq!("2000".parse(), Ok(Rate::new(2_000, 4_000)));
        assert_eq!("50/200".parse(), Ok(Rate::new(50, 200)));
        for text in ["", "0", "-1", "5/", "5/0", "many"] {
            assert_eq!(text.parse::<Rate>(), Err(ParseRateError), "{text}");
        }
    }
}
