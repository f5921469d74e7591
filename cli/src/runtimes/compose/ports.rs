//! Ports of the host: all are checked before anything starts, and an error names the holder.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use engine::containers::{Container, State};
use manifests::compose_file::{ComposeFile, Port, Protocol};
use tokio::time::sleep;

use super::{
    GATEWAY, labels,
    observed::{Observed, ObservedContainer},
    plan::Step,
    session::Session,
    wanted::{Layout, WantedContainer},
};
use crate::{
    config::PORT_DEFAULT,
    error::{CliError, Result},
    plan::Plan,
    process,
};

/// The ports that are tried if none was given.
const TRIED: RangeInclusive<u16> = PORT_DEFAULT..=PORT_DEFAULT + 100;

/// How long the engine may take to start or remove a container whose port it holds already or still, as after a command
/// that was killed.
const STARTING_WAIT_MAX: Duration = Duration::from_secs(5);
/// How often that is checked.
const LOOK_EVERY: Duration = Duration::from_millis(50);

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
    address: SocketAddr,
    started: impl IntoIterator<Item = &'a WantedContainer>,
    observed: &Observed,
) -> Option<SocketAddr> {
    let port = address.port();
    let has_it = |wanted: &WantedContainer| {
        wanted.what.ports.iter().any(|published| published.published == Some(port))
    };
    let runs_with_it = |seen: &ObservedContainer| match seen.container.state {
        // The engine does not report the ports of a stopped container.
        State::Restarting => seen.service == GATEWAY,
        state => state.is_up() && seen.container.ports.iter().any(|at| at.port == port),
    };
    let is_open = started.into_iter().any(has_it) || observed.containers.iter().any(runs_with_it);
    is_open.then_some(address)
}

/// Returns the address of the gateway, at its port in the file. Without a gateway, or with one that publishes no port,
/// it is that of the chosen port, where nothing listens then.
///
/// # Errors
/// [`CliError::Failed`] if the file does not say at which port, or at another one than was asked for.
pub(super) fn address(
    chosen: u16,
    asked: Option<u16>,
    compose_file: &ComposeFile,
) -> Result<SocketAddr> {
    let gateway = compose_file.services.get(GATEWAY);
    let ports = gateway.into_iter().flat_map(|gateway| &gateway.ports);
    let ports: Vec<&Port> = ports.filter(|port| port.protocol == Protocol::Tcp).collect();
    let has_chosen = ports.iter().find(|port| port.published == Some(chosen));
    let port = has_chosen.or_else(|| ports.iter().find(|port| port.published.is_some()));
    let hint = |text: &str| {
        format!("{text}write `127.0.0.1:${{CHEFCITO_PORT:-{PORT_DEFAULT}}}:8080` there")
    };
    let (what, hint) = match (port, asked.filter(|asked| *asked != 0)) {
        (None, _) if ports.is_empty() => return Ok((Ipv4Addr::LOCALHOST, chosen).into()),
        (None, _) => (
            "the file does not say at which port of the host it publishes the gateway".to_owned(),
            hint(""),
        ),
        (Some(Port { published: Some(port), .. }), Some(asked)) if *port != asked => (
            format!("the file publishes the gateway at port {port}, not at {asked}"),
            hint(&format!("use `--port {port}`, or ")),
        ),
        (Some(port), _) => {
            return Ok((reached_at(port.host_ip), port.published.unwrap_or(chosen)).into());
        }
    };
    Err(CliError::Failed { what, hint, source: None })
}

/// Returns the address at which a port is reached that is published at this one.
fn reached_at(host_ip: Option<IpAddr>) -> IpAddr {
    match host_ip {
        Some(IpAddr::V6(ip)) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        Some(ip) if !ip.is_unspecified() => ip,
        _ => Ipv4Addr::LOCALHOST.into(),
    }
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

/// Returns whether nothing listens at a loopback port.
pub(super) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Checks every port of the host that a step would publish.
///
/// # Errors
/// [`CliError::PortTaken`] that names the holder.
pub(super) async fn check(
    plan: &Plan<Step>,
    layout: &Layout,
    observed: &Observed,
    session: &Session<'_>,
) -> Result<()> {
    let starts = |name: &String| plan.operations().any(|step| step.starts() == Some(name));
    let ports = layout
        .containers
        .iter()
        .filter(|container| starts(&container.name))
        .flat_map(|container| container.what.ports.iter().map(move |port| (container, port)));
    for (container, port) in ports {
        let Some(published) = port.published else { continue };
        let since = Instant::now();
        while let Some(holder) = holder_of(port, published, observed, session).await? {
            let is_starting = observed.containers.iter().any(|seen| seen.name() == container.name);
            let may_be_ours = matches!(&holder, PortHolder::Unknown) && is_starting;
            if !may_be_ours || since.elapsed() > STARTING_WAIT_MAX {
                let holder = match holder {
                    PortHolder::Container(holder) => Some(by_container(&holder)),
                    PortHolder::Unknown => None,
                };
                return Err(taken(published, holder));
            }
            sleep(LOOK_EVERY).await;
        }
    }
    Ok(())
}

/// What holds a port against this environment.
enum PortHolder {
    /// A container of another one.
    Container(Box<Container>),
    /// Another program; or the engine, for a container that it is starting or removing.
    Unknown,
}

/// Returns what holds a port, unless a container of this environment does, which a step replaces or leaves as it is.
async fn holder_of(
    port: &Port,
    published: u16,
    observed: &Observed,
    session: &Session<'_>,
) -> Result<Option<PortHolder>> {
    let ours =
        |container: &Container| observed.containers.iter().any(|seen| seen.id() == container.id);
    let mut holders = session.engine.containers_at_port(published).await?;
    holders.retain(|container| container.state.is_up());
    if let Some(other) = holders.iter().position(|holder| !ours(holder)) {
        return Ok(Some(PortHolder::Container(Box::new(holders.swap_remove(other)))));
    }
    if !holders.is_empty() || !session.engine.is_local() || port.protocol != Protocol::Tcp {
        return Ok(None);
    }
    let host_ip = port.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let refused = TcpListener::bind(SocketAddr::new(host_ip, published)).err();
    let is_taken = refused.is_some_and(|error| error.kind() == ErrorKind::AddrInUse);
    Ok(is_taken.then_some(PortHolder::Unknown))
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
