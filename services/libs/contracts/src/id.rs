//! Ids: UUIDv7, so that they sort by the time at which they were made.

use std::{cmp::Ordering, fmt, hash, marker::PhantomData, str::FromStr, sync::Mutex};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::{ContextV7, Uuid};

use crate::Timestamp;

/// The ids of one millisecond are in the order in which they were made.
static SEQUENCE: Mutex<ContextV7> = Mutex::new(ContextV7::new());

/// Makes a UUIDv7. While the clock is before 1970 it is one of 1970, where [`Uuid::now_v7`] would panic.
#[must_use]
pub fn new_uuid() -> Uuid {
    uuid_at(Timestamp::now())
}

fn uuid_at(moment: Timestamp) -> Uuid {
    let micros = u64::try_from(moment.as_micros()).unwrap_or(0);
    let nanos = u32::try_from(micros % 1_000_000 * 1_000).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(&SEQUENCE, micros / 1_000_000, nanos))
}

/// An id of one kind of thing; ids of two kinds can't be mixed up. Written as a hyphenated lower-case UUID.
pub struct Id<K> {
    uuid: Uuid,
    kind: PhantomData<fn() -> K>,
}

/// What an [`Id`] can be of.
pub mod kinds {
    /// An order of one dish.
    pub enum Order {}
    /// One purchase at the farmers' market.
    pub enum Purchase {}
}

/// The id of an order.
pub type OrderId = Id<kinds::Order>;
/// The id of a purchase, which is its idempotency key at the market, too.
pub type PurchaseId = Id<kinds::Purchase>;

impl<K> Id<K> {
    /// Makes an id that no other has; later ones sort after earlier ones of this process.
    #[must_use]
    pub fn new() -> Self {
        Self::from(new_uuid())
    }

    /// Returns the UUID.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.uuid
    }

    /// Returns when it was made, to the millisecond; nothing if it is no UUIDv7.
    #[must_use]
    pub fn made_at(self) -> Option<Timestamp> {
        let (seconds, nanos) = self.uuid.get_timestamp()?.to_unix();
        let micros = seconds.checked_mul(1_000_000)?.checked_add(u64::from(nanos / 1_000))?;
        i64::try_from(micros).ok().map(Timestamp::from_micros)
    }
}

impl<K> Default for Id<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> From<Uuid> for Id<K> {
    fn from(uuid: Uuid) -> Self {
        Self { uuid, kind: PhantomData }
    }
}

/// A text that is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id: it should be a UUID, such as 0192f3c4-5a6b-7c8d-9e0f-112233445566")]
pub struct ParseIdError {
    text: String,
}

impl<K> FromStr for Id<K> {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let shown = || ParseIdError { text: text.chars().take(64).collect() };
        Uuid::try_parse(text).map(Self::from).map_err(|_| shown())
    }
}

// By hand, because a derive would ask the same of the kind.
impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Id<K> {}

impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}

impl<K> Eq for Id<K> {}

impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.uuid.cmp(&other.uuid)
    }
}

impl<K> hash::Hash for Id<K> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}

impl<K> fmt::Display for Id<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.uuid, formatter)
    }
}

impl<K> fmt::Debug for Id<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.uuid, formatter)
    }
}

impl<K> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.uuid.serialize(serializer)
    }
}

impl<'de, K> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Uuid::deserialize(deserializer).map(Self::from)
    }
}

impl<K> utoipa::PartialSchema for Id<K> {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
            .into()
    }
}

impl<K> utoipa::ToSchema for Id<K> {}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn ids_are_made_whatever_the_clock_says() {
        let far = Duration::from_secs(20_000 * 365 * 86_400);
        let before = SystemTime::UNIX_EPOCH.checked_sub(far).unwrap();
        let after = SystemTime::UNIX_EPOCH.checked_add(far).unwrap();
        for clock in [before, after, SystemTime::now(), before] {
            let ids = [uuid_at(clock.into()), uuid_at(clock.into())];
            assert!(ids[0] < ids[1], "{ids:?}");
            assert_eq!(ids[0].get_version_num(), 7);
        }
    }

    #[test]
    fn every_moment_of_a_clock_can_be_written_and_read() {
        let far = Duration::from_secs(20_000 * 365 * 86_400);
        for clock in [SystemTime::UNIX_EPOCH - far, SystemTime::UNIX_EPOCH + far, SystemTime::now()]
        {
            let moment = Timestamp::from(clock);
            assert_eq!(moment.to_string().parse(), Ok(moment));
        }
    }
}
