use std::{fs, io, net::SocketAddr, os::unix::fs::MetadataExt, path::Path, time::Duration};

use clap::Args;
use contracts::Timestamp;
use futures_util::future::join_all;
use manifests::quantities::size;
use serde::Serialize;
use serde_json::json;

use crate::{
    config::Runtime,
    error::Result,
    output::{Output, Table},
    runtimes::embedded::is_gateway_ready,
    state::{EmbeddedState, Environment},
};

/// List all environments of this user
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// One environment, as its state folder describes it and its gateway answers.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    runtime: Option<Runtime>,
    state: State,
    address: Option<SocketAddr>,
    started_at: Option<Timestamp>,
    disk_bytes: u64,
    /// Why its state can't be read.
    problem: Option<String>,
}

/// The state of an environment. That of containers and pods is their gateway's: engines and clusters are not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// Its gateway answers that it is ready.
    Ready,
    /// Its gateway does not answer that it is ready.
    NotReady,
    /// Its process is starting.
    Starting,
    /// Its process crashed.
    Crashed,
    /// Stopped; `start` starts it again.
    Stopped,
    /// Taken down; its data are kept.
    Down,
    /// Its state folder can't be read.
    Unreadable,
}

impl State {
    const fn words(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady => "not ready",
            Self::Starting => "starting",
            Self::Crashed => "crashed",
            Self::Stopped => "stopped",
            Self::Down => "down, data kept",
            Self::Unreadable => "unreadable",
        }
    }
}

pub(crate) async fn run(args: LsArgs, environment: &Environment, output: &Output) -> Result<()> {
    let environments = environment.all()?;
    let listed: Vec<Listed> = join_all(environments.iter().map(look)).await;
    if args.json {
        return output.json(&json!({"schema_version": 1, "environments": listed}));
    }
    if listed.is_empty() {
        output.status(format_args!("There is no environment; `chefcito up` starts one"));
        return Ok(());
    }
    let mut table = Table::new(["name", "runtime", "state", "address", "up for", "disk"]);
    for one in &listed {
        table.row([
            one.name.clone(),
            one.runtime.map_or_else(|| "-".into(), |runtime| runtime.to_string()),
            one.state.words().into(),
            one.address.map_or_else(|| "-".into(), |address| format!("http://{address}")),
            one.started_at.map_or_else(|| "-".into(), up_for),
            size(one.disk_bytes),
        ]);
    }
    output.data(table)?;
    for one in &listed {
        if let Some(problem) = &one.problem {
            output.warn(format_args!("{}: {problem}", one.name));
        }
    }
    Ok(())
}

/// Returns how long ago something began, in its two largest units.
fn up_for(started_at: Timestamp) -> String {
    let seconds = Timestamp::now().since(started_at).as_secs();
    let unit = if seconds < 3_600 {
        1
    } else if seconds < 86_400 {
        60
    } else {
        3_600
    };
    humantime::format_duration(Duration::from_secs(seconds / unit * unit)).to_string()
}

async fn look(environment: &Environment) -> Listed {
    let name = environment.name().to_string();
    let disk_bytes = disk_bytes(environment.folder());
    match recorded(environment) {
        Ok((runtime, state, address, started_at)) => {
            let state = match (state, address) {
                (State::NotReady, Some(address)) if is_gateway_ready(address).await => State::Ready,
                (state, _) => state,
            };
            Listed { name, runtime, state, address, started_at, disk_bytes, problem: None }
        }
        Err(error) => Listed {
            name,
            runtime: None,
            state: State::Unreadable,
            address: None,
            started_at: None,
            disk_bytes,
            problem: Some(error.to_string()),
        },
    }
}

type Recorded = (Option<Runtime>, State, Option<SocketAddr>, Option<Timestamp>);

/// Returns what the state folder says; what runs is not ready until its gateway says so.
fn recorded(environment: &Environment) -> Result<Recorded> {
    environment.refuse_unsafe()?;
    environment.refuse_other_versions()?;
    let last = environment.last_settings()?.map(|settings| settings.runtime);
    if let Some(record) = environment.containers()? {
        let (address, since) = (record.address, Some(record.started_at));
        return Ok((Some(Runtime::Compose), State::NotReady, address, since));
    }
    if let Some(record) = environment.cluster()?
        && last == Some(Runtime::Kubernetes)
    {
        let address = SocketAddr::from(([127, 0, 0, 1], record.port));
        let since = Some(record.started_at);
        return Ok((last, State::NotReady, Some(address), since));
    }
    let embedded = Some(Runtime::Embedded);
    match environment.embedded()? {
        EmbeddedState::Running(record) => {
            Ok((embedded, State::NotReady, Some(record.address), Some(record.started_at)))
        }
        EmbeddedState::Starting { .. } => Ok((embedded, State::Starting, None, None)),
        EmbeddedState::Crashed => Ok((embedded, State::Crashed, None, None)),
        EmbeddedState::Stopped if last.is_some() => Ok((last, State::Stopped, None, None)),
        EmbeddedState::Stopped => {
            let former = environment.former_settings()?.map(|settings| settings.runtime);
            Ok((former, State::Down, None, None))
        }
    }
}

/// Returns how much the files of a folder take on its disk. Files that can't be looked at count as nothing.
fn disk_bytes(folder: &Path) -> u64 {
    const BLOCK_BYTES: u64 = 512;
    let entries = |folder: &Path| -> io::Result<u64> {
        let mut sum = 0;
        for entry in fs::read_dir(folder)?.flatten() {
            // Does not follow symbolic links.
            sum += match entry.metadata() {
                Ok(found) if found.is_dir() => disk_bytes(&entry.path()),
                Ok(found) => found.blocks() * BLOCK_BYTES,
                Err(_) => 0,
            };
        }
        Ok(sum)
    };
    entries(folder).unwrap_or(0)
}
