//! What the gateway itself answers: keys, stories, status.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    board::Summary,
    service::{DeadLetter, ServiceStatus},
};
use crate::{OrderId, Timestamp};

/// What a key allows. Each role may all that the roles before it may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May look.
    Viewer,
    /// May order, cancel, seed.
    Manager,
    /// May all: keys, dead letters, the simulated market.
    Admin,
}

impl Role {
    /// Returns the name by which it is stored and sent.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Manager => "manager",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A name that is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a role: it should be viewer, manager or admin")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, UnknownRole> {
        [Self::Viewer, Self::Manager, Self::Admin]
            .into_iter()
            .find(|role| role.name() == name)
            .ok_or(UnknownRole)
    }
}

/// A key as it is listed: its secret is known only to whom it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// The public part of the key.
    pub id: String,
    /// Whom it is for.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// The key whose sign-in link opened this session of a browser; absent for a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_of: Option<String>,
    /// When it ends by itself; absent for a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// `POST /v1/sign-in-links`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeSignInLink {
    /// What the session may do, at most what the key may; by default just that.
    pub role: Option<Role>,
}

/// A link by which a browser signs in, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignInLink {
    /// The path of the page, with the token behind `#`: browsers send that part to nobody.
    pub path: String,
    /// What the session may do.
    pub role: Role,
    /// Until when the link works.
    pub expires_at: Timestamp,
}

/// `POST /v1/session`: the answer sets a cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenSession {
    /// The token of a sign-in link.
    #[schema(min_length = 1, max_length = 160)]
    pub token: String,
}

/// `GET /v1/session`: who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// The id of the session, or of the key.
    pub id: String,
    /// Whom the key is for.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// When the session ends by itself; absent for a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// `POST /v1/keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddKey {
    /// Whom it is for: 1 to 64 bytes.
    #[schema(min_length = 1, max_length = 64)]
    pub name: String,
    /// What it allows.
    pub role: Role,
}

/// The one time that a secret is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AddedKey {
    /// The key.
    pub key: Key,
    /// The whole key, `cfk_<id>_<secret>`: send it as `Authorization: Bearer …`.
    pub secret: String,
}

/// `GET /v1/keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Keys {
    /// The keys and the sessions of browsers, oldest first.
    pub keys: Vec<Key>,
}

/// `GET /v1/status`: the environment and its services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Whether every service is ready.
    pub ready: bool,
    /// Whether nothing is under way: no order in flight, no event unpublished or unhandled.
    pub quiet: bool,
    /// The version of the gateway.
    pub version: String,
    /// Each service, by name. One that does not answer is there, not ready, with the reason.
    pub services: BTreeMap<String, ServiceStatus>,
    /// The board's summary; absent while the board does not answer.
    pub summary: Option<Summary>,
}

/// `GET /v1/orders/{id}/story`: what happened to one order, in the order in which it happened.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Story {
    /// The order.
    pub order: OrderId,
    /// What happened.
    pub events: Vec<StoryEvent>,
    /// Services that could not be asked; their part is missing.
    pub missing: Vec<String>,
    /// Whether it begins with its beginning: older events may no longer be kept.
    #[serde(default = "whole")]
    pub complete: bool,
}

const fn whole() -> bool {
    true
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StoryEvent {
    /// When it happened.
    pub time: Timestamp,
    /// Where it happened.
    pub service: String,
    /// What happened: `order.placed`.
    pub event: String,
    /// Its version.
    pub version: u16,
    /// The event's id.
    pub id: uuid::Uuid,
    /// The trace it belongs to.
    pub traceparent: Option<String>,
    /// The event's data.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
}

/// `GET /v1/dead-letters`: the events that services could not act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetters {
    /// The dead letters, oldest first, 1,000 a service at the most.
    pub dead_letters: Vec<DeadLetter>,
    /// Services that could not be asked; theirs are missing.
    #[serde(default)]
    pub missing: Vec<String>,
}
