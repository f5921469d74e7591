//! An environment on its engine, as one command works with it.

use crate::{docker::Engine, error::Result, output::Output, state::Environment};

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
    /// [`crate::error::CliError::NoEngine`] if none answers.
    pub(super) async fn open(environment: &'a Environment, output: &'a Output) -> Result<Self> {
        let engine = Engine::connect().await?;
        let project_name = environment.name().to_string();
        Ok(Self { engine, environment, output, project_name })
    }
}
