//! Ports of the host: all are checked before anything starts, and an error names the holder.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    ops::RangeInclusive,
};

use super::{
    GATEWAY, labels,
    observed::{Observed, ObservedContainer},
    plan::{Plan, Step},
    session::Session,
    wanted::{Layout, WantedContainer},
};
use crate::{
    compose_file::Protocol,
    config::PORT_DEFAULT,
    docker::containers::{Container, State},
    error::{CliError, Result},
    process,
};

/// The ports that are tried if none was given.
const TRIED: RangeInclusive<u16> = PORT_DEFAULT..=PORT_DEFAULT + 100;

/// Chooses the gateway's port: the one that was given, else its current one, else the default or the next free one.
///
/// # Errors
/// [`CliError::PortTaken`] if none is free.
pub(super) async fn choose(
    asked: Option<u16>,
    observed: &Observed,
    session: &Session<'_>,
) -> Result<u16> {
    let recorded = session.environment.containers()?.and_then(|record| record.address);
    let recorded = recorded.map(|address| address.port());
    let gateway = observed.of_service(GATEWAY).next().map(|seen| &seen.container);
    let published = gateway.and_then(|gateway| gateway.ports.first()).map(|port| port.port);
    let current = published.or(recorded).or_else(|| published_by_label(gateway?));
    match (asked, current) {
        (Some(0) | None, Some(current)) => Ok(current),
        (Some(0), None) => any_free(),
        (Some(port), _) => Ok(port),
        (None, None) => {
            for port in TRIED.filter(|port| is_free(*port)) {
                if session.engine.containers_at_port(port).await?.is_empty() {
                    return Ok(port);
                }
            }
            Err(CliError::PortTaken { port: PORT_DEFAULT, holder: None })
        }
    }
}

/// Returns the address of the gateway, if one of these containers publishes the port, or runs with it already.
pub(super) fn door<'a>(
    port: u16,
    started: impl IntoIterator<Item = &'a WantedContainer>,
    observed: &Observed,
) -> Option<SocketAddr> {
    let has_it = |wanted: &WantedContainer| {
        wanted.what.ports.iter().any(|published| published.published == Some(port))
    };
    let runs_with_it = |seen: &ObservedContainer| match seen.container.state {
        // The engine does not report the ports of a stopped container.
        State::Restarting => seen.service == GATEWAY,
        state => state.is_up() && seen.container.ports.iter().any(|at| at.port == port),
    };
    let is_open = started.into_iter().any(has_it) || observed.containers.iter().any(runs_with_it);
    is_open.then(|| (Ipv4Addr::LOCALHOST, port).into())
}

/// The ports of a stopped container are only in its label.
fn published_by_label(container: &Container) -> Option<u16> {
    let spec: serde_json::Value = serde_json::from_str(container.labels.get(labels::SPEC)?).ok()?;
    let ports: serde_json::Value = serde_json::from_str(spec.get("ports")?.as_str()?).ok()?;
    ports.get(0)?.get("published")?.as_u64()?.try_into().ok()
}

fn any_free() -> Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(CliError::io(|| "find a free port".into()))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Checks every port of the host that a step would publish.
///
/// # Errors
/// [`CliError::PortTaken`] that names the holder.
pub(super) async fn check(
    plan: &Plan,
    layout: &Layout,
    observed: &Observed,
    session: &Session<'_>,
) -> Result<()> {
    let starts = |name: &String| {
        plan.steps.iter().any(|step| match step {
            Step::Create { name: starting }
            | Step::Replace { name: starting, .. }
            | Step::Start { name: starting, .. } => starting == name,
            _ => false,
        })
    };
    let ports = layout
        .containers
        .iter()
        .filter(|container| starts(&container.name))
        .flat_map(|container| &container.what.ports);
    for port in ports {
        let Some(published) = port.published else { continue };
        // The container that has it now belongs to this environment, and a step replaces it.
        let ours = |container: &Container| {
            observed.containers.iter().any(|seen| seen.id() == container.id)
        };
        let holders = session.engine.containers_at_port(published).await?;
        let is_up = |container: &&Container| container.state.is_up();
        if let Some(holder) = holders.iter().filter(is_up).find(|holder| !ours(holder)) {
            return Err(taken(published, Some(by_container(holder))));
        }
        let is_ours = holders.iter().any(|holder| holder.state.is_up() && ours(holder));
        if !is_ours && session.engine.is_local() && port.protocol == Protocol::Tcp {
            let address = SocketAddr::new(
                port.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
                published,
            );
            let refused = TcpListener::bind(address).err();
            if refused.is_some_and(|error| error.kind() == std::io::ErrorKind::AddrInUse) {
                return Err(taken(published, None));
            }
        }
    }
    Ok(())
}

/// Returns the error for a port that is taken.
pub(super) fn taken(port: u16, holder: Option<String>) -> CliError {
    let holder = holder.or_else(|| process::port_holder(port).map(|holder| holder.to_string()));
    CliError::PortTaken { port, holder }
}

/// Returns the holder of a port, for people.
pub(super) async fn holder(port: u16, session: &Session<'_>) -> Option<String> {
    let holders = session.engine.containers_at_port(port).await.unwrap_or_default();
    let container = holders.iter().find(|holder| holder.state.is_up()).map(by_container);
    container.or_else(|| process::port_holder(port).map(|holder| holder.to_string()))
}

fn by_container(container: &Container) -> String {
    match container.labels.get(labels::PROJECT) {
        Some(project) => format!("the container {} of the environment `{project}`", container.name),
        None => format!("the container {}", container.name),
    }
}
