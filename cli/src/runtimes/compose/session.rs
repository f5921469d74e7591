//! An environment on its engine, as one command works with it.

use std::collections::HashMap;

use engine::{Engine, networks::Named};

use super::{
    labels,
    observed::{self, ObservedContainer},
};
use crate::{
    error::{CliError, Result},
    output::Output,
    state::{EngineRecord, Environment, Mark},
};

/// An environment, its engine, and the output that reports what happens.
#[derive(Clone, Debug)]
pub(super) struct Session<'a> {
    /// The engine.
    pub(super) engine: Engine,
    /// The environment.
    pub(super) environment: &'a Environment,
    /// The output of the command.
    pub(super) output: &'a Output,
    /// The prefix of the names of its containers, networks and volumes, and their label.
    pub(super) project_name: String,
}

impl<'a> Session<'a> {
    /// Finds the engine.
    ///
    /// # Errors
    /// [`CliError::NoEngine`] as in [`engine_of`].
    pub(super) async fn open(environment: &'a Environment, output: &'a Output) -> Result<Self> {
        let engine = engine_of(environment).await?;
        output.detail(format_args!("Using the engine at {}", engine.host()));
        let project_name = environment.name().to_string();
        Ok(Self { engine, environment, output, project_name })
    }

    /// Returns the mark of the environment that has the objects with these labels.
    ///
    /// # Errors
    /// [`CliError::Failed`] if any of them is of another environment.
    pub(super) fn mark_of<'l>(
        &self,
        labels: impl Iterator<Item = &'l HashMap<String, String>>,
    ) -> Result<Mark> {
        let marks: Vec<Mark> = labels.filter_map(labels::mark_among).collect();
        self.environment.mark(&marks, &format!("the engine at {}", self.engine.host()))
    }

    /// Returns the mark of the environment that has what the engine has under its name.
    ///
    /// # Errors
    /// As [`Session::mark_of`]; the engine's refusal.
    pub(super) async fn mark(&self) -> Result<Mark> {
        let observed = observed::observe(&self.engine, &self.project_name).await?;
        self.mark_of(observed.labels())
    }

    /// Records the mark and the engine, before the first object is created there.
    ///
    /// # Errors
    /// [`CliError::Io`] if they can't be written; the engine's refusal to say which one it is.
    pub(super) async fn remember(&self, mark: &Mark) -> Result<()> {
        let recorded = self.environment.identity()?;
        let is_recorded = recorded
            .and_then(|identity| identity.engine)
            .is_some_and(|engine| engine.host == self.engine.host());
        let engine = match is_recorded {
            true => None,
            false => {
                let (id, host) = (self.engine.id().await?, self.engine.host().to_owned());
                Some(EngineRecord { id, host })
            }
        };
        self.environment.remember_identity(mark, engine)
    }

    /// Returns the containers of the environment with this mark.
    ///
    /// # Errors
    /// The engine's refusal.
    pub(super) async fn containers(&self, mark: &Mark) -> Result<Vec<ObservedContainer>> {
        let mut containers = observed::containers(&self.engine, &self.project_name).await?;
        containers.retain(|seen| !labels::is_of_another(&seen.container.labels, mark));
        Ok(containers)
    }

    /// Returns the networks of the environment with this mark.
    ///
    /// # Errors
    /// The engine's refusal.
    pub(super) async fn networks(&self, mark: &Mark) -> Result<Vec<Named>> {
        let mut networks = self.engine.networks(&labels::of_project(&self.project_name)).await?;
        networks.retain(|network| !labels::is_of_another(&network.labels, mark));
        Ok(networks)
    }

    /// Returns the volumes of the environment with this mark.
    ///
    /// # Errors
    /// The engine's refusal.
    pub(super) async fn volumes(&self, mark: &Mark) -> Result<Vec<Named>> {
        let mut volumes = self.engine.volumes(&labels::of_project(&self.project_name)).await?;
        volumes.retain(|volume| !labels::is_of_another(&volume.labels, mark));
        Ok(volumes)
    }
}

/// Finds the engine of an environment: the one with its containers and volumes, if that is recorded, wherever `docker`
/// points to now; else the one that `docker` uses.
///
/// # Errors
/// [`CliError::NoEngine`] if none answers, or another one where it was.
pub(super) async fn engine_of(environment: &Environment) -> Result<Engine> {
    let recorded = environment.identity()?.and_then(|identity| identity.engine);
    let current = Engine::connect().await;
    let Some(recorded) = recorded else { return Ok(current?) };
    if let Ok(engine) = current
        && (engine.host() == recorded.host || is_recorded(&engine, &recorded).await)
    {
        return Ok(engine);
    }
    let engine = Engine::connect_to(&recorded.host).await?;
    // One that says no id is told by its address alone.
    if recorded.id.is_empty() || is_recorded(&engine, &recorded).await {
        return Ok(engine);
    }
    Err(CliError::NoEngine {
        what: format!(
            "`{}` is on an engine that was at {}, where another one answers now",
            environment.name(),
            recorded.host
        ),
        hint: format!(
            "point to it with DOCKER_HOST or `docker context use`; if it is gone for good, remove {}",
            environment.folder().display()
        ),
        source: None,
    })
}

/// Returns whether an engine says that it has the recorded id. One that says none is not known by it.
async fn is_recorded(engine: &Engine, recorded: &EngineRecord) -> bool {
    !recorded.id.is_empty() && engine.id().await.is_ok_and(|id| id == recorded.id)
}
