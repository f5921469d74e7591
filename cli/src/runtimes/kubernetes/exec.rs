//! `exec`: a program in a running pod, with our stdin, stdout, stderr and terminal.

use engine::terminal::Program;

use super::session::Session;
use crate::{
    error::{CliError, Result},
    output::Output,
    state::Environment,
    terminal::{copy_output, ended},
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
    let session = Session::of_running(environment, output).await?;
    let pods = session.cluster.pods(&session.namespace).await?;
    let mut known: Vec<&str> = pods.iter().map(|pod| pod.service.as_str()).collect();
    known.sort_unstable();
    known.dedup();
    if !known.contains(&service) {
        return Err(CliError::unknown_service(service, known));
    }
    let mut running = pods.iter().filter(|pod| pod.service == service && pod.is_running);
    let nth = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    let Some(pod) = running.nth(nth) else {
        return Err(CliError::ServiceNotRunning {
            name: environment.name().clone(),
            container: format!("pod {number} of {service}"),
        });
    };
    let program = Program::here(command);
    let code = session
        .cluster
        .run(&session.namespace, &pod.name, &pod.container, &program, |piece| {
            copy_output(piece, output)
        })
        .await?;
    ended(code)
}
