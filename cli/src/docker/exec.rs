//! Programs run in containers that run already.

use bollard::{
    exec::{StartExecOptions, StartExecResults},
    models::ExecConfig,
};
use futures_util::StreamExt;

use super::{Engine, errors::EngineError};

impl Engine {
    /// Runs a program in a container to its end, lets nobody hear it, and returns its exit code.
    ///
    /// # Errors
    /// [`EngineError`] if the container does not run, or has no such program.
    pub(crate) async fn run_quietly(
        &self,
        id: &str,
        command: &[String],
    ) -> Result<i64, EngineError> {
        let config = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.to_vec()),
            ..Default::default()
        };
        let what = || format!("run {} in the container {id}", command.join(" "));
        let exec = self.docker.create_exec(id, config).await.map_err(self.could_not(what))?;
        let started = self.docker.start_exec(&exec.id, None::<StartExecOptions>).await;
        if let StartExecResults::Attached { mut output, .. } =
            started.map_err(self.could_not(what))?
        {
            while let Some(Ok(_)) = output.next().await {}
        }
        let ended = self.docker.inspect_exec(&exec.id).await.map_err(self.could_not(what))?;
        Ok(ended.exit_code.unwrap_or(-1))
    }
}
