//! The address of an environment's gateway on this machine.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use client::Client;
use contracts::{Timestamp, api::gateway::Status};
use tokio::time::sleep;

use super::session::Session;
use crate::{
    config::{PORT_DEFAULT, Settings},
    error::{CliError, Result},
    output::Output,
    process,
    progress::Waiting,
    runtimes::Program,
    state::{ClusterRecord, Environment},
};

/// How many ports from the default one on are tried.
const PORTS_TRIED_MAX: u16 = 100;
/// The pause between requests to the gateway.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Returns the loopback port: the one that was given, or else the current or published one, or a free one.
///
/// # Errors
/// [`CliError::PortTaken`] if another process has the given one.
pub(super) fn choose_port(
    settings: &Settings,
    environment: &Environment,
    mapped: Option<u16>,
) -> Result<u16> {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let has = environment.cluster()?.map(|record| record.port);
    if let Some(port) = leads_already(settings.port, has, mapped) {
        return Ok(port);
    }
    match settings.port {
        Some(0) => {
            let bound =
                TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|one| one.local_addr());
            Ok(bound.map_err(CliError::io(|| "find a free port".into()))?.port())
        }
        Some(asked) if is_free(asked) => Ok(asked),
        Some(asked) => {
            let holder = process::port_holder(asked).map(|holder| holder.to_string());
            Err(CliError::PortTaken { port: asked, holder })
        }
        None => (PORT_DEFAULT..PORT_DEFAULT + PORTS_TRIED_MAX)
            .find(|port| is_free(*port))
            .ok_or(CliError::PortTaken { port: PORT_DEFAULT, holder: None }),
    }
}

/// Returns a suitable port that leads to the gateway already: the current one, or the one that the cluster publishes,
/// if it was given or none was.
fn leads_already(asked: Option<u16>, has: Option<u16>, mapped: Option<u16>) -> Option<u16> {
    let asked = asked.filter(|port| *port != 0);
    has.into_iter().chain(mapped).find(|port| asked.is_none_or(|asked| asked == *port))
}

/// Returns the record of an environment on a cluster, with the time of the last start.
///
/// # Errors
/// [`CliError::BadRecord`] or [`CliError::Io`] if the one of before can't be read.
pub(super) fn record(
    session: &Session<'_>,
    port: u16,
    is_forwarded: bool,
) -> Result<ClusterRecord> {
    let before = session.environment.cluster()?;
    Ok(ClusterRecord {
        target: session.cluster.target().clone(),
        server: session.cluster.server().to_owned(),
        namespace: session.namespace.clone(),
        port,
        is_forwarded,
        version: Program::this().version,
        started_at: before.map_or_else(Timestamp::now, |before| before.started_at),
    })
}

/// Waits until the gateway reports that all services are ready.
///
/// # Errors
/// [`CliError::NotReady`] with its last answer after the time-out.
pub(super) async fn await_answer(
    environment: &Environment,
    port: u16,
    since: Instant,
    wait_max: Duration,
    output: &Output,
) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let client = Client::new(address, &environment.admin_key()?).map_err(anyhow::Error::from)?;
    let shown = Waiting::new(output, "Waiting until every service is ready");
    loop {
        let last = match client.get::<Status>("/v1/status").await {
            Ok(status) if status.ready => return Ok(()),
            Ok(status) => {
                let unready = status.services.iter().filter(|(_, service)| !service.ready);
                let names: Vec<&str> = unready.map(|(name, _)| name.as_str()).collect();
                format!("not ready: {}", names.join(", "))
            }
            Err(error) => error.to_string(),
        };
        shown.say(format_args!("Waiting until every service is ready: {last}"));
        if since.elapsed() >= wait_max {
            return Err(CliError::NotReady { waited: wait_max, reason: last });
        }
        sleep(ASK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_leads_to_the_gateway_already_is_not_taken() {
        assert_eq!(leads_already(None, None, None), None);
        assert_eq!(leads_already(None, None, Some(7373)), Some(7373));
        assert_eq!(leads_already(Some(0), Some(8080), Some(7373)), Some(8080), "it has one");
        assert_eq!(leads_already(Some(8080), Some(8080), Some(7373)), Some(8080));
        let back = leads_already(Some(7373), Some(8080), Some(7373));
        assert_eq!(back, Some(7373), "the cluster maps it as before");
        assert_eq!(leads_already(Some(9090), Some(8080), Some(7373)), None);
    }
}
