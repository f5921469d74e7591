//! What is no longer kept. Up to a horizon, below which events may have been removed, they are counted by name; above it
//! each is looked at.

use std::{collections::BTreeMap, time::Duration};

use backends::Backends;
use contracts::{
    api::audit::RetentionFact,
    events::catalogue::{is_reader, is_writer, readers_of},
};
use futures_util::future::try_join_all;
use uuid::Uuid;

use crate::{AuditError, finding::Finding};

/// How far above what was removed the horizon is laid, one attempt after another: what is removed during an audit must
/// stay below it.
pub(crate) const SLACKS: [Duration; 3] =
    [Duration::ZERO, Duration::from_secs(60 * 60), Duration::from_secs(24 * 60 * 60)];
/// How long a service may count: inboxes remember an hour more than is removed.
const COUNT_WAIT_MAX: Duration = Duration::from_secs(20);
/// The bits of a UUIDv7 behind its milliseconds.
const BITS_BEHIND_MS: u32 = 80;

/// The id up to which events may have been removed from an outbox or an inbox; none if none ever was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Horizon(Option<Uuid>);

impl Horizon {
    /// Lays the horizon this far above the last event that any service removed.
    ///
    /// # Errors
    /// [`AuditError`] if a service did not tell.
    pub(crate) async fn lay(services: &Backends, slack: Duration) -> Result<Self, AuditError> {
        let slack = slack.as_millis() << BITS_BEHIND_MS;
        let last = last_removed(services).await?;
        Ok(Self(last.map(|id| Uuid::from_u128(id.as_u128().saturating_add(slack)))))
    }

    /// Returns whether nothing above it was removed since.
    ///
    /// # Errors
    /// [`AuditError`] if a service did not tell.
    pub(crate) async fn holds(self, services: &Backends) -> Result<bool, AuditError> {
        Ok(last_removed(services).await? <= self.0)
    }

    pub(crate) const fn id(self) -> Option<Uuid> {
        self.0
    }

    /// Returns whether the events about what has this key may have been removed: it is a UUIDv7 older than the horizon.
    pub(crate) fn covers(self, key: &str) -> bool {
        self.0.is_some_and(|horizon| key.parse::<Uuid>().is_ok_and(|id| id <= horizon))
    }
}

async fn last_removed(services: &Backends) -> Result<Option<Uuid>, AuditError> {
    let facts = ask(services, "/internal/facts/retention").await?;
    let horizons = facts.iter().flat_map(|(_, fact)| [fact.outbox.horizon, fact.inbox.horizon]);
    Ok(horizons.max().flatten())
}

/// Asks everyone who writes or reads events.
async fn ask(
    services: &Backends,
    path: &str,
) -> Result<Vec<(&'static str, RetentionFact)>, AuditError> {
    let asked = services.iter().filter(|(service, _)| is_writer(service) || is_reader(service));
    try_join_all(asked.map(async |(service, backend)| {
        let fact = backend.get::<RetentionFact>(path, COUNT_WAIT_MAX).await;
        let facts = "retention";
        Ok((service, fact.map_err(|source| AuditError::Unanswered { service, facts, source })?))
    }))
    .await
}

/// How many events there were up to the horizon, removed or not.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// By name, as their writers say.
    written: BTreeMap<String, i64>,
    /// By reader and name, as those who acted on them say.
    acted_on: BTreeMap<(&'static str, String), i64>,
    removed: i64,
}

impl Counts {
    /// Counts the events up to the horizon, and checks that as many were acted on as were written. While the environment works,
    /// outboxes are counted before and after the inboxes: as many were acted on as were published before, and no more
    /// than were written after.
    ///
    /// # Errors
    /// [`AuditError`] if a service did not tell.
    pub(crate) async fn check(
        services: &Backends,
        horizon: Horizon,
        finding: &mut Finding,
        live: bool,
    ) -> Result<Self, AuditError> {
        let Some(upto) = horizon.id() else { return Ok(Self::default()) };
        let path = format!("/internal/facts/retention?upto={upto}");
        let path = path.as_str();
        let before = if live { ask(services, path).await? } else { Vec::new() };
        let mut counts = Self::default();
        counts.add_inboxes(ask(services, path).await?);
        counts.add_outboxes(ask(services, path).await?);
        let published = live.then(|| published(before));
        counts.compare(published.as_ref(), finding);
        if let Some(note) = counts.note() {
            finding.note(note);
        }
        Ok(counts)
    }

    /// Says how many are no longer kept, if any.
    pub(crate) fn note(&self) -> Option<String> {
        (self.removed > 0)
            .then(|| format!("{} events are no longer kept, only counted", self.removed))
    }

    fn add_inboxes(&mut self, facts: Vec<(&'static str, RetentionFact)>) {
        for (service, fact) in facts {
            for (name, count) in fact.inbox.removed.into_iter().chain(fact.inbox.kept) {
                *self.acted_on.entry((service, name)).or_default() += count;
            }
        }
    }

    fn add_outboxes(&mut self, facts: Vec<(&'static str, RetentionFact)>) {
        for (_, fact) in facts {
            self.removed += fact.outbox.removed.values().sum::<i64>();
            for (name, count) in fact.outbox.removed.into_iter().chain(fact.outbox.kept) {
                *self.written.entry(name).or_default() += count;
            }
        }
    }

    /// Compares with what was written, or, while the environment works, with at least what was published before.
    fn compare(&self, published: Option<&BTreeMap<String, i64>>, finding: &mut Finding) {
        for (name, written) in &self.written {
            for reader in readers_of(name) {
                let found = self.acted_on_by(reader, name);
                let least = published.map_or(*written, |published| {
                    published.get(name).copied().unwrap_or(0).min(*written)
                });
                let fits = (least..=*written).contains(&found);
                finding.count(if fits { found } else { *written }, found);
                if !fits {
                    finding.breach(format_args!(
                        "{name}: {reader} acted on {found} of {written} that are old"
                    ));
                }
            }
        }
        for ((service, name), found) in &self.acted_on {
            let is_known = readers_of(name).contains(service) && self.written.contains_key(name);
            if !is_known && *found != 0 {
                finding.count(0, *found);
                finding.breach(format_args!(
                    "{name}: {service} acted on {found} that are old, but nobody wrote them to it"
                ));
            }
        }
    }

    fn acted_on_by(&self, reader: &'static str, name: &str) -> i64 {
        self.acted_on.get(&(reader, name.to_owned())).copied().unwrap_or(0)
    }

    /// Returns how many there were, as the writer and then as each of these readers says. That they agree is checked once,
    /// by [`Counts::check`]; what is compared with them may go by either.
    pub(crate) fn told(&self, name: &str, readers: &[&'static str]) -> Vec<i64> {
        let written = self.written.get(name).copied().unwrap_or(0);
        let acted_on = readers.iter().map(|reader| self.acted_on_by(reader, name));
        std::iter::once(written).chain(acted_on).collect()
    }
}

/// Returns how many of the events in these outboxes are published, by name.
fn published(facts: Vec<(&'static str, RetentionFact)>) -> BTreeMap<String, i64> {
    let mut published: BTreeMap<String, i64> = BTreeMap::new();
    for (_, fact) in facts {
        for (name, count) in fact.outbox.removed.into_iter().chain(fact.outbox.kept) {
            *published.entry(name).or_default() += count;
        }
        for (name, count) in fact.unpublished {
            *published.entry(name).or_default() -= count;
        }
    }
    published
}
