//! `up`, `up --dry-run`.

use std::time::{Duration, Instant};

use super::{
    ChangeLock, UndoLog,
    plan::{Observed, Step, describe, plan},
};
use crate::{
    commands::{self, order, seed},
    config::PORT_DEFAULT,
    error::Result,
    output::Output,
    process,
    progress::Waiting,
    runtimes::{self, Wanted, embedded},
    signals::Signals,
    state::{Environment, EnvironmentRecord},
};

/// Brings the environment up. A signal undoes it.
///
/// # Errors
/// The reason why it is not up.
pub(crate) async fn up(
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let undo_log = UndoLog::new(!environment.folder().exists());
    let work = async |undo_log: &mut UndoLog| bring_up(wanted, environment, output, undo_log).await;
    signals.or_undo(undo_log, work, async |undo_log| undo_log.undo(environment, output).await).await
}

/// Prints the steps of [`up`].
///
/// # Errors
/// [`crate::error::CliError::Failed`] if it would refuse.
pub(crate) async fn dry_run(
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    runtimes::refuse_another(wanted.settings.runtime, environment)?;
    let observed = embedded::observe(environment).await?;
    let steps =
        plan(wanted, &observed).map_err(|refusal| refusal.into_error(environment.name()))?;
    if steps.is_empty() {
        output.status(format_args!("Nothing to do: `{}` is up to date", environment.name()));
    }
    steps.iter().try_for_each(|step| output.data(step))
}

async fn bring_up(
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
    undo_log: &mut UndoLog,
) -> Result<()> {
    let since = Instant::now();
    environment.create()?;
    undo_log.lock = Some(ChangeLock::take(environment, output).await?);
    runtimes::refuse_another(wanted.settings.runtime, environment)?;
    let observed = embedded::observe(environment).await?;
    let steps =
        plan(wanted, &observed).map_err(|refusal| refusal.into_error(environment.name()))?;
    if matches!(observed, Observed::Nothing { crashed: true, .. }) {
        output.warn(format_args!("{}", environment.crashed()));
    }
    embedded::create_state(environment)?;
    let (orders, changes): (Vec<&Step>, Vec<&Step>) =
        steps.iter().partition(|step| matches!(step, Step::Order { .. }));
    for step in &changes {
        output.detail(format_args!("{step}"));
        apply(step, wanted, environment, output, undo_log).await.inspect_err(|_| {
            if !matches!(observed, Observed::Nothing { .. }) && matches!(step, Step::Start { .. }) {
                let flag = environment.name().flag();
                output.warn(format_args!(
                    "the environment is stopped now; `chefcito start{flag}` starts it with its last settings"
                ));
            }
        })?;
    }
    let record = environment.running()?;
    // The environment is complete: from here on, a signal undoes nothing, and one that ran before goes on running.
    (undo_log.state, undo_log.lock) = (false, None);
    if !matches!(observed, Observed::Nothing { .. }) {
        undo_log.process = None;
    }
    report(wanted, &record, changes.is_empty(), since.elapsed(), output)?;
    for step in orders {
        apply(step, wanted, environment, output, undo_log).await?;
    }
    if wanted.foreground {
        return commands::logs::follow_until_it_ends(environment, output).await;
    }
    Ok(())
}

async fn apply(
    step: &Step,
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
    undo_log: &mut UndoLog,
) -> Result<()> {
    let timeout = wanted.timeout;
    match step {
        // Done: the change lock is in that folder.
        Step::CreateState => Ok(()),
        Step::Stop { why, .. } => {
            output.status(format_args!("Restarting the environment, data kept: {why}"));
            embedded::stop(environment).await.map(drop)
        }
        Step::Start { .. } => {
            let _waiting = Waiting::new(output, "Starting the environment");
            embedded::start(environment, &wanted.settings, wanted.foreground, timeout, undo_log)
                .await
                .map(drop)
        }
        Step::AwaitReady => {
            let _waiting = Waiting::new(output, "Waiting until every service is ready");
            embedded::await_ready(environment, environment.address()?, timeout).await
        }
        Step::SeedIfEmpty if runtimes::is_empty(environment).await? => {
            seed::seed_built_in(environment, output).await
        }
        Step::SeedIfEmpty => Ok(()),
        Step::Order { count } => order::place_and_follow(*count, environment, output).await,
    }
}

fn report(
    wanted: &Wanted,
    record: &EnvironmentRecord,
    unchanged: bool,
    took: Duration,
    output: &Output,
) -> Result<()> {
    let port = record.address.port();
    if !unchanged && wanted.settings.port.is_none() && port != PORT_DEFAULT {
        let holder = process::port_holder(PORT_DEFAULT)
            .map(|holder| format!(" by {holder}"))
            .unwrap_or_default();
        output.status(format_args!(
            "Port {PORT_DEFAULT} was taken{holder}; this environment has port {port}"
        ));
    }
    let runtime = describe(&record.settings);
    match unchanged {
        true => output.status(format_args!("Already up ({runtime}), nothing to change")),
        false => output.status(format_args!("Up in {} ms ({runtime})", took.as_millis())),
    }
    runtimes::print_others(record.settings.runtime, output);
    output.data(format_args!("http://{}", record.address))
}
