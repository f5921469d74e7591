//! The runtime of containers: what the compose file lays out, on one container engine. What there is is observed by label,
//! compared with what is wanted, and only what differs is changed.

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

/// Returns whether an engine answers and has anything of this environment. Where none answers, there is nothing.
pub(crate) async fn exists(environment: &Environment) -> bool {
    let Ok(engine) = Engine::connect().await else { return false };
    let found = observed::observe(&engine, &environment.name().to_string()).await;
    found.is_ok_and(|observed| !observed.is_nothing())
}
