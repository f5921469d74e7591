//! Which environment one is, and to whom it belongs: names are chosen by people, and two of them choose the same.

use std::{env, path::Path};

use printable::shell_word;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Environment, files::read_record, write_record};
use crate::error::{CliError, Result};

/// States the owner in place of the user and the machine: jobs on changing machines may share an environment.
const OWNER_VARIABLE: &str = "CHEFCITO_OWNER";
/// The longest owner, in characters.
const OWNER_MAX: usize = 100;

/// What every object outside of the state folder bears: container, network, volume, object on a cluster, schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// The id of the environment: 32 hexadecimal digits, drawn at random.
    pub(crate) id: String,
    /// Its owner, `user@machine`.
    pub(crate) owner: String,
}

impl Mark {
    fn new(owner: String) -> Self {
        Self { id: Uuid::new_v4().simple().to_string(), owner }
    }
}

/// An engine, as it is found again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EngineRecord {
    /// Its own id.
    pub(crate) id: String,
    /// Its address, as `DOCKER_HOST` says it.
    pub(crate) host: String,
}

/// The record `identity.json`, from the first `up` until the data are removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// What the environment's objects bear.
    #[serde(flatten)]
    pub(crate) mark: Mark,
    /// The engine that has its containers and volumes, if one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) engine: Option<EngineRecord>,
}

impl Environment {
    /// Returns the record of the identity; `None` before the first `up`.
    ///
    /// # Errors
    /// [`CliError::BadRecord`] or [`CliError::Io`] if it can't be read.
    pub(crate) fn identity(&self) -> Result<Option<Identity>> {
        read_record(&self.identity_file())
    }

    /// Writes the record of the identity, if it is another one. Without an engine, it keeps the one that is recorded.
    ///
    /// # Errors
    /// [`CliError::Io`] if it can't be written.
    pub(crate) fn remember_identity(
        &self,
        mark: &Mark,
        engine: Option<EngineRecord>,
    ) -> Result<()> {
        let before = self.identity()?;
        let engine = engine.or_else(|| before.as_ref()?.engine.clone());
        let identity = Identity { mark: mark.clone(), engine };
        if before.as_ref() == Some(&identity) {
            return Ok(());
        }
        write_record(&self.identity_file(), &identity)
    }

    /// Returns the mark of this environment: the recorded one; without a record, that of the objects which `place` has under
    /// its name, if they belong to the same owner: the state folder was lost; else a new one. Changes nothing.
    ///
    /// # Errors
    /// [`CliError::Failed`] if any of the objects is of another environment.
    pub(crate) fn mark(&self, found: &[Mark], place: &str) -> Result<Mark> {
        let recorded = self.identity()?.map(|identity| identity.mark);
        let is_recorded = recorded.is_some();
        let owner = owner();
        let mark = recorded
            .or_else(|| found.iter().find(|mark| mark.owner == owner).cloned())
            .unwrap_or_else(|| Mark::new(owner));
        match found.iter().find(|other| other.id != mark.id) {
            None => Ok(mark),
            Some(other) => Err(self.of_another(other, place, is_recorded)),
        }
    }

    fn of_another(&self, other: &Mark, place: &str, is_recorded: bool) -> CliError {
        let (name, owner) = (&self.name, &other.owner);
        let mut hint = "choose another `--name`, or have its owner take it down".to_owned();
        if !is_recorded {
            let owner = shell_word(Path::new(owner));
            hint += &format!("; if it is yours, say so with {OWNER_VARIABLE}={owner}");
        }
        CliError::Failed {
            what: format!(
                "{place} has an environment `{name}` of {owner}, and not this one; nothing of it was changed"
            ),
            hint,
            source: None,
        }
    }
}

/// Returns the owner of what this command makes.
fn owner() -> String {
    let set = |name| env::var(name).ok().filter(|value| !value.trim().is_empty());
    let owner = set(OWNER_VARIABLE).unwrap_or_else(|| {
        let user = set("USER").or_else(|| set("LOGNAME"));
        let user = user.unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()));
        format!("{user}@{}", rustix::system::uname().nodename().to_string_lossy())
    });
    owner.trim().chars().take(OWNER_MAX).collect()
}
