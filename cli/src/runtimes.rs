//! The runtimes of environments. An environment has one runtime; each command asks here for it.

mod change_lock;
pub(crate) mod compose;
pub(crate) mod embedded;
mod held;
mod images;
pub(crate) mod kubernetes;

use std::{fs, os::unix::fs::MetadataExt, time::Duration};

use contracts::api::kitchen::Menu;

pub(crate) use self::{change_lock::ChangeLock, held::Held, images::short_image};
use crate::{
    commands::connect,
    config::{Runtime, Settings},
    error::{CliError, Result},
    output::Output,
    plan::{Deadline, Operation, Plan},
    settings::Stated,
    state::{EmbeddedState, Environment},
};

/// The parameters of `up`.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The settings of the environment.
    pub(crate) settings: Settings,
    /// The statements that they result from; `None` if they don't depend on those of last time.
    pub(crate) stated: Option<Stated>,
    /// The program that runs the command.
    pub(crate) program: Program,
    /// Whether an empty environment gets recipes and stock.
    pub(crate) seed: bool,
    /// How many orders are placed at the end.
    pub(crate) orders: u32,
    /// How long the environment may take to become ready.
    pub(crate) timeout: Duration,
    /// Whether that was asked for, and bounds building and getting images, too.
    pub(crate) timeout_is_given: bool,
    /// Whether the plan is printed as JSON.
    pub(crate) json: bool,
    /// Whether to stay in the foreground and show the logs.
    pub(crate) foreground: bool,
    /// Whether the images are built first.
    pub(crate) build: bool,
    /// Whether to take over fields on a cluster that other programs have set.
    pub(crate) force_conflicts: bool,
    /// The services to bring up, with the services that they need; empty for all.
    pub(crate) services: Vec<String>,
}

impl Wanted {
    /// Returns the time that all of the work has, from now on.
    pub(crate) const fn deadline(&self) -> Deadline {
        Deadline::new(self.timeout, self.timeout_is_given)
    }

    /// Returns the same with the settings that result from those of last time as they are now. Call it with the change lock held:
    /// another command may have changed them before.
    ///
    /// # Errors
    /// [`CliError::BadRecord`] or [`CliError::Io`] if they can't be read; [`CliError::Failed`] if the environment has another
    /// runtime.
    pub(crate) fn as_of_now(&self, environment: &Environment) -> Result<Self> {
        refuse_another(self.settings.runtime, environment)?;
        let Some(stated) = &self.stated else { return Ok(self.clone()) };
        let resolved = stated.over(environment.former_settings()?.as_ref())?;
        refuse_another(resolved.settings.runtime, environment)?;
        Ok(Self { settings: resolved.settings, ..self.clone() })
    }
}

/// A version and a build of this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// The version.
    pub(crate) version: String,
    /// Distinguishes builds of one version.
    pub(crate) build: String,
}

impl Program {
    /// Returns the version of this program, and the size and time of its file, which identify a build.
    pub(crate) fn this() -> Self {
        let build = std::env::current_exe().and_then(fs::metadata).map_or_else(
            |_| String::new(),
            |file| format!("{:x}-{:x}.{:x}", file.size(), file.mtime(), file.mtime_nsec()),
        );
        Self { version: env!("CARGO_PKG_VERSION").into(), build }
    }
}

/// Returns the runtime of the environment, running or stopped; `None` if there is none. The records in the state folder
/// decide; without any, the container engine of this machine is asked, if one answers; one elsewhere is not.
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

/// Returns the runtime as [`of`] does, or the one before the last `down`, if there are data left.
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
/// [`CliError::Unreachable`] or [`CliError::Problem`] if the gateway does not answer.
pub(crate) async fn is_empty(environment: &Environment) -> Result<bool> {
    let menu: Menu = connect(environment).await?.get("/v1/recipes").await?;
    Ok(menu.version == 0)
}

/// Refuses another runtime than that of the environment: its data would be unreachable from there.
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
            "use `--runtime {running}`, take it down first with `chefcito down`, or choose another `--name`"
        ),
        source: None,
    })
}

/// Prints the operations of a plan, for `--dry-run`.
///
/// # Errors
/// [`CliError::OutputClosed`] if the reader has closed stdout.
pub(crate) fn print<O: Operation>(
    plan: &Plan<O>,
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    if plan.is_empty() {
        output.status(format_args!("Nothing to do: `{}` is up to date", environment.name()));
    }
    plan.print(wanted.json, output)
}

/// Prints the names of the other runtimes.
pub(crate) fn print_others(runtime: Runtime, output: &Output) {
    let others: Vec<String> = Runtime::ALL
        .into_iter()
        .filter(|other| *other != runtime)
        .map(|other| other.to_string())
        .collect();
    output.status(format_args!("Other runtimes: {}", others.join(", ")));
}
