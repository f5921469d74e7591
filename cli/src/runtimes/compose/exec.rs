//! `exec`: a program in a container that runs, with our own stdin, stdout, stderr and terminal.

use std::io::{self, IsTerminal, Write};

use super::observed;
use crate::{
    docker::{
        Engine,
        exec::{Heard, Program},
    },
    error::{CliError, Result},
    output::{Output, closed_or_broken},
    state::Environment,
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
    let tty = io::stdin().is_terminal() && io::stdout().is_terminal();
    let program = Program { command, tty };
    let code = engine
        .run(container.id(), &program, |heard| match heard {
            Heard::Out(bytes) => output.bytes(&bytes).map_err(closed_or_broken),
            // Who closed stderr does not want to hear of it.
            Heard::Err(bytes) => {
                let _unheard = io::stderr().write_all(&bytes);
                Ok(())
            }
        })
        .await?;
    match u8::try_from(code) {
        Ok(0) => Ok(()),
        Ok(code) => Err(CliError::Ended { code }),
        Err(_) => Err(CliError::failed(format!("it ended with exit code {code}"))),
    }
}
