use clap::Args;
use client::STATUS_WAIT_MAX;
use contracts::api::board::Summary;

use super::connect;
use crate::{
    config::Runtime,
    confirmation::Confirmation,
    error::Result,
    output::Output,
    runtimes::{self, compose, embedded, kubernetes},
    signals::Signals,
    state::Environment,
};

/// Take the environment down, and keep its data unless --volumes is given
#[derive(Debug, Args)]
#[command(after_help = "\
Before --volumes removes anything, a user at a terminal is told what, and asked for confirmation.

Examples:
  chefcito down              Stop the environment; `up` finds its data and settings again
  chefcito down --volumes    Also remove its data and settings: orders, stock, keys, logs")]
pub(crate) struct DownArgs {
    /// Remove the data, too
    #[arg(long)]
    volumes: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

pub(crate) async fn run(
    args: DownArgs,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let runtime = signals.or(runtimes::of_former(environment)).await?;
    let has_any = runtime.is_some() || environment.folder().exists();
    if args.volumes && has_any && args.confirmation.is_needed() {
        let loss = signals.or(loss(runtime, environment, output)).await?;
        args.confirmation.ask(loss, output, signals).await?;
    }
    signals.or(take_down(runtime, args.volumes, environment, output)).await
}

async fn take_down(
    runtime: Option<Runtime>,
    volumes: bool,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    match runtime {
        Some(Runtime::Embedded) => embedded::down(volumes, environment, output).await,
        Some(Runtime::Compose) => compose::down(volumes, environment, output).await,
        Some(Runtime::Kubernetes) => kubernetes::down(volumes, environment, output).await,
        // An interrupted `up` may have left something.
        None if environment.folder().exists() => {
            kubernetes::remove_abandoned(environment, output).await?;
            embedded::down(volumes, environment, output).await
        }
        None => {
            output.status(format_args!("Nothing is running as `{}`", environment.name()));
            Ok(())
        }
    }
}

/// Returns what `--volumes` removes: which environment, where its data are, and how many orders, if it runs and answers.
///
/// # Errors
/// [`crate::error::CliError::NoEngine`] if the engine with the data does not answer; an unreadable state folder.
async fn loss(
    runtime: Option<Runtime>,
    environment: &Environment,
    output: &Output,
) -> Result<String> {
    let mut places = match runtime {
        Some(Runtime::Embedded) | None => {
            let url = environment.former_settings()?.and_then(|settings| settings.database_url);
            url.map(|url| format!("its schemas in PostgreSQL at {url}")).into_iter().collect()
        }
        Some(Runtime::Compose) => compose::volumes(environment, output).await?,
        Some(Runtime::Kubernetes) => in_cluster(environment)?,
    };
    if environment.folder().exists() {
        let folder = environment.folder().display();
        places.push(format!("all files in {folder}: data, keys, logs, ledgers"));
    }
    let runtime = runtime.map(|runtime| format!(" ({runtime})")).unwrap_or_default();
    let orders = orders(environment).await;
    let orders = match orders {
        None => String::new(),
        Some(1) => ", with 1 order in it".into(),
        Some(count) => format!(", with {count} orders in it"),
    };
    let places: String = places.iter().map(|place| format!("\n  {place}")).collect();
    Ok(format!("This removes the data of `{}`{runtime}{orders}:{places}", environment.name()))
}

/// Returns where the data of an environment on a cluster are, as its record says.
fn in_cluster(environment: &Environment) -> Result<Vec<String>> {
    let Some(record) = environment.cluster()? else { return Ok(Vec::new()) };
    let context = record.target.context.as_deref().unwrap_or("the current context");
    Ok(vec![format!(
        "everything in the namespace {} of the cluster {context} at {}",
        record.namespace, record.server
    )])
}

/// Returns how many orders there are; `None` if the environment does not run on this machine, or does not answer.
async fn orders(environment: &Environment) -> Option<i64> {
    // The way to a cluster might have to be opened first.
    if environment.cluster().ok()?.is_some() {
        return None;
    }
    let client = connect(environment).await.ok()?.waiting(STATUS_WAIT_MAX);
    Some(client.get::<Summary>("/v1/summary").await.ok()?.placed)
}
