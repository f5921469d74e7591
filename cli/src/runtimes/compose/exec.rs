//! `exec`: a program in a running container, with our stdin, stdout, stderr and terminal.

use engine::terminal::Program;

use super::{observed, session::Session};
use crate::{
    error::{CliError, Result},
    output::Output,
    state::Environment,
    terminal::{copy_output, ended},
};

/// Runs a program to its end.
///
/// # Errors
/// [`CliError::Ended`] with its exit code if that is not 0; [`CliError::ServiceNotRunning`] if the service does not run;
/// [`CliError::Failed`] if the container is of another environment.
pub(crate) async fn exec(
    service: &str,
    number: u32,
    command: Vec<String>,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let session = Session::open(environment, output).await?;
    let containers = observed::containers(&session.engine, &session.project_name).await?;
    session.mark_of(containers.iter().map(|seen| &seen.container.labels))?;
    let mut of_service =
        containers.iter().filter(|seen| seen.service == service && !seen.is_one_off).peekable();
    if of_service.peek().is_none() {
        let mut known: Vec<&str> = containers.iter().map(|seen| seen.service.as_str()).collect();
        known.dedup();
        return Err(CliError::unknown_service(service, known));
    }
    let found = of_service.find(|seen| seen.number == number);
    let Some(container) = found.filter(|seen| seen.container.state.is_up()) else {
        return Err(CliError::ServiceNotRunning {
            name: environment.name().clone(),
            container: found.map_or_else(
                || format!("{}-{service}-{number}", environment.name()),
                |seen| seen.name().to_owned(),
            ),
        });
    };
    let program = Program::here(command);
    let copy = |piece| copy_output(piece, output);
    let code = session.engine.run(container.id(), &program, copy).await?;
    ended(code)
}
