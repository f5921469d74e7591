//! The facts of one service, a sorted page at a time.

use std::collections::VecDeque;

use backends::{Backend, Backends};
use contracts::api::audit::{FACTS_PER_PAGE_MAX, Facts};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::{AuditError, kept::Horizon};

/// How long a service may take for one page. Behind it waits whoever asked for the audit.
const PAGE_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// Facts of one kind, in the order of their keys.
#[derive(Debug)]
pub(crate) struct Source<T> {
    service: &'static str,
    facts: &'static str,
    backend: Backend,
    key: fn(&T) -> String,
    page: VecDeque<(String, T)>,
    /// The last key that was read.
    read_to: String,
    /// The last key that was taken.
    taken_to: String,
    /// Whether the last page was read.
    complete: bool,
    /// Only events above this one count.
    above: Option<Uuid>,
}

impl<T: DeserializeOwned> Source<T> {
    /// Returns the facts of a service; none, if there is no such service.
    pub(crate) fn of(
        services: &Backends,
        service: &'static str,
        facts: &'static str,
        key: fn(&T) -> String,
    ) -> Option<Self> {
        Some(Self {
            service,
            facts,
            backend: services.get(service)?.clone(),
            key,
            page: VecDeque::new(),
            read_to: String::new(),
            taken_to: String::new(),
            complete: false,
            above: None,
        })
    }

    /// Leaves out the events up to the horizon: the keys are their ids.
    pub(crate) fn beyond(mut self, horizon: Horizon) -> Self {
        self.read_to = horizon.id().map_or_else(String::new, |id| id.to_string());
        self.taken_to.clone_from(&self.read_to);
        self
    }

    /// Lets the service count only events above the horizon.
    pub(crate) const fn counting_beyond(mut self, horizon: Horizon) -> Self {
        self.above = horizon.id();
        self
    }

    /// Reads the next page, if none is at hand.
    pub(crate) async fn fill(&mut self) -> Result<(), AuditError> {
        if self.complete || !self.page.is_empty() {
            return Ok(());
        }
        let page = self.ask(&self.read_to, FACTS_PER_PAGE_MAX).await?;
        self.complete = i64::try_from(page.len()).unwrap_or(i64::MAX) < FACTS_PER_PAGE_MAX;
        for fact in page {
            let key = (self.key)(&fact);
            if key <= self.read_to {
                return Err(AuditError::Unsorted { service: self.service, facts: self.facts });
            }
            self.read_to.clone_from(&key);
            self.page.push_back((key, fact));
        }
        Ok(())
    }

    /// Forgets what was read and not taken, to read it anew: it may have changed.
    pub(crate) fn forget(&mut self) {
        self.page.clear();
        self.read_to.clone_from(&self.taken_to);
        self.complete = false;
    }

    /// Returns up to which key all is at hand; `None` if that is everything.
    pub(crate) fn reach(&self) -> Option<&str> {
        (!self.complete).then_some(self.read_to.as_str())
    }

    /// Returns the last key that there was when the last page was read; `None` before that.
    pub(crate) fn end(&self) -> Option<&str> {
        self.complete.then_some(self.read_to.as_str())
    }

    /// Takes what has a key up to `bound`; everything, if there is none.
    pub(crate) fn take_until(&mut self, bound: Option<&str>) -> impl Iterator<Item = (String, T)> {
        let inside = |(key, _): &(String, T)| bound.is_none_or(|bound| key.as_str() <= bound);
        let taken = self.page.iter().position(|entry| !inside(entry)).unwrap_or(self.page.len());
        self.taken_to = bound.unwrap_or(&self.read_to).to_owned();
        self.page.drain(..taken)
    }

    /// Returns whether there is a fact with this key, which is a UUID, now.
    pub(crate) async fn has(&self, key: &str) -> Result<bool, AuditError> {
        let Ok(uuid) = key.parse::<Uuid>() else { return Ok(false) };
        let before = Uuid::from_u128(uuid.as_u128().saturating_sub(1)).to_string();
        let found = self.ask(&before, 1).await?;
        Ok(found.first().is_some_and(|fact| (self.key)(fact) == key))
    }

    async fn ask(&self, after: &str, limit: i64) -> Result<Vec<T>, AuditError> {
        let above = self.above.map_or_else(String::new, |above| format!("&above={above}"));
        let path = format!("/internal/facts/{}?after={after}&limit={limit}{above}", self.facts);
        let answer: Facts<T> = self.backend.get(&path, PAGE_WAIT_MAX).await.map_err(|source| {
            AuditError::Unanswered { service: self.service, facts: self.facts, source }
        })?;
        Ok(answer.facts)
    }
}

/// Returns the least of these; `None` is more than any.
pub(crate) fn least<'a>(reaches: impl IntoIterator<Item = Option<&'a str>>) -> Option<String> {
    reaches.into_iter().flatten().min().map(str::to_owned)
}
