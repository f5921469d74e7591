//! What is measured in containers, one file a scene.

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

/// Opens an environment in containers, with plenty of everything.
async fn open_full() -> Result<Environment> {
    Environment::open_full(&["--runtime", "compose"]).await
}
