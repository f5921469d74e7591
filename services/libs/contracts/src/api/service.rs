//! What every service answers to the gateway, below `/internal`; never reachable from outside.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::Timestamp;

/// `GET /internal/status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceStatus {
    /// Its version.
    pub version: String,
    /// Whether it does its work: its database is reachable and migrated.
    pub ready: bool,
    /// Why it is not ready, or what is degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The database engine: `sqlite` or `postgresql`; empty if it has none.
    #[serde(default)]
    pub engine: String,
    /// The place of the last event that it wrote: it grows with each.
    #[serde(default)]
    pub announced: i64,
    /// Events that it wrote and that not everyone who reads them has acted on yet.
    pub unpublished: i64,
    /// Events that arrived and that it has not acted on yet.
    pub unhandled: i64,
    /// Events set aside because they could not be acted on.
    pub dead_letters: i64,
    /// What waits for its writer.
    pub queued: i64,
    /// The service's own work that is not done yet (open orders, tickets, waiting orders, open purchases).
    pub open: i64,
    /// How much of that it works on at once: the stoves of the kitchen. Absent where there is no such bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<i64>,
    /// How many processes of it have started on its data: one, and one more for each restart and each replica. One counts from when its
    /// storage is checked; 0: none is counted yet, or that can't be read.
    #[serde(default)]
    pub starts: i64,
    /// When the last one started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// What waits there, and for what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Waiting>,
}

/// Things of one kind that wait for the same in a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Waiting {
    /// What waits: `orders`, `dishes`, `purchases`, `events`, `dead letters`.
    pub what: String,
    /// How many.
    pub count: i64,
    /// Since when the first of them waits; absent if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// What they wait for.
    pub awaits: String,
}

impl Waiting {
    /// Returns what waits since then; nothing if there is none.
    #[must_use]
    pub fn some(what: &str, count: i64, since: Option<Timestamp>, awaits: &str) -> Option<Self> {
        let (what, awaits) = (what.to_owned(), awaits.to_owned());
        (count > 0).then_some(Self { what, count, since, awaits })
    }
}

/// `GET /internal/events?subject=…`: what a service told about one subject, oldest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Events {
    /// The events, 10,000 at the most.
    pub events: Vec<crate::events::Envelope>,
}

/// An event that a service could not act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetter {
    /// The service that could not act on it.
    pub service: String,
    /// The event's id.
    pub id: Uuid,
    /// The event's type.
    pub kind: String,
    /// What the event is about.
    pub subject: String,
    /// The event as it was sent, in JSON.
    pub event: String,
    /// What went wrong.
    pub error: String,
    /// How often it was tried.
    pub attempts: i64,
    /// When it was set aside.
    pub failed_at: Timestamp,
}

/// `GET /internal/dead-letters`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceDeadLetters {
    /// The dead letters, oldest first, 1,000 at the most.
    pub dead_letters: Vec<DeadLetter>,
}
