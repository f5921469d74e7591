//! How the services of an environment run. An environment has one runtime; each command asks here which.

mod change_lock;
pub(crate) mod compose;
pub(crate) mod embedded;
mod images;
pub(crate) mod kubernetes;

use std::{fs, os::unix::fs::MetadataExt, time::Duration};

use contracts::api::kitchen::Menu;

pub(crate) use self::{change_lock::ChangeLock, images::short_image};
use crate::{
    commands::connect,
    config::{Runtime, Settings},
    error::{CliError, Result},
    output::Output,
    state::{EmbeddedState, Environment},
};

/// The environment as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// What it is started with.
    pub(crate) settings: Settings,
    /// Which program asks for it.
    pub(crate) program: Program,
    /// Whether an empty environment gets recipes and stock.
    pub(crate) seed: bool,
    /// How many orders are placed in the end.
    pub(crate) orders: u32,
    /// How long it may take to be ready.
    pub(crate) timeout: Duration,
    /// Whether to stay, and show the logs.
    pub(crate) foreground: bool,
    /// Whether the images are built first.
    pub(crate) build: bool,
    /// Whether fields that others have set on a cluster are taken over.
    pub(crate) force_conflicts: bool,
    /// The services that are meant, with what they need; all if there are none.
    pub(crate) services: Vec<String>,
}

/// A version of this program, and which build of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// The version.
    pub(crate) version: String,
    /// Tells one build of a version from another.
    pub(crate) build: String,
}

impl Program {
    /// Returns which program this is: the version, and the file's size and time, so that a fresh build is told from the
    /// last.
    pub(crate) fn this() -> Self {
        let build = std::env::current_exe().and_then(fs::metadata).map_or_else(
            |_| String::new(),
            |file| format!("{:x}-{:x}.{:x}", file.size(), file.mtime(), file.mtime_nsec()),
        );
        Self { version: env!("CARGO_PKG_VERSION").into(), build }
    }
}

/// Returns how the environment's services run, or are stopped; `None` if there are none. What is written down here is believed;
/// where nothing is, the container engine is asked, if one answers.
///
/// # Errors
/// [`CliError::Io`] if the state folder can't be read.
pub(crate) async fn of(environment: &Environment) -> Result<Option<Runtime>> {
    if let Some(settings) = environment.last_settings()? {
        return Ok(Some(settings.runtime));
    }
    if !matches!(environment.embedded()?, EmbeddedState::Stopped) {
        return Ok(Some(Runtime::Embedded));
    }
    Ok(compose::exists(environment).await.then_some(Runtime::Compose))
}

/// Returns as [`of`] does, and how they ran before the last `down` if nothing is left but data.
///
/// # Errors
/// [`CliError::Io`] if the state folder can't be read.
pub(crate) async fn of_former(environment: &Environment) -> Result<Option<Runtime>> {
    match of(environment).await? {
        Some(runtime) => Ok(Some(runtime)),
        None => Ok(environment.former_settings()?.map(|settings| settings.runtime)),
    }
}

/// Returns whether the environment has never had a menu.
///
/// # Errors
/// [`CliError::Unreachable`] or [`CliError::Problem`] if it does not tell.
pub(crate) async fn is_empty(environment: &Environment) -> Result<bool> {
    let menu: Menu = connect(environment)?.get("/v1/recipes").await?;
    Ok(menu.version == 0)
}

/// Refuses to bring up with one runtime what is up, or stopped, with another: its data would be out of sight.
///
/// # Errors
/// [`CliError::Failed`] that says what to try.
pub(crate) fn refuse_another(runtime: Runtime, environment: &Environment) -> Result<()> {
    let Some(running) = environment.last_settings()?.map(|settings| settings.runtime) else {
        return Ok(());
    };
    if running == runtime {
        return Ok(());
    }
    Err(CliError::Failed {
        what: format!("`{}` runs as {running}, not as {runtime}", environment.name()),
        hint: format!(
            "say `--runtime {running}`, take it down first with `chefcito down{}`, or choose another `--name`",
            environment.name().flag()
        ),
        source: None,
    })
}

/// Says what `up` would do about orders, in the end.
///
/// # Errors
/// [`CliError::OutputClosed`] if nobody reads it any more.
fn foretell_orders(count: u32, output: &Output) -> Result<()> {
    match count {
        0 => Ok(()),
        1 => output.data("place 1 order and follow it to the table"),
        count => output.data(format_args!("place {count} orders and follow each to the table")),
    }
}

/// Says which other runtimes there are.
pub(crate) fn tell_others(runtime: Runtime, output: &Output) {
    let others: Vec<String> = Runtime::ALL
        .into_iter()
        .filter(|other| *other != runtime)
        .map(|other| other.to_string())
        .collect();
    output.status(format_args!("Other runtimes: {}", others.join(", ")));
}
