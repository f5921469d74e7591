//! Runs programs in running pods.

use std::{pin::pin, time::Duration};

use engine::terminal::{Program, ProgramOutput, Raw, copy_stdin};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{AttachParams, AttachedProcess, TerminalSize},
    core::Status,
};
use rustix::termios::tcgetwinsize;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::timeout,
};

use super::{Cluster, errors::ClusterError};

/// The most pieces of output that wait to be printed.
const PIECES_MAX: usize = 64;
/// The size of a piece.
const PIECE_BYTES_MAX: usize = 16 * 1024;
/// How long output that was sent before the program's end may still arrive.
const LAST_OUTPUT_WAIT_MAX: Duration = Duration::from_secs(2);
/// The cause with a program's exit code.
const EXIT_CODE: &str = "ExitCode";

/// The exit code of a program that could not be started, as in shells.
const NOT_STARTED: i64 = 126;
/// The exit code of a program that does not exist.
const NOT_THERE: i64 = 127;

impl Cluster {
    /// Runs a program in a container of a pod with our stdin, passes its output to `tell`, and returns its exit code.
    ///
    /// # Errors
    /// [`ClusterError`] if the pod is not running; the error of `tell`.
    pub async fn run<E: From<ClusterError>>(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        program: &Program,
        mut tell: impl FnMut(ProgramOutput) -> Result<(), E>,
    ) -> Result<i64, E> {
        let what = || format!("run {} in {pod}", program.command.join(" "));
        let api: Api<Pod> = Api::namespaced(self.client(), namespace);
        let params = AttachParams::default()
            .container(container)
            .stdin(true)
            .stdout(true)
            // A terminal has one output stream only.
            .stderr(!program.tty)
            .tty(program.tty);
        let mut process =
            api.exec(pod, &program.command, &params).await.map_err(self.could_not(what))?;
        let _raw = if program.tty { Raw::enter() } else { None };
        let (sender, mut pieces) = mpsc::channel(PIECES_MAX);
        if let Some(stdout) = process.stdout() {
            tokio::spawn(listen(stdout, sender.clone(), ProgramOutput::Out));
        }
        if let Some(stderr) = process.stderr() {
            tokio::spawn(listen(stderr, sender.clone(), ProgramOutput::Err));
        }
        drop(sender);
        let copying = process.stdin().map(|stdin| tokio::spawn(copy_stdin(stdin)));
        let resizing = program.tty.then(|| follow_size(&mut process)).flatten();
        let status = process.take_status();
        let mut ending = pin!(async {
            match status {
                Some(status) => status.await,
                None => None,
            }
        });
        let (mut ended, mut heard) = (None, false);
        loop {
            let said = match &ended {
                None => tokio::select! {
                    biased;
                    said = pieces.recv() => said,
                    status = &mut ending => {
                        ended = Some(status);
                        continue;
                    }
                },
                // The cluster sends the exit code after all output, and may leave the connection open.
                Some(_) => timeout(LAST_OUTPUT_WAIT_MAX, pieces.recv()).await.unwrap_or(None),
            };
            let Some(said) = said else { break };
            heard = true;
            tell(said)?;
        }
        let status = match ended {
            Some(status) => status,
            None => ending.await,
        };
        copying.inspect(|task| task.abort());
        resizing.inspect(|task| task.abort());
        match status {
            Some(status) => {
                // Convert the API's type to that of its errors.
                let status = serde_json::to_value(status).and_then(serde_json::from_value);
                let status: Status =
                    status.map_err(|error| self.could_not(what)(kube::Error::SerdeError(error)))?;
                let code = exit_code(&status);
                if !heard && matches!(code, Some(NOT_THERE | NOT_STARTED)) {
                    // It is the only one who knows why.
                    let why = format!("cannot {}: {}\n", what(), status.message.trim());
                    tell(ProgramOutput::Err(why.into()))?;
                }
                code.ok_or_else(|| self.could_not(what)(kube::Error::Api(Box::new(status))).into())
            }
            None => Err(ClusterError::gone(self.named(), what(), "the connection broke").into()),
        }
    }

    /// Runs a program in a container of a pod without input or output.
    ///
    /// # Errors
    /// [`ClusterError`] if the pod is not running.
    pub async fn run_unheard(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        command: &[&str],
    ) -> Result<(), ClusterError> {
        let what = || format!("run {} in {pod}", command.join(" "));
        let api: Api<Pod> = Api::namespaced(self.client(), namespace);
        // At least one stream has to be open.
        let params = AttachParams::default().container(container).stdout(true).stderr(false);
        let mut process =
            api.exec(pod, command.iter().copied(), &params).await.map_err(self.could_not(what))?;
        if let Some(mut stdout) = process.stdout() {
            let _unheard = tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await;
        }
        Ok(())
    }
}

async fn listen(
    mut from: impl AsyncRead + Unpin,
    sender: mpsc::Sender<ProgramOutput>,
    piece: fn(bytes::Bytes) -> ProgramOutput,
) {
    let mut bytes = vec![0; PIECE_BYTES_MAX];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if sender.send(piece(bytes::Bytes::copy_from_slice(&bytes[..count]))).await.is_err() {
            return;
        }
    }
}

/// Returns the exit code in the cluster's status; `None` if it has none.
fn exit_code(status: &Status) -> Option<i64> {
    if status.is_success() {
        return Some(0);
    }
    let causes = status.details.as_ref().map(|details| details.causes.as_slice());
    let reported = causes.into_iter().flatten().find(|cause| cause.reason == EXIT_CODE);
    if let Some(code) = reported.and_then(|cause| cause.message.parse().ok()) {
        return Some(code);
    }
    let says = |words: &[&str]| words.iter().any(|word| status.message.contains(word));
    if says(&["no such file or directory", "executable file not found"]) {
        return Some(NOT_THERE);
    }
    says(&["permission denied", "exec format error"]).then_some(NOT_STARTED)
}

/// Keeps the program's terminal as large as ours.
fn follow_size(process: &mut AttachedProcess) -> Option<tokio::task::JoinHandle<()>> {
    use futures_util::SinkExt;
    let mut sizes = process.terminal_size()?;
    Some(tokio::spawn(async move {
        let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
        loop {
            if let Ok(size) = tcgetwinsize(std::io::stdout()) {
                let size = TerminalSize { height: size.ws_row, width: size.ws_col };
                if sizes.send(size).await.is_err() {
                    return;
                }
            }
            changes.recv().await;
        }
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code(status: serde_json::Value) -> Option<i64> {
        exit_code(&serde_json::from_value(status).unwrap())
    }

    #[test]
    fn the_program_s_exit_code_differs_from_an_error_of_the_cluster() {
        assert_eq!(code(json!({"status": "Success"})), Some(0));
        let ended = json!({
            "status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated",
            "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
        });
        assert_eq!(code(ended), Some(3));
        let missing = json!({"status": "Failure", "reason": "InternalError", "message":
            "exec: \"/nothing\": stat /nothing: no such file or directory: unknown"});
        assert_eq!(code(missing), Some(NOT_THERE));
        assert_eq!(code(json!({"status": "Failure", "message": "timed out"})), None);
    }
}
