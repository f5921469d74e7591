//! Runs programs in running containers.

use bollard::{
    container::LogOutput,
    exec::{ResizeExecOptions, StartExecOptions, StartExecResults},
    models::ExecConfig,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, future::try_join};
use rustix::termios::tcgetwinsize;
use tokio::{
    io::AsyncWriteExt,
    signal::unix::{SignalKind, signal},
};

use super::{Engine, errors::EngineError};
use crate::terminal::{Program, ProgramOutput, Raw, copy_stdin};

impl Engine {
    /// Runs a program in a container, discards its output, and returns its exit code.
    ///
    /// # Errors
    /// [`EngineError`] if the container is not running.
    pub async fn run_quietly(&self, id: &str, command: &[String]) -> Result<i64, EngineError> {
        let config = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.to_vec()),
            ..Default::default()
        };
        let what = || format!("run {} in a container", command.join(" "));
        let exec = self.docker.create_exec(id, config).await.map_err(self.could_not(what))?;
        let started = self.docker.start_exec(&exec.id, None::<StartExecOptions>).await;
        let started = started.map_err(self.could_not(what))?;
        if let StartExecResults::Attached { mut output, .. } = started {
            while let Some(Ok(_)) = output.next().await {}
        }
        self.exit_code(&exec.id).await
    }

    /// Runs a program in a container, writes pieces to its stdin, and returns its exit code and its output.
    ///
    /// # Errors
    /// [`EngineError`] if the container is not running; the error of a piece.
    pub async fn run_fed(
        &self,
        id: &str,
        command: &[&str],
        pieces: impl Stream<Item = Result<Bytes, EngineError>> + Send + 'static,
    ) -> Result<(i64, String), EngineError> {
        let config = ExecConfig {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.iter().map(|&word| word.to_owned()).collect()),
            ..Default::default()
        };
        let what = || format!("run {} in a container", command.join(" "));
        let exec = self.docker.create_exec(id, config).await.map_err(self.could_not(what))?;
        let started = self.docker.start_exec(&exec.id, None::<StartExecOptions>).await;
        let started = started.map_err(self.could_not(what))?;
        let mut said = String::new();
        if let StartExecResults::Attached { mut output, mut input } = started {
            let feeding = async move {
                let mut pieces = std::pin::pin!(pieces);
                while let Some(piece) = pieces.next().await {
                    // A program that stops reading ends, and its output has the reason.
                    if input.write_all(&piece?).await.is_err() {
                        break;
                    }
                }
                let _ended = input.shutdown().await;
                Ok::<_, EngineError>(())
            };
            let hearing = async {
                while let Some(Ok(piece)) = output.next().await {
                    said.push_str(&String::from_utf8_lossy(&piece.into_bytes()));
                }
                Ok(())
            };
            try_join(feeding, hearing).await?;
        }
        Ok((self.exit_code(&exec.id).await?, said))
    }

    /// Runs a program in a container with our stdin, passes its output to `tell`, and returns its exit code.
    ///
    /// # Errors
    /// [`EngineError`] if the container is not running; the error of `tell`.
    pub async fn run<E: From<EngineError>>(
        &self,
        id: &str,
        program: &Program,
        mut tell: impl FnMut(ProgramOutput) -> Result<(), E>,
    ) -> Result<i64, E> {
        let config = ExecConfig {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(program.tty),
            cmd: Some(program.command.clone()),
            ..Default::default()
        };
        let what = || format!("run {}", program.command.join(" "));
        let exec = self.docker.create_exec(id, config).await.map_err(self.could_not(what))?;
        let options = StartExecOptions { tty: program.tty, ..Default::default() };
        let started = self.docker.start_exec(&exec.id, Some(options)).await;
        let started = started.map_err(self.could_not(what))?;
        if let StartExecResults::Attached { mut output, input } = started {
            let _raw = if program.tty { Raw::enter() } else { None };
            let copying = tokio::spawn(copy_stdin(input));
            let resizing =
                program.tty.then(|| tokio::spawn(follow_size(self.clone(), exec.id.clone())));
            while let Some(piece) = output.next().await {
                let piece = match piece.map_err(self.could_not(what))? {
                    LogOutput::StdErr { message } => ProgramOutput::Err(message),
                    other => ProgramOutput::Out(other.into_bytes()),
                };
                tell(piece)?;
            }
            copying.abort();
            resizing.inspect(|task| task.abort());
        }
        Ok(self.exit_code(&exec.id).await?)
    }

    async fn exit_code(&self, exec: &str) -> Result<i64, EngineError> {
        let ended = self.docker.inspect_exec(exec).await;
        let ended = ended.map_err(self.could_not(|| "return the exit code of a program".into()))?;
        Ok(ended.exit_code.unwrap_or(-1))
    }
}

/// Keeps the program's terminal as large as ours.
async fn follow_size(engine: Engine, exec: String) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
    loop {
        if let Ok(size) = tcgetwinsize(std::io::stdout()) {
            let options = ResizeExecOptions { height: size.ws_row, width: size.ws_col };
            // It may have ended by then.
            let _ended = engine.docker.resize_exec(&exec, options).await;
        }
        changes.recv().await;
    }
}
