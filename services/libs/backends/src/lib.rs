//! Calls to the services of the environment, for whoever stands before them: the gateway and the audit.
//!
//! Guarantees: a service in this process and one at an address are called alike; every call ends within its deadline, with
//! an answer or the reason why there is none; each call goes to a replica that has the fewest under way; a request is sent
//! again only if it was not done, or may be done twice. [`Backends`] has exactly the services of the table that it was given.
//!
//! Does not know: guests, keys and routes; what is asked; what an answer means.

mod backend;

use std::{future::Future, time::Duration};

use contracts::services::{ALL, Call, HTTP_PORT, Program};
use futures_util::future::join_all;
use service::{
    config::{self, ConfigError},
    token::ServiceToken,
};

pub use backend::{
    Backend, BackendError, DEADLINE, Repeatable, Unanswered, whole_body::with_whole_body,
};

/// How long a service may take to say how it is.
pub const STATUS_WAIT_MAX: Duration = Duration::from_secs(1);
/// How long a service may take for a story or a list.
pub const LIST_WAIT_MAX: Duration = Duration::from_secs(5);

/// What a URL should be, for who reads that it is not.
const URL_LIKE: &str = "like http://orders:8080";

/// Services that can be called, each under its name, in the order of [`ALL`].
#[derive(Clone, Debug, Default)]
pub struct Backends(Vec<(&'static str, Backend)>);

/// Services that can't be found by the environment.
#[derive(Debug, thiserror::Error)]
pub enum BackendsError {
    /// A setting is missing or not what it should be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A setting names no service.
    #[error("{variable} names no service")]
    Backend {
        /// The variable.
        variable: &'static str,
        /// Why not.
        source: BackendError,
    },
}

/// Returns the services that a program calls by HTTP, as the table says.
fn called_by(caller: &str) -> impl Iterator<Item = &'static Call> {
    let calls = Program::named(caller).map_or(&[][..], |program| program.calls);
    calls.iter().filter(|call| call.port == HTTP_PORT)
}

/// Returns whether there is this service in every environment.
fn is_needed(name: &str) -> bool {
    Program::named(name).is_some_and(|program| !program.development_only)
}

impl Backends {
    /// Reads where the services listen that `caller` calls by HTTP, each from the variable that the table names; and
    /// `CHEFCITO_SERVICE_TOKEN`. A service for development may be missing.
    ///
    /// # Errors
    /// [`BackendsError`] if a variable is missing or can't be used.
    pub fn from_environment(caller: &str) -> Result<Self, BackendsError> {
        let token = ServiceToken::from_environment()?;
        let mut backends = Self::default();
        for Call { to, variable, .. } in called_by(caller) {
            match config::read::<String>(variable, URL_LIKE)? {
                Some(urls) => {
                    let backend = Backend::remote(to, &urls, Some(token.clone()))
                        .map_err(|source| BackendsError::Backend { variable, source })?;
                    backends = backends.with(to, backend);
                }
                None if is_needed(to) => return Err(config::missing(variable, URL_LIKE).into()),
                None => {}
            }
        }
        Ok(backends)
    }

    /// Returns the first service that `caller` calls by HTTP in every environment, and that is not among these.
    #[must_use]
    pub fn missing(&self, caller: &str) -> Option<&'static str> {
        let mut called = called_by(caller).map(|call| call.to);
        called.find(|name| is_needed(name) && self.get(name).is_none())
    }

    /// Returns these services with one more, or with another one of this name.
    #[must_use]
    pub fn with(self, name: &'static str, backend: Backend) -> Self {
        let mut backends = self.without(name);
        backends.0.push((name, backend));
        backends.0.sort_by_key(|(name, _)| ALL.iter().position(|other| other == name));
        backends
    }

    /// Returns these services but for the one of this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(other, _)| *other != name);
        self
    }

    /// Returns each service with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Backend)> {
        self.0.iter().map(|(name, backend)| (*name, backend))
    }

    /// Returns the service of this name, if it is there.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Backend> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, backend)| backend)
    }

    /// Asks every service at once; returns what each answered, in their order.
    pub async fn ask_all<'a, F, T>(
        &'a self,
        ask: impl Fn(&'static str, &'a Backend) -> F,
    ) -> Vec<(&'static str, T)>
    where
        F: Future<Output = T>,
    {
        join_all(self.iter().map(|(name, backend)| {
            let answer = ask(name, backend);
            async move { (name, answer.await) }
        }))
        .await
    }
}

impl FromIterator<(&'static str, Backend)> for Backends {
    fn from_iter<I: IntoIterator<Item = (&'static str, Backend)>>(services: I) -> Self {
        services
            .into_iter()
            .fold(Self::default(), |backends, (name, backend)| backends.with(name, backend))
    }
}
