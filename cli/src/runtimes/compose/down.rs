//! `down` and `stop`. They find everything by label, need neither the file nor the state folder, and can be repeated
//! after an interrupt. What plain compose started under the same name belongs to the environment, too.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use engine::{
    errors::EngineError,
    events::{Action, Event},
    networks::Named,
};
use futures_util::future::{try_join, try_join_all};
use tokio::{sync::mpsc, time::sleep};

use super::{observed::ObservedContainer, ready::Watch, session::Session};
use crate::{
    error::{CliError, Result},
    output::Output,
    progress::Waiting,
    runtimes::{ChangeLock, embedded},
    state::{Environment, Mark},
};

/// The time after which slow containers are named.
const SLOW: Duration = Duration::from_secs(3);
/// How long a network may still have containers that are being removed.
const NETWORK_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long the engine may count a container of a network that it no longer lists there. It never stops counting some,
/// after a crash or a killed process of its own.
const UNCOUNT_WAIT_MAX: Duration = Duration::from_millis(500);
/// How often the removal of such a network is tried.
const TRY_EVERY: Duration = Duration::from_millis(50);
/// How many observations in a row must find nothing: half a second, in which a busy engine completes its last requests.
const QUIET_LOOKS: u32 = 5;
/// How long the engine may take to complete requests of an interrupted command.
const LATE_WAIT_MAX: Duration = Duration::from_secs(10);

/// Takes the environment down. Keeps its volumes unless `volumes` is set.
///
/// # Errors
/// [`CliError::NoEngine`] if none answers, or the engine's refusal.
pub(crate) async fn down(volumes: bool, environment: &Environment, output: &Output) -> Result<()> {
    let had_state = environment.folder().exists();
    let session = Session::open(environment, output).await?;
    let mark = session.mark().await?;
    environment.create()?;
    let lock = ChangeLock::take(environment, output).await?;
    let took_down = {
        let _waiting = Waiting::new(output, "Stopping the environment");
        take_down(&session, &mark, volumes).await?
    };
    let name = environment.name();
    match took_down {
        true => output.status(format_args!("`{name}` is down")),
        false => output.status(format_args!("Nothing is running as `{name}`")),
    }
    environment.forget_containers()?;
    if volumes || !had_state {
        embedded::forget_all(environment)?;
    } else {
        embedded::forget_settings(environment)?;
    }
    if volumes {
        output.status(format_args!("Removed its data"));
    }
    drop(lock);
    Ok(())
}

/// Returns the volumes of the environment, and on which engine they are.
///
/// # Errors
/// As [`down`].
pub(crate) async fn volumes(environment: &Environment, output: &Output) -> Result<Vec<String>> {
    let session = Session::open(environment, output).await?;
    let mark = session.mark().await?;
    let volumes = session.volumes(&mark).await?;
    let place = |volume: &Named| {
        format!("the volume {} of the engine at {}", volume.name, session.engine.host())
    };
    Ok(volumes.iter().map(place).collect())
}

/// Stops the containers and keeps them.
///
/// # Errors
/// As [`down`].
pub(crate) async fn stop(environment: &Environment, output: &Output) -> Result<()> {
    let session = Session::open(environment, output).await?;
    let mark = session.mark().await?;
    environment.create()?;
    let _lock = ChangeLock::take(environment, output).await?;
    let containers = session.containers(&mark).await?;
    if !containers.iter().any(|seen| seen.container.state.is_up()) {
        output.status(format_args!("Nothing is running as `{}`", environment.name()));
        return Ok(());
    }
    {
        let _waiting = Waiting::new(output, "Stopping the environment");
        for wave in waves(&containers) {
            try_join_all(wave.into_iter().map(|seen| end(&session, seen))).await?;
        }
    }
    environment.forget_containers()?;
    output.status(format_args!("`{}` is stopped", environment.name()));
    Ok(())
}

/// Removes all containers and networks with this mark, and the volumes if `volumes` is set. Returns whether there were any.
///
/// # Errors
/// The engine's refusal.
pub(super) async fn take_down(session: &Session<'_>, mark: &Mark, volumes: bool) -> Result<bool> {
    let mut watch = Watch::begin(&session.engine, &session.project_name);
    let containers = session.containers(mark).await?;
    let mut had_any = !containers.is_empty();
    let [first, last] = waves(&containers);
    // Closed when the last container of the first wave has ended, even if it is not removed yet.
    let (ending, mut off) = mpsc::channel::<()>(1);
    let closing: Vec<_> =
        first.iter().map(|seen| close(session, seen, Some(ending.clone()))).collect();
    drop(ending);
    let first_closed = async {
        try_join_all(closing).await?;
        remove_empty_networks(session, mark).await
    };
    let last_closed = async {
        tokio::select! {
            _none = off.recv() => {}
            () = deaths(&mut watch, &first) => {}
        }
        try_join_all(last.into_iter().map(|seen| close(session, seen, None))).await
    };
    let (had_empty, _) = try_join(first_closed, last_closed).await?;
    let networks = session.networks(mark).await?;
    let removals = networks.iter().map(async |network| {
        let is_removed = removes(session, network).await?;
        // If the network is all that there is, an earlier command has warned of it.
        match (is_removed, had_any) {
            (true, _) => {}
            (false, true) => session.output.warn(format_args!("{}", stuck(network))),
            (false, false) => session.output.detail(format_args!("{}", stuck(network))),
        }
        Ok::<_, CliError>(is_removed)
    });
    let removed = try_join_all(removals).await?;
    had_any |= had_empty || removed.contains(&true);
    if volumes {
        let volumes = session.volumes(mark).await?;
        had_any |= !volumes.is_empty();
        let removals = volumes.iter().map(|volume| session.engine.remove_volume(&volume.name));
        try_join_all(removals).await?;
    }
    Ok(had_any)
}

/// Removes what an interrupted command made, except volumes from before it. Observes repeatedly, since the engine may
/// still be working on the last requests.
///
/// # Errors
/// The engine's refusal.
pub(super) async fn undo(
    session: &Session<'_>,
    mark: &Mark,
    volumes_before: &[Named],
) -> Result<()> {
    let since = Instant::now();
    let mut quiet_looks = 0;
    while quiet_looks < QUIET_LOOKS {
        let mut had_any = take_down(session, mark, false).await?;
        for volume in session.volumes(mark).await? {
            if volumes_before.iter().any(|before| before.name == volume.name) {
                continue;
            }
            had_any = true;
            match session.engine.remove_volume(&volume.name).await {
                // A container of a late request appeared; the next pass removes it.
                Err(error) if is_in_use(&error) && since.elapsed() < LATE_WAIT_MAX => {}
                removed => removed?,
            }
        }
        quiet_looks = if had_any { 0 } else { quiet_looks + 1 };
        if since.elapsed() > LATE_WAIT_MAX {
            break;
        }
        sleep(TRY_EVERY * 2).await;
    }
    Ok(())
}

/// Returns the containers in two waves: first those with a published port and those that only need others, then the rest.
/// A service has committed what it has accepted, so the order within a wave does not matter.
fn waves(containers: &[ObservedContainer]) -> [Vec<&ObservedContainer>; 2] {
    let needed = needed(containers);
    let is_first = |seen: &&ObservedContainer| {
        let has_needs = seen.needs().next().is_some();
        !seen.container.ports.is_empty() || has_needs && !needed.contains(&seen.service.as_str())
    };
    let (first, last) = containers.iter().partition(is_first);
    [first, last]
}

fn needed(containers: &[ObservedContainer]) -> Vec<&str> {
    containers.iter().flat_map(ObservedContainer::needs).map(|(name, _)| name).collect()
}

/// Waits until the engine has reported the end of each of these that runs. It reports the end before it disconnects the
/// networks, and before it answers the stop request. Never returns if the events end.
async fn deaths(watch: &mut Watch, containers: &[&ObservedContainer]) {
    let up = containers.iter().filter(|seen| seen.container.state.is_up());
    let mut up: BTreeSet<&str> = up.map(|seen| seen.id()).collect();
    while !up.is_empty() {
        match watch.next().await {
            Some(Event { action: Action::Die { .. }, id, .. }) => {
                up.remove(id.as_str());
            }
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}

/// Removes the networks without containers, and returns whether there were any.
async fn remove_empty_networks(session: &Session<'_>, mark: &Mark) -> Result<bool> {
    let networks = session.networks(mark).await?;
    let removals = networks.iter().map(|network| async move {
        if !session.engine.members(network).await?.is_empty() {
            return Ok(false);
        }
        match session.engine.remove_network(network).await {
            // A new container joined it; the last pass names it.
            Err(error) if is_in_use(&error) => Ok(false),
            removed => removed.map(|()| true),
        }
    });
    let removed = try_join_all(removals).await?;
    Ok(removed.contains(&true))
}

/// Stops a container and removes it. Drops `ending` in between.
async fn close(
    session: &Session<'_>,
    seen: &ObservedContainer,
    ending: Option<mpsc::Sender<()>>,
) -> Result<()> {
    end(session, seen).await?;
    drop(ending);
    Ok(session.engine.remove_container(seen.id()).await?)
}

/// Stops a container, and says so if that is slow.
async fn end(session: &Session<'_>, seen: &ObservedContainer) -> Result<()> {
    let since = Instant::now();
    let mut stop = Box::pin(session.engine.stop_container(seen.id(), seen.name()));
    let stopped = tokio::select! {
        stopped = &mut stop => stopped,
        () = sleep(SLOW) => {
            session.output.progress(format_args!("Waiting for {} to end", seen.name()));
            let stopped = stop.await;
            session.output.detail(format_args!("{} took {:.1} s", seen.name(), since.elapsed().as_secs_f64()));
            stopped
        }
    };
    Ok(stopped?)
}

/// Removes a network, or warns that the engine keeps it.
///
/// # Errors
/// [`CliError::Failed`] that names its users.
pub(super) async fn remove_network(session: &Session<'_>, network: &Named) -> Result<()> {
    if !removes(session, network).await? {
        session.output.warn(format_args!("{}", stuck(network)));
    }
    Ok(())
}

/// Removes a network. Containers that are being removed may hold it for a moment; those that are gone but still listed
/// after a crash of the engine are disconnected. Returns false if the engine keeps it though nothing is on it.
///
/// # Errors
/// [`CliError::Failed`] that names its users.
async fn removes(session: &Session<'_>, network: &Named) -> Result<bool> {
    let since = Instant::now();
    let mut empty_since = None;
    loop {
        let error = match session.engine.remove_network(network).await {
            Ok(()) => return Ok(true),
            Err(error) if is_in_use(&error) => error,
            Err(error) => return Err(error.into()),
        };
        let members = session.engine.members(network).await?;
        if members.is_empty() {
            let empty_since = *empty_since.get_or_insert_with(Instant::now);
            if empty_since.elapsed() >= UNCOUNT_WAIT_MAX {
                return Ok(false);
            }
        } else if since.elapsed() >= NETWORK_WAIT_MAX {
            return Err(in_use(network, &members, error));
        } else {
            empty_since = None;
            disconnect_gone(session, network, &members).await;
        }
        sleep(TRY_EVERY).await;
    }
}

/// Disconnects the containers that do not exist any more.
async fn disconnect_gone(session: &Session<'_>, network: &Named, members: &[(String, String)]) {
    for (id, name) in members {
        let inspected = session.engine.inspect_container(id).await;
        if inspected.is_err_and(|error| error.is_not_found()) {
            session
                .output
                .detail(format_args!("{name} is gone, but still connected to {}", network.name));
            // It may have disconnected meanwhile; the next try shows it.
            let _taken_off = session.engine.disconnect(network, id).await;
        }
    }
}

fn stuck(network: &Named) -> String {
    format!(
        "the engine believes the unused network {0} to be in use; after a restart of the engine, \
         `docker network rm {0}` removes it",
        network.name
    )
}

fn in_use(network: &Named, members: &[(String, String)], error: EngineError) -> CliError {
    let names: Vec<&str> = members.iter().map(|(_, name)| name.as_str()).collect();
    CliError::Failed {
        what: format!("the network {} is in use by {}", network.name, names.join(", ")),
        hint: format!(
            "disconnect it with `docker network disconnect {} NAME`, then try again",
            network.name
        ),
        source: Some(error.into()),
    }
}

fn is_in_use(error: &EngineError) -> bool {
    error
        .message()
        .is_some_and(|message| message.contains("active endpoints") || message.contains("in use"))
}
