//! Asks whether the services are ready: the gateway, which asks those behind it; or, if it can't be reached or was not
//! brought up, each container by its own health check.

use std::{
    collections::{BTreeSet, HashMap},
    net::Ipv4Addr,
    time::Duration,
};

use contracts::api::gateway::Status;
use futures_util::future::join_all;
use tokio::time::sleep;

use crate::{
    client::{Client, ClientError},
    compose_file::Health,
    docker::Engine,
    error::Result,
    runtimes::compose::{session::Session, wanted::Layout},
};

/// The pause between requests.
const ASK_EVERY: Duration = Duration::from_millis(25);
/// The pause between checks that start a process in each container.
const RUN_EVERY: Duration = Duration::from_millis(200);
/// Containers that fail at start mostly do so within this time.
const LIVED_MIN: Duration = Duration::from_millis(500);
/// How long an answer may take; a gateway whose services hang answers after two seconds.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(4);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// All services are ready.
    Ready,
    /// Not all are; which ones, or the error.
    NotYet(String),
}

/// The way to ask.
#[derive(Debug)]
pub(super) enum Asker {
    /// Ask the gateway; only these services matter, or all.
    Gateway(Box<Client>, Option<BTreeSet<String>>),
    /// Run the health check of each container: its id, its service, and its command.
    Containers(Engine, Vec<(String, String, Vec<String>)>),
}

impl Asker {
    /// Chooses the way.
    ///
    /// # Errors
    /// If the key can't be sent.
    pub(super) fn new(
        session: &Session<'_>,
        layout: &Layout,
        port: u16,
        names: &HashMap<String, String>,
        gateway_runs: bool,
    ) -> Result<Self> {
        let key = session.environment.admin_key();
        if let (true, true, Ok(key)) = (gateway_runs, session.engine.is_local(), key) {
            let address = (Ipv4Addr::LOCALHOST, port).into();
            let client = Client::new(address, &key).map_err(anyhow::Error::from)?;
            let services = (!layout.is_whole)
                .then(|| layout.containers.iter().map(|wanted| wanted.service.clone()).collect());
            return Ok(Self::Gateway(Box::new(client.waiting(ANSWER_WAIT_MAX)), services));
        }
        let checks = names.iter().filter_map(|(id, name)| {
            let wanted = layout.containers.iter().find(|wanted| wanted.name == *name)?;
            let command = command(wanted.what.healthcheck.as_ref()?)?;
            Some((id.clone(), wanted.service.clone(), command))
        });
        Ok(Self::Containers(session.engine.clone(), checks.collect()))
    }

    /// Asks once, after a pause.
    pub(super) async fn ask(&self, pause: Duration) -> Answer {
        sleep(pause).await;
        match self {
            Self::Gateway(client, services) => match client.get::<Status>("/v1/status").await {
                Ok(status) => judged(&status, services.as_ref()),
                Err(error @ ClientError::Refused { .. }) => Answer::NotYet(error.to_string()),
                Err(ClientError::Late { .. }) => {
                    Answer::NotYet("the gateway does not answer".into())
                }
                Err(_) => Answer::NotYet("the gateway does not listen yet".into()),
            },
            Self::Containers(engine, checks) => {
                let runs = checks.iter().map(async |(id, service, command)| {
                    let healthy = matches!(engine.run_quietly(id, command).await, Ok(0));
                    (!healthy).then_some(service.as_str())
                });
                let unready: Vec<&str> = join_all(runs).await.into_iter().flatten().collect();
                match unready.is_empty() {
                    true => Answer::Ready,
                    false => Answer::NotYet(format!("not ready: {}", unready.join(", "))),
                }
            }
        }
    }

    /// Returns the pause before the first check. A container without a health check counts as ready once it has lived
    /// that long.
    pub(super) const fn first_pause(&self) -> Duration {
        match self {
            Self::Gateway(..) => Duration::ZERO,
            Self::Containers(..) => LIVED_MIN,
        }
    }

    /// Returns the pause before the next check.
    pub(super) const fn pause(&self) -> Duration {
        match self {
            Self::Gateway(..) => ASK_EVERY,
            Self::Containers(..) => RUN_EVERY,
        }
    }
}

fn judged(status: &Status, services: Option<&BTreeSet<String>>) -> Answer {
    let matters = |name: &String| services.is_none_or(|services| services.contains(name));
    let unready = status.services.iter().filter(|(name, service)| matters(name) && !service.ready);
    let reported: Vec<String> = unready
        .map(|(name, service)| match &service.reason {
            Some(reason) => format!("{name} ({reason})"),
            None => name.clone(),
        })
        .collect();
    match (reported.is_empty(), status.ready || services.is_some()) {
        (true, true) => Answer::Ready,
        (true, false) => Answer::NotYet("the gateway is not ready".into()),
        (false, _) => Answer::NotYet(format!("not ready: {}", reported.join(", "))),
    }
}

/// Returns the command of a health check, if it has one.
fn command(health: &Health) -> Option<Vec<String>> {
    match health.test.as_deref()? {
        [kind, command @ ..] if kind == "CMD" && !command.is_empty() => Some(command.to_vec()),
        [kind, command] if kind == "CMD-SHELL" => {
            Some(vec!["/bin/sh".into(), "-c".into(), command.clone()])
        }
        _ => None,
    }
}
