//! What happened, told in the past tense. A published shape never changes: a new shape is the next version.

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{Timestamp, new_uuid};

pub mod catalogue;
mod inventory;
mod kitchen;
mod order;

pub use inventory::{
    IngredientPurchased, IngredientsAwaited, IngredientsReleased, IngredientsReserved,
};
pub use kitchen::{
    CancellationRefused, CookingStarted, DishCancelled, DishPrepared, DishRefused,
    IngredientsRequested, MenuChanged,
};
pub use order::{
    CancellationRequested, OrderCancelled, OrderDelivered, OrderPlaced, OrderRejected,
};

/// What all our event types begin with.
const PREFIX: &str = "chefcito.";

/// Something that happened in one service and that others may act on.
pub trait Event: Serialize + DeserializeOwned {
    /// The name, without prefix and version: `order.placed`.
    const NAME: &'static str;
    /// The version of the shape that is written today.
    const VERSION: u16;

    /// Returns what it is about: the id of an order or the name of an ingredient. Events about one subject stay in
    /// order.
    fn subject(&self) -> String;

    /// Reads the data of any version that was ever published.
    ///
    /// # Errors
    /// [`UnreadableEvent`] if the data does not have that version's shape, or the version is newer than this program.
    fn upgrade(version: u16, data: &RawValue) -> Result<Self, UnreadableEvent> {
        if version == Self::VERSION {
            serde_json::from_str(data.get()).map_err(|source| UnreadableEvent::Malformed {
                name: Self::NAME,
                version,
                source,
            })
        } else {
            Err(UnreadableEvent::UnknownVersion { name: Self::NAME, version })
        }
    }
}

/// An event that this program can't read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableEvent {
    /// Its data is not what its type says.
    #[error("the data of {name} is not of the shape of version {version}")]
    Malformed {
        /// The event's name.
        name: &'static str,
        /// The version it says it has.
        version: u16,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// No such version was known when this program was built.
    #[error(
        "{name} has version {version}, which this program does not know: a newer service wrote it"
    )]
    UnknownVersion {
        /// The event's name.
        name: &'static str,
        /// The version it says it has.
        version: u16,
    },
    /// It is another event than the one asked for, or none of ours.
    #[error("the event's type is `{kind}`, not {name}")]
    OtherEvent {
        /// The name of the event asked for.
        name: &'static str,
        /// The type that it has.
        kind: String,
    },
}

/// An event as it is stored and sent: a CloudEvent 1.0 (<https://github.com/cloudevents/spec>) in JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// Always `1.0`.
    pub specversion: SpecVersion,
    /// Unique, and the same each time the event is sent again.
    pub id: Uuid,
    /// Who wrote it: `/chefcito/orders`.
    pub source: String,
    /// The type, with its version: `chefcito.order.placed.v1`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The id of an order or the name of an ingredient; also what partitions events.
    pub subject: String,
    /// When it was written.
    pub time: Timestamp,
    /// The W3C trace context of what caused it (<https://www.w3.org/TR/trace-context/>).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The event itself.
    pub data: Box<RawValue>,
}

impl Envelope {
    /// Wraps an event written now by `service`.
    ///
    /// # Panics
    /// Never for our events: a struct of texts and numbers always has a JSON form.
    #[must_use]
    pub fn new<E: Event>(
        service: &str,
        event: &E,
        time: Timestamp,
        traceparent: Option<String>,
    ) -> Self {
        Self {
            specversion: SpecVersion::V1,
            id: new_uuid(),
            source: source_of(service),
            kind: format!("{PREFIX}{}.v{}", E::NAME, E::VERSION),
            subject: event.subject(),
            time,
            traceparent,
            data: serde_json::value::to_raw_value(event).expect("an event has a JSON form"),
        }
    }

    /// Returns the event's name, `order.placed`, and its version; nothing if the type is not one of ours.
    #[must_use]
    pub fn name_and_version(&self) -> Option<(&str, u16)> {
        Self::name_and_version_of(&self.kind)
    }

    /// Returns the name and the version in a type: `chefcito.order.placed.v1` has `order.placed` and 1.
    #[must_use]
    pub fn name_and_version_of(kind: &str) -> Option<(&str, u16)> {
        let (name, version) = kind.strip_prefix(PREFIX)?.rsplit_once(".v")?;
        Some((name, version.parse().ok()?))
    }

    /// Returns the event's name, `order.placed`; its whole type if that is not one of ours.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name_and_version().map_or(&self.kind, |(name, _)| name)
    }

    /// Returns the service that wrote it.
    #[must_use]
    pub fn service(&self) -> &str {
        self.source.rsplit('/').next().unwrap_or(&self.source)
    }

    /// Reads the event, whichever version it was written in.
    ///
    /// # Errors
    /// [`UnreadableEvent`] if it is another event, of a version too new, or malformed.
    pub fn read<E: Event>(&self) -> Result<E, UnreadableEvent> {
        match self.name_and_version() {
            Some((name, version)) if name == E::NAME => E::upgrade(version, &self.data),
            _ => Err(UnreadableEvent::OtherEvent {
                name: E::NAME,
                kind: self.kind.chars().take(128).collect(),
            }),
        }
    }
}

/// Returns the `source` of the events of a service.
#[must_use]
pub fn source_of(service: &str) -> String {
    format!("/chefcito/{service}")
}

/// The version of the CloudEvents specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpecVersion {
    /// The only one that we write and read.
    #[serde(rename = "1.0")]
    V1,
}

impl fmt::Display for SpecVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("1.0")
    }
}
