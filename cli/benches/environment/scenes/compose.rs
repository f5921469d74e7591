//! The scenes in containers, one file each.

pub(super) mod build;
pub(super) mod delivered;
pub(super) mod door;
pub(super) mod faults;
pub(super) mod logs;
pub(super) mod outage;
pub(super) mod start;
pub(super) mod steady;

use anyhow::Result;

use crate::stage::Environment;

/// Starts an environment in containers, with plenty of every ingredient.
async fn open_full() -> Result<Environment> {
    Environment::open_full(&["--runtime", "compose"]).await
}
