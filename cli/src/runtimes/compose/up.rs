//! `up`, `up --dry-run`.

use std::{net::SocketAddr, time::Instant};

use super::{
    apply::Before,
    converge::{Goal, Scope, draft},
    plan::Step,
    ports,
    session::Session,
};
use crate::{
    commands::{self, board::link},
    config::{PORT_DEFAULT, Settings},
    error::{CliError, Result},
    output::Output,
    plan::{Deadline, Execution},
    runtimes::{self, Held, Wanted},
    signals::Signals,
    state::{Environment, write_record},
};

/// Returns the runtime and its parts, for a status line.
pub(super) const fn describe() -> &'static str {
    "compose: one container a service, PostgreSQL, Redis"
}

fn goal<'a>(wanted: &Wanted, settings: &'a Settings, session: &Session<'_>) -> Goal<'a> {
    let scope = match wanted.services.is_empty() {
        true => Scope::All,
        false => Scope::WithNeeds(wanted.services.clone()),
    };
    Goal {
        settings,
        scope,
        build: wanted.build,
        restart: false,
        seed: wanted.seed && session.engine.is_local(),
        orders: wanted.orders,
    }
}

/// Prints the operations of [`up`].
///
/// # Errors
/// As [`up`], as far as they are known before.
pub(crate) async fn dry_run(
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let session = Session::open(environment, output).await?;
    let settings = wanted.as_of_now(environment)?.settings;
    let draft = draft(&goal(wanted, &settings, &session), &session).await?;
    runtimes::print(&draft.plan, wanted, environment, output)
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
    let since = Instant::now();
    let mut held = Held::new(environment);
    let begun = async {
        let session = Session::open(environment, output).await?;
        held.take(output).await?;
        Ok((session, wanted.as_of_now(environment)?.settings))
    };
    let begun = signals.or(begun).await;
    let (session, settings) = held.or_forget(begun)?;
    let goal = goal(wanted, &settings, &session);
    let drafted = signals.or(draft(&goal, &session)).await;
    let draft = held.or_forget(drafted)?;
    let last = environment.last_settings()?;
    let is_first = draft.observed.containers.is_empty() && draft.observed.networks.is_empty();
    let before =
        is_first.then(|| Before { volumes: draft.observed.volumes.clone(), settings: last });
    let deadline = wanted.deadline();
    let carrier = draft.carrier(&goal, &session, &deadline, before);
    carrier.say(&draft.plan);
    let remembered = signals.or(session.remember(&draft.mark)).await;
    held.or_forget(remembered)?;
    write_record(&environment.settings_file(), &draft.project.saved(&settings))?;
    let execution = Execution::of(&draft.plan);
    let brought_up =
        execution.run_or_undo(&carrier, Step::is_change, &deadline, signals, output).await;
    held.or_forget_undone(brought_up, is_first)?;
    let unchanged = !draft.plan.operations().any(Step::is_change);
    let record = carrier.remember(!unchanged)?;
    if unchanged {
        // It was as it should be a while ago.
        signals
            .or(deadline.spend(carrier.await_ready(), false, || "it is not ready".into()))
            .await??;
    }
    held.release();
    signals.or(report(wanted, record.address, unchanged, since, &session)).await?;
    link::print_after_up(environment, output, signals).await?;
    signals.or(execution.run(&carrier, |_| true, &Deadline::none(), output)).await?;
    if !wanted.foreground {
        return Ok(());
    }
    let shown = signals.or(commands::logs::follow_containers(environment, output)).await;
    if shown.as_ref().is_err_and(CliError::is_signal) {
        signals.or(super::stop(environment, output)).await?;
    }
    shown
}

async fn report(
    wanted: &Wanted,
    address: Option<SocketAddr>,
    unchanged: bool,
    since: Instant,
    session: &Session<'_>,
) -> Result<()> {
    let output = session.output;
    let is_another = |port: &u16| wanted.settings.port.is_none() && *port != PORT_DEFAULT;
    if let Some(port) = address.map(|address| address.port()).filter(is_another)
        && !unchanged
        && !ports::is_free(PORT_DEFAULT)
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
            output.status(format_args!(
                "Up in {} ms ({})",
                since.elapsed().as_millis(),
                describe()
            ));
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
        if wanted.seed {
            output.status(format_args!(
                "Sent no recipes and no stock: `chefcito seed` sends them through the tunnel"
            ));
        }
    }
    output.data(format_args!("http://{address}"))
}
