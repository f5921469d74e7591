use clap::Args;

use crate::{
    background::{self, StartMessage},
    error::Result,
    runtimes::kubernetes,
    signals::Signals,
    state::Environment,
};

/// Forward a local port to the gateway of an environment on a cluster, in the background
#[derive(Debug, Args)]
pub(crate) struct ForwardArgs {}

pub(crate) async fn run(
    _args: &ForwardArgs,
    environment: &Environment,
    signals: &mut Signals,
) -> Result<()> {
    background::leave_the_terminal();
    match signals.or(kubernetes::forward(environment)).await {
        // A signal is the normal end.
        Err(error) if error.is_signal() => Ok(()),
        Err(error) => {
            // The starting command may be gone; then the log has the error.
            let _unheard = background::send(&StartMessage::of_error(&error));
            Err(error)
        }
        Ok(()) => Ok(()),
    }
}
