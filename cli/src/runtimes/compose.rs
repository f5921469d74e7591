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

pub(crate) use self::{
    change::{restart, scale},
    down::{down, stop},
    exec::exec,
    logs::{ContainerLogs, Following},
    start::start,
    status::{ContainerStatus, ContainerStatusReader},
    up::{dry_run, up},
};
use contracts::services::GATEWAY;

use crate::{docker::Engine, state::Environment};

/// Returns whether an engine answers that has anything of this environment.
pub(crate) async fn exists(environment: &Environment) -> bool {
    let Ok(engine) = Engine::connect().await else { return false };
    let found = observed::observe(&engine, &environment.name().to_string()).await;
    found.is_ok_and(|observed| !observed.is_nothing())
}
