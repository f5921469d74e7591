use std::time::{Duration, Instant};

use clap::Args;

use crate::{
    config::Settings,
    embedded::{self, ChangeLock},
    error::{CliError, Result},
    output::Output,
    plan::{Observed, describe},
    progress::Waiting,
    signals::Signals,
    state::Environment,
};

/// Start a stopped house again, with its last settings and its data
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// How long the house may take to be ready
    #[arg(long, value_name = "DURATION", env = "CHEFCITO_TIMEOUT", default_value = "60s")]
    timeout: humantime::Duration,
}

pub(crate) async fn run(
    args: StartArgs,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let Some(settings) = environment.last_settings()? else {
        return Err(CliError::NotRunning { name: environment.name().clone() });
    };
    let mut started = None;
    let result = signals.or(start(&args, &settings, environment, output, &mut started)).await;
    if let Err(signal @ (CliError::Interrupted | CliError::Terminated)) = result {
        if started.is_some() {
            output.status(format_args!("Stopping the house that was started"));
            signals.or(embedded::stop(environment)).await?;
        }
        return Err(signal);
    }
    result
}

async fn start(
    args: &StartArgs,
    settings: &Settings,
    environment: &Environment,
    output: &Output,
    started: &mut Option<u32>,
) -> Result<()> {
    let since = Instant::now();
    let _lock = ChangeLock::take(environment, output).await?;
    let timeout = Duration::from(args.timeout);
    let record = match embedded::observe(environment).await? {
        Observed::Running { record, .. } => {
            output.status(format_args!("Already up ({})", describe(&record.settings)));
            *record
        }
        Observed::Mute { .. } => {
            return Err(CliError::Failed {
                what: "a house runs that does not say where it listens".into(),
                hint: format!("`chefcito up{}` replaces it", environment.name().flag()),
                source: None,
            });
        }
        Observed::Nothing { crashed, .. } => {
            if crashed {
                output.warn(format_args!("{}", environment.crashed()));
            }
            let _waiting = Waiting::new(output, "Starting the house");
            let record = embedded::start(environment, settings, false, timeout, started).await?;
            embedded::await_ready(environment, record.address, timeout).await?;
            output.status(format_args!(
                "Up in {} ms ({})",
                since.elapsed().as_millis(),
                describe(settings)
            ));
            record
        }
    };
    output.data(format_args!("http://{}", record.address))
}
