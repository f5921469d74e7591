//! The compose runtime: the services of the compose file on one container engine. Finds what exists by label, compares
//! it with what is wanted, and changes only what differs.

mod apply;
mod change;
mod converge;
mod down;
mod exec;
mod key;
mod labels;
mod last_lines;
mod logs;
mod observed;
mod plan;
mod ports;
mod project;
mod ready;
mod session;
mod spec;
mod start;
mod status;
mod up;
mod wanted;

use std::time::Duration;

use contracts::services::GATEWAY;
use engine::Engine;
use tokio::time::timeout;

pub(crate) use self::{
    change::{restart, scale},
    down::{down, stop, volumes},
    exec::exec,
    logs::{ContainerLogs, Following},
    start::start,
    status::{ContainerStatus, ContainerStatusReader, unready},
    up::{dry_run, up},
};

use crate::{
    config::Runtime,
    error::{CliError, Result},
    state::Environment,
};

/// Returns the services of the compose file; `None` if it can't be read.
pub(crate) fn services() -> Option<Vec<String>> {
    let file = project::source().ok()?.parse(&|name: &str| std::env::var(name).ok()).ok()?;
    Some(file.services.into_keys().collect())
}

/// How long an engine of this machine may take to say what it has of an environment that is recorded nowhere.
const LOOK_WAIT_MAX: Duration = Duration::from_secs(5);

/// Returns whether the engine of this machine answers and has anything of this environment. An engine elsewhere is not asked:
/// a look at an environment of which nothing is recorded must not open a connection to another machine.
pub(crate) async fn exists(environment: &Environment) -> bool {
    look(environment, async |engine, project| {
        Ok(!observed::observe(engine, project).await?.is_nothing())
    })
    .await
}

/// Asks the engine of this machine about an environment; `false` if it does not answer in time.
async fn look(
    environment: &Environment,
    about: impl AsyncFnOnce(&Engine, &str) -> Result<bool>,
) -> bool {
    let look = async {
        let Ok(Some(engine)) = Engine::connect_to_local().await else { return false };
        about(&engine, &environment.name().to_string()).await.unwrap_or(false)
    };
    timeout(LOOK_WAIT_MAX, look).await.unwrap_or(false)
}

/// Returns an error that nothing runs; or, if containers of the environment do, that another program started them.
///
/// # Errors
/// [`CliError::Io`] if the state folder can't be read.
pub(crate) async fn not_running(environment: &Environment) -> Result<CliError> {
    let name = environment.name().clone();
    let settings = environment.last_settings()?;
    let may_have_containers = settings.is_none_or(|settings| settings.runtime == Runtime::Compose);
    if !may_have_containers || !has_running(environment).await {
        return Ok(CliError::NotRunning { name });
    }
    Ok(CliError::Failed {
        what: format!("`{name}` runs in containers, but chefcito did not start it here"),
        hint: format!(
            "`chefcito up --runtime compose{}` adopts it, with the data in its volumes",
            name.flag()
        ),
        source: None,
    })
}

async fn has_running(environment: &Environment) -> bool {
    look(environment, async |engine, project| {
        let containers = observed::containers(engine, project).await?;
        Ok(containers.iter().any(|seen| seen.container.state.is_up()))
    })
    .await
}
