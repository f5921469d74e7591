//! Waits until the environment is ready: asks the gateway and the containers of which it knows nothing at short
//! intervals, and follows the engine's events, so that a hopeless failure ends the wait at once. It neither waits for the
//! interval of a health check of the file nor uses older results of one.

mod asked;
mod deaths;

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    time::{Duration, Instant},
};

use engine::{
    Engine,
    containers::State,
    errors::EngineError,
    events::{Action, Event},
};
use futures_util::StreamExt;
use manifests::compose_file::Restart;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{interval_at, sleep_until},
};

use self::{
    asked::{Answer, Asker},
    deaths::{Deaths, Verdict},
};
use super::{
    GATEWAY, labels,
    last_lines::last_lines,
    observed::{self, ObservedContainer},
    session::{Session, engine_of},
    wanted::{Layout, WantedContainer},
};
use crate::{
    error::{CliError, Result},
    progress::Waiting,
};

/// How often the state is printed off a terminal.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// How often it is checked whether the last jobs have completed, once every service is ready.
const JOBS_EVERY: Duration = Duration::from_millis(25);
/// How long a restart of the engine may take.
const ENGINE_WAIT_MAX: Duration = Duration::from_secs(10);

/// The events of an environment's containers, from the moment on at which this was begun.
#[derive(Debug)]
pub(super) struct Watch {
    events: mpsc::UnboundedReceiver<Result<Event, EngineError>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Subscribes to the events. Call it before observing, so that no event is missed.
    pub(super) fn begin(engine: &Engine, project: &str) -> Self {
        let mut stream = engine.events(&labels::of_project(project));
        let (sender, events) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Some(event) = stream.next().await {
                if sender.send(event).is_err() {
                    break;
                }
            }
        });
        Self { events, task }
    }

    /// Drops the events up to now: they are about containers that the plan itself has stopped.
    pub(super) fn forget(&mut self) {
        while self.events.try_recv().is_ok() {}
    }

    /// Returns the next event; `None` when the engine sends no more.
    pub(super) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await?.ok()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until every service is ready and every job is done. The gateway has this address, if it publishes it.
///
/// # Errors
/// [`CliError::ServiceFailed`] with the last lines of a service that has failed for good, [`CliError::NotReady`] with
/// the last answer after the time-out.
pub(super) async fn await_ready(
    session: &Session<'_>,
    layout: &Layout,
    address: SocketAddr,
    watch: &mut Watch,
    wait_max: Duration,
) -> Result<()> {
    let deadline = Instant::now() + wait_max;
    let mut waiting = Wait {
        session,
        wanted: layout.containers.iter().map(|wanted| (wanted.name.as_str(), wanted)).collect(),
        names: HashMap::new(),
        jobs: BTreeSet::new(),
        address,
        has_gateway: false,
        deaths: Deaths::default(),
    };
    watch.forget();
    waiting.look().await?;
    let asker = Asker::new(session, layout, waiting.has_gateway.then_some(address))?;
    let shown = Waiting::new(session.output, "Waiting until every service is ready");
    let mut report = interval_at(tokio::time::Instant::now() + REPORT_EVERY, REPORT_EVERY);
    let mut last = String::from("the gateway has not answered yet");
    let mut answer = Box::pin(asker.ask(Duration::ZERO));
    loop {
        tokio::select! {
            said = &mut answer => {
                let pause = match said {
                    Answer::Ready if waiting.jobs.is_empty() => return Ok(()),
                    Answer::Ready => {
                        last = waiting.open_jobs();
                        JOBS_EVERY
                    }
                    Answer::NotYet { reason, pause } => {
                        last = reason;
                        pause
                    }
                };
                shown.say(format_args!("Waiting until every service is ready: {last}"));
                answer = Box::pin(asker.ask(pause));
            }
            event = watch.next() => match event {
                Some(event) => waiting.note(&event).await?,
                None => {
                    *watch = engine_again(session, deadline).await?;
                    waiting.look().await?;
                }
            },
            _ = report.tick() => {
                if session.output.bars().is_none() {
                    session.output.progress(format_args!("Still waiting: {last}"));
                }
            }
            () = sleep_until(deadline.into()) => {
                return Err(CliError::NotReady { waited: wait_max, reason: last });
            }
        }
    }
}

/// Subscribes again after the events ended: the engine may be restarting.
async fn engine_again(session: &Session<'_>, deadline: Instant) -> Result<Watch> {
    let until = deadline.min(Instant::now() + ENGINE_WAIT_MAX);
    loop {
        match engine_of(session.environment).await {
            Ok(engine) => return Ok(Watch::begin(&engine, &session.project_name)),
            Err(error) if Instant::now() >= until => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

struct Wait<'a> {
    session: &'a Session<'a>,
    wanted: HashMap<&'a str, &'a WantedContainer>,
    /// The names of the containers, by id.
    names: HashMap<String, String>,
    /// The address of the gateway.
    address: SocketAddr,
    /// Whether a gateway publishes it, in scope or not.
    has_gateway: bool,
    /// Jobs that have not completed.
    jobs: BTreeSet<String>,
    deaths: Deaths,
}

impl Wait<'_> {
    /// Reads the current state.
    async fn look(&mut self) -> Result<()> {
        let seen = observed::containers(&self.session.engine, &self.session.project_name).await?;
        self.names.clear();
        self.jobs.clear();
        self.has_gateway = seen.iter().any(|seen| self.is_gateway(seen));
        for seen in seen {
            let Some(wanted) = self.wanted.get(seen.name()) else { continue };
            self.names.insert(seen.id().to_owned(), seen.name().to_owned());
            match self.state(&seen, wanted).await? {
                State::Exited { code: 0 } if wanted.is_job => {}
                State::Exited { code } => return Err(self.ended(wanted, seen.id(), code).await),
                _ if wanted.is_job => {
                    self.jobs.insert(seen.name().to_owned());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns whether a container is a gateway at the address. The engine does not list the ports of one that is
    /// starting.
    fn is_gateway(&self, seen: &ObservedContainer) -> bool {
        let port = self.address.port();
        let publishes = match self.wanted.get(seen.name()) {
            Some(wanted) => wanted.what.ports.iter().any(|at| at.published == Some(port)),
            None => seen.container.ports.iter().any(|at| at.port == port),
        };
        publishes && seen.service == GATEWAY && !seen.is_one_off
    }

    /// Returns the state of a container. The engine reports the end of a process before it updates its listing, so a
    /// container that has just ended may still be listed as running; inspecting it waits for the update. Only
    /// containers that end for good are inspected: the others are restarted.
    async fn state(&self, seen: &ObservedContainer, wanted: &WantedContainer) -> Result<State> {
        let may_end = wanted.is_job || wanted.what.restart == Restart::No;
        if !may_end || !matches!(seen.container.state, State::Running) {
            return Ok(seen.container.state);
        }
        let inspected = self.session.engine.inspect_container(seen.id()).await?;
        Ok(match inspected.is_running {
            true => State::Running,
            false => State::Exited { code: inspected.exit_code },
        })
    }

    async fn ended(&self, wanted: &WantedContainer, id: &str, code: i64) -> CliError {
        let inspected = self.session.engine.inspect_container(id).await.ok();
        let reason = match inspected {
            Some(inspected) if inspected.oom_killed => out_of_memory(wanted),
            Some(inspected) if inspected.error.is_some() => inspected.error.unwrap_or_default(),
            _ => format!("it ended with exit code {code}"),
        };
        self.failed(wanted, id, reason).await
    }

    async fn failed(&self, wanted: &WantedContainer, id: &str, reason: String) -> CliError {
        CliError::ServiceFailed {
            name: self.session.environment.name().clone(),
            service: wanted.service.clone(),
            reason,
            last_lines: last_lines(&self.session.engine, id, &wanted.service).await,
        }
    }

    async fn note(&mut self, event: &Event) -> Result<()> {
        let name = self.names.get(&event.id);
        let Some(wanted) = name.and_then(|name| self.wanted.get(name.as_str())).copied() else {
            return Ok(());
        };
        match event.action {
            Action::OutOfMemory => Err(self.failed(wanted, &event.id, out_of_memory(wanted)).await),
            Action::Die { code } => {
                let restart = wanted.what.restart;
                match self.deaths.note(&event.id, code, wanted.is_job, restart, Instant::now()) {
                    Verdict::Done => {
                        self.jobs.remove(&wanted.name);
                        Ok(())
                    }
                    Verdict::Hopeful => Ok(()),
                    Verdict::Hopeless(reason) => Err(self.failed(wanted, &event.id, reason).await),
                }
            }
            _ => Ok(()),
        }
    }

    fn open_jobs(&self) -> String {
        let jobs: Vec<&str> = self.jobs.iter().map(String::as_str).collect();
        format!("{} not completed yet", jobs.join(", "))
    }
}

fn out_of_memory(wanted: &WantedContainer) -> String {
    match wanted.what.mem_limit {
        Some(limit) => format!("it needs more memory than its limit of {} MiB", limit >> 20),
        None => "the machine ran out of memory".into(),
    }
}
