use std::time::{Duration, Instant};

use clap::Args;

use crate::{
    config::Settings,
    embedded::{self, ChangeLock, Made},
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
    let mut made = Made::default();
    let result = signals.or(start(&args, &settings, environment, output, &mut made)).await;
    match result {
        Err(signal @ (CliError::Interrupted | CliError::Terminated)) => {
            signals.or(made.undo(environment, output)).await.and(Err(signal))
        }
        result => result,
    }
}

async fn start(
    args: &StartArgs,
    settings: &Settings,
    environment: &Environment,
    output: &Output,
    made: &mut Made,
) -> Result<()> {
    let since = Instant::now();
    made.lock = Some(ChangeLock::take(environment, output).await?);
    let timeout = Duration::from(args.timeout);
    let record = match embedded::observe(environment).await? {
        Observed::Running { locked: true, .. } => {
            return Err(CliError::Failed {
                what: "a house runs that does not know the key in admin.key".into(),
                hint: format!("`chefcito up{}` replaces it", environment.name().flag()),
                source: None,
            });
        }
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
            let record = embedded::start(environment, settings, false, timeout, made).await?;
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
