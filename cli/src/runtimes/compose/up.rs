//! `up`, `up --dry-run`.

use super::{
    converge::{Converged, Goal, Scope, converge, draft},
    down::undo,
    observed::Observed,
    ports,
    session::Session,
    wanted::Layout,
};
use crate::{
    commands::{self, order, seed},
    config::{PORT_DEFAULT, Settings},
    docker::networks::Named,
    error::{CliError, Result},
    output::Output,
    runtimes::{self, ChangeLock, Wanted, embedded},
    signals::Signals,
    state::Environment,
};

/// What one command has made so far, so that an interrupt can undo it.
#[derive(Debug, Default)]
struct UndoLog {
    /// Whether the command made the state folder.
    state: bool,
    /// The lock on changes, while the command needs it.
    lock: Option<ChangeLock>,
    /// The volumes from before the command; `None` once there is something to keep.
    volumes_before: Option<Vec<Named>>,
    /// The settings that it overwrote.
    written_over: Option<Option<Settings>>,
}

/// Returns the runtime and its parts, for a status line.
pub(super) const fn describe() -> &'static str {
    "compose: one container a service, PostgreSQL, Redis"
}

/// Brings the environment up. A signal undoes the first `up` of an environment; after that of a later one, the next
/// `up` continues.
///
/// # Errors
/// The reason why it is not up.
pub(crate) async fn up(
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let undo_log = UndoLog { state: !environment.folder().exists(), ..UndoLog::default() };
    let work = async |undo_log: &mut UndoLog| bring_up(wanted, environment, output, undo_log).await;
    signals
        .or_undo(undo_log, work, async |undo_log| undo_log.undo(environment, output).await)
        .await?;
    if !wanted.foreground {
        return Ok(());
    }
    let shown = signals.or(commands::logs::follow_containers(environment, output)).await;
    if shown.as_ref().is_err_and(CliError::is_signal) {
        signals.or(super::stop(environment, output)).await?;
    }
    shown
}

impl UndoLog {
    async fn undo(mut self, environment: &Environment, output: &Output) -> Result<()> {
        let Some(lock) = self.lock.take() else { return Ok(()) };
        if let Some(volumes_before) = &self.volumes_before {
            output.status(format_args!("Removing what this command made"));
            undo(&Session::open(environment, output).await?, volumes_before).await?;
            environment.forget_containers()?;
            if let Some(settings) = self.written_over.take() {
                embedded::restore_settings(Some(settings), environment)?;
            }
        }
        if self.state && environment.last_settings()?.is_none() {
            embedded::forget_all(environment)?;
        }
        drop(lock);
        Ok(())
    }
}

/// Returns the wanted settings, with the scaling of before.
fn settings(wanted: &Wanted, environment: &Environment) -> Result<Settings> {
    runtimes::refuse_another(wanted.settings.runtime, environment)?;
    let last = environment.last_settings()?;
    let replicas = last.map(|last| last.replicas).unwrap_or_default();
    Ok(Settings { replicas, ..wanted.settings.clone() })
}

fn goal<'a>(wanted: &Wanted, settings: &'a Settings) -> Goal<'a> {
    let scope = match wanted.services.is_empty() {
        true => Scope::All,
        false => Scope::WithNeeds(wanted.services.clone()),
    };
    Goal { settings, scope, build: wanted.build, restart: false, timeout: wanted.timeout }
}

/// Prints the steps of [`up`].
///
/// # Errors
/// As [`up`], as far as they are known before.
pub(crate) async fn dry_run(
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let session = Session::open(environment, output).await?;
    let settings = settings(wanted, environment)?;
    let draft = draft(&goal(wanted, &settings), &session).await?;
    draft.project.warn_of_unset(output);
    draft.plan.warnings.iter().for_each(|warning| output.warn(format_args!("{warning}")));
    ports::check(&draft.plan, &draft.layout, &draft.observed, &session).await?;
    let steps = &draft.plan.steps;
    if steps.is_empty() {
        output.status(format_args!("Nothing to do: `{}` is up to date", environment.name()));
    }
    steps.iter().try_for_each(|step| output.data(step))?;
    if wanted.seed && !steps.is_empty() && has_gateway(&draft.layout) {
        output.data("send recipes and stock, if there never was a menu")?;
    }
    runtimes::print_orders_step(wanted.orders, output)
}

fn has_gateway(layout: &Layout) -> bool {
    layout.containers.iter().any(|container| container.service == super::GATEWAY)
}

async fn bring_up(
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
    undo_log: &mut UndoLog,
) -> Result<()> {
    let session = Session::open(environment, output).await?;
    environment.create()?;
    undo_log.lock = Some(ChangeLock::take(environment, output).await?);
    let settings = settings(wanted, environment)?;
    let last = environment.last_settings()?;
    let before = |observed: &Observed| {
        let is_new = observed.containers.is_empty() && observed.networks.is_empty();
        undo_log.volumes_before = is_new.then(|| observed.volumes.clone());
        undo_log.written_over = Some(last);
        Ok(())
    };
    let converged = converge(&goal(wanted, &settings), &session, before).await?;
    if wanted.seed
        && has_gateway(&converged.layout)
        && session.engine.is_local()
        && runtimes::is_empty(environment).await?
    {
        seed::seed_built_in(environment, output).await?;
    }
    // The environment is complete: from here on, a signal undoes nothing.
    *undo_log = UndoLog::default();
    report(wanted, &converged, &session).await?;
    if wanted.orders > 0 {
        order::place_and_follow(wanted.orders, environment, output).await?;
    }
    Ok(())
}

async fn report(wanted: &Wanted, converged: &Converged, session: &Session<'_>) -> Result<()> {
    let output = session.output;
    let unchanged = converged.plan.steps.is_empty();
    let address = converged.record.address;
    let is_another = |port: &u16| wanted.settings.port.is_none() && *port != PORT_DEFAULT;
    if let Some(port) = address.map(|address| address.port()).filter(is_another)
        && !unchanged
    {
        let holder = ports::holder(PORT_DEFAULT, session).await;
        let holder = holder.map(|holder| format!(" by {holder}")).unwrap_or_default();
        output.status(format_args!(
            "Port {PORT_DEFAULT} was taken{holder}; this environment has port {port}"
        ));
    }
    match unchanged {
        true => output.status(format_args!("Already up ({}), nothing to change", describe())),
        false => {
            output.status(format_args!("Up in {} ms ({})", converged.took.as_millis(), describe()))
        }
    }
    runtimes::print_others(wanted.settings.runtime, output);
    let Some(address) = address else {
        output.status(format_args!("Gateway not started: no URL"));
        return Ok(());
    };
    if !session.engine.is_local() {
        let port = address.port();
        output.status(format_args!(
            "The engine is on another machine: reach the environment through a tunnel, such as `ssh -N -L {port}:127.0.0.1:{port} HOST`"
        ));
    }
    output.data(format_args!("http://{address}"))
}
