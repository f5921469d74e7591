//! What the machine has that an engine runs on.

use std::path::PathBuf;

use super::{Engine, errors::EngineError};

/// What the machine has that an engine runs on.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// How much memory, in bytes.
    pub(crate) memory_bytes: u64,
    /// How many processors.
    pub(crate) processors: u64,
    /// Whether the memory of a container can be limited.
    pub(crate) limits_memory: bool,
    /// Whether the processes of a container can be limited.
    pub(crate) limits_processes: bool,
    /// Where the engine keeps images and volumes, on its machine.
    pub(crate) folder: PathBuf,
}

impl Engine {
    /// Returns what the engine's machine has.
    ///
    /// # Errors
    /// [`EngineError`] if it does not tell.
    pub(crate) async fn machine(&self) -> Result<Machine, EngineError> {
        let info = self.docker.info().await;
        let info = info.map_err(self.could_not(|| "tell what its machine has".into()))?;
        let count = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
        Ok(Machine {
            memory_bytes: count(info.mem_total).unwrap_or_default(),
            processors: count(info.ncpu).unwrap_or_default(),
            limits_memory: info.memory_limit.unwrap_or_default(),
            limits_processes: info.pids_limit.unwrap_or_default(),
            folder: info.docker_root_dir.unwrap_or_default().into(),
        })
    }
}
