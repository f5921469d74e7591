//! What the streams are called, which of them an event goes to, and how their entries are numbered.

use std::{array, fmt, num::ParseIntError, str::FromStr};

/// How many streams there are. What an event is about decides on its stream, so this never changes while there are events.
pub(super) const SHARDS: usize = 8;

/// Something for each shard.
pub(super) type Each<T> = [T; SHARDS];

/// The names of all keys.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
    /// The streams. What stands in braces decides on the slot of a key: a stream a slot.
    pub(super) streams: Each<String>,
    /// Holds a random text for as long as the broker forgets nothing.
    pub(super) incarnation: String,
    /// The set of the groups that there were in this incarnation.
    pub(super) groups: String,
    /// The set of the streams that were given entries: one of these that is missing has lost them.
    pub(super) filled: String,
    /// The hash of the entries before which streams were cut, although someone might still lack something.
    pub(super) cut: String,
    /// The hash of the ids below which the writers have published everything.
    pub(super) published: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            streams: array::from_fn(|shard| format!("{prefix}.events.{{{shard}}}")),
            incarnation: format!("{prefix}.incarnation"),
            groups: format!("{prefix}.groups"),
            filled: format!("{prefix}.filled"),
            cut: format!("{prefix}.cut"),
            published: format!("{prefix}.published"),
        }
    }

    /// Returns the key that is there while a group reads.
    pub(super) fn alive(&self, group: &str) -> String {
        format!("{}.alive.{group}", self.prefix)
    }

    /// Returns the channel on which the replicas of a service wake the one that publishes.
    pub(super) fn wake(&self, service: &str) -> String {
        format!("{}.wake.{service}", self.prefix)
    }

    /// Returns the shard of a stream.
    pub(super) fn shard_of_stream(&self, stream: &[u8]) -> Option<usize> {
        self.streams.iter().position(|name| name.as_bytes() == stream)
    }
}

/// Returns the shard for events about a subject: FNV-1a, which is the same in every process and every version.
pub(super) fn shard_of(subject: &str) -> usize {
    let hash = subject.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from(hash % SHARDS as u64).unwrap_or(0)
}

/// The number of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id {
    millis: u64,
    count: u64,
}

impl Id {
    /// Before every entry.
    pub(super) const ZERO: Self = Self { millis: 0, count: 0 };

    /// Returns the least number behind this one.
    pub(super) const fn next(self) -> Self {
        match self.count.checked_add(1) {
            Some(count) => Self { count, ..self },
            None => Self { millis: self.millis + 1, count: 0 },
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.millis, self.count)
    }
}

impl FromStr for Id {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (millis, count) = text.split_once('-').unwrap_or((text, "0"));
        Ok(Self { millis: millis.parse()?, count: count.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::{Id, SHARDS, shard_of};

    #[test]
    fn a_subject_keeps_its_shard_for_ever_and_all_shards_are_used() {
        assert_eq!((shard_of("tomato"), shard_of("menu")), (3, 2));
        let used: std::collections::BTreeSet<usize> =
            (0..200).map(|order| shard_of(&format!("order {order}"))).collect();
        assert_eq!(used.len(), SHARDS);
    }

    #[test]
    fn numbers_of_entries_are_read_and_compared_as_numbers() {
        let [nine, ten]: [Id; 2] = ["1-9", "1-10"].map(|text| text.parse().unwrap());
        assert!(nine < ten);
        assert_eq!((nine.next(), ten.to_string()), (ten, "1-10".to_owned()));
        assert!("x-1".parse::<Id>().is_err());
    }
}
