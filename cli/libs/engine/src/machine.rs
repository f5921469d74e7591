//! The machine of an engine.

use std::path::PathBuf;

use super::{Engine, errors::EngineError};

/// The machine of an engine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its memory, in bytes.
    pub memory_bytes: u64,
    /// Its processors.
    pub processors: u64,
    /// Whether it can limit the memory of a container.
    pub limits_memory: bool,
    /// Whether it can limit the processes of a container.
    pub limits_processes: bool,
    /// The folder of images and volumes, on that machine.
    pub folder: PathBuf,
}

impl Engine {
    /// Returns the id that the engine drew when it was installed: that of another one differs, whatever their addresses.
    ///
    /// # Errors
    /// [`EngineError`] if the request fails.
    pub async fn id(&self) -> Result<String, EngineError> {
        let info = self.docker.info().await;
        Ok(info.map_err(self.could_not(|| "say which one it is".into()))?.id.unwrap_or_default())
    }

    /// Returns the properties of the engine's machine.
    ///
    /// # Errors
    /// [`EngineError`] if the request fails.
    pub async fn machine(&self) -> Result<Machine, EngineError> {
        let info = self.docker.info().await;
        let info = info.map_err(self.could_not(|| "describe its machine".into()))?;
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
