//! `exec`: a program in a running container, with our stdin, stdout, stderr and terminal.

use super::observed;
use crate::{
    docker::Engine,
    error::{CliError, Result},
    output::Output,
    state::Environment,
    terminal::{Program, copy_output, ended},
};

/// Runs a program to its end.
///
/// # Errors
/// [`CliError::Ended`] with its exit code if that is not 0; [`CliError::ServiceNotRunning`] if the service does not run.
pub(crate) async fn exec(
    service: &str,
    number: u32,
    command: Vec<String>,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let engine = Engine::connect().await?;
    let containers = observed::containers(&engine, &environment.name().to_string()).await?;
    let mut of_service =
        containers.iter().filter(|seen| seen.service == service && !seen.is_one_off).peekable();
    if of_service.peek().is_none() {
        let mut known: Vec<&str> = containers.iter().map(|seen| seen.service.as_str()).collect();
        known.dedup();
        return Err(CliError::Failed {
            what: format!("`{}` has no service `{service}`", environment.name()),
            hint: format!("there are {}", known.join(", ")),
            source: None,
        });
    }
    let running = of_service.find(|seen| seen.number == number && seen.container.state.is_up());
    let Some(container) = running else {
        return Err(CliError::ServiceNotRunning {
            name: environment.name().clone(),
            container: format!("{}-{service}-{number}", environment.name()),
        });
    };
    let program = Program::here(command);
    let code = engine.run(container.id(), &program, |piece| copy_output(piece, output)).await?;
    ended(code)
}
