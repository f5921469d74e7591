//! Programs run in containers that run already.

use std::io::Read;

use bollard::{
    container::LogOutput,
    exec::{ResizeExecOptions, StartExecOptions, StartExecResults},
    models::ExecConfig,
};
use bytes::Bytes;
use futures_util::StreamExt;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::{Engine, errors::EngineError};
use crate::error::Result;

/// A program to be run.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// Its file and its arguments.
    pub(crate) command: Vec<String>,
    /// Whether it gets a terminal, which is ours.
    pub(crate) tty: bool,
}

/// What a program says.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    /// On stdout, or on its terminal.
    Out(Bytes),
    /// On stderr.
    Err(Bytes),
}

impl Engine {
    /// Runs a program in a container to its end, lets nobody hear it, and returns its exit code.
    ///
    /// # Errors
    /// [`EngineError`] if the container does not run.
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
        let what = || format!("run {} in a container", command.join(" "));
        let exec = self.docker.create_exec(id, config).await.map_err(self.could_not(what))?;
        let started = self.docker.start_exec(&exec.id, None::<StartExecOptions>).await;
        let started = started.map_err(self.could_not(what))?;
        if let StartExecResults::Attached { mut output, .. } = started {
            while let Some(Ok(_)) = output.next().await {}
        }
        self.exit_code(&exec.id).await
    }

    /// Runs a program in a container to its end, gives it our stdin, tells what it says, and returns its exit code.
    ///
    /// # Errors
    /// [`EngineError`] if the container does not run; whatever `tell` fails with.
    pub(crate) async fn run(
        &self,
        id: &str,
        program: &Program,
        mut tell: impl FnMut(Heard) -> Result<()>,
    ) -> Result<i64> {
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
            let speaking = tokio::spawn(speak(input));
            let resizing =
                program.tty.then(|| tokio::spawn(follow_size(self.clone(), exec.id.clone())));
            while let Some(heard) = output.next().await {
                let heard = match heard.map_err(self.could_not(what))? {
                    LogOutput::StdErr { message } => Heard::Err(message),
                    other => Heard::Out(other.into_bytes()),
                };
                tell(heard)?;
            }
            speaking.abort();
            resizing.inspect(|task| task.abort());
        }
        Ok(self.exit_code(&exec.id).await?)
    }

    async fn exit_code(&self, exec: &str) -> Result<i64, EngineError> {
        let ended = self.docker.inspect_exec(exec).await;
        let ended = ended.map_err(self.could_not(|| "tell how a program ended".into()))?;
        Ok(ended.exit_code.unwrap_or(-1))
    }
}

/// Hands our stdin on until it ends. A read can't be given up, so it has a thread of its own, which ends with the process.
async fn speak(mut input: std::pin::Pin<Box<dyn AsyncWrite + Send>>) {
    let (sender, mut read) = mpsc::channel::<Vec<u8>>(4);
    std::thread::spawn(move || {
        let mut bytes = vec![0; 8 * 1024];
        while let Ok(count @ 1..) = std::io::stdin().read(&mut bytes) {
            if sender.blocking_send(bytes[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    while let Some(bytes) = read.recv().await {
        if input.write_all(&bytes).await.is_err() || input.flush().await.is_err() {
            return;
        }
    }
    // The program may have ended by then.
    let _ended = input.shutdown().await;
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

/// Our terminal, as long as each key is the program's.
#[derive(Debug)]
struct Raw(Termios);

impl Raw {
    fn enter() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Who closed the terminal does not miss it.
        let _closed = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
