//! Runs cargo as a child that ends with this process.

pub(crate) mod output;

use std::{
    cell::RefCell,
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
};

use self::output::{CargoOutput, Listener, Step};
use crate::error::{CliError, Result};

/// A process and its children, ended when dropped. Cargo leaves nothing incomplete when it is killed.
#[derive(Debug)]
struct Group {
    child: Child,
    leader: Option<Pid>,
}

impl Group {
    fn start(command: &mut Command) -> std::io::Result<Self> {
        // In a process group of its own, so that the compilers are killed, too.
        let child = command.stdin(Stdio::null()).process_group(0).kill_on_drop(true).spawn()?;
        let leader = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        Ok(Self { child, leader })
    }

    async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.leader = None;
        Ok(status)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            // It may have ended meanwhile.
            let _gone = kill_process_group(leader, Signal::TERM);
        }
    }
}

/// Compiles, passes the progress to `tell`, and returns whether it succeeded, with cargo's messages.
///
/// # Errors
/// [`CliError::Io`] if it can't be run.
pub(crate) async fn compile(
    command: &mut Command,
    tell: impl Fn(Step),
) -> Result<(bool, CargoOutput)> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut group = Group::start(command).map_err(CliError::io(|| "run cargo".into()))?;
    let (stdout, stderr) = (group.child.stdout.take(), group.child.stderr.take());
    let listener = RefCell::new(Listener::new(tell));
    let (out, err) = tokio::join!(
        hear(stdout, |bytes| listener.borrow_mut().hear_stdout(bytes)),
        hear(stderr, |bytes| listener.borrow_mut().hear_stderr(bytes)),
    );
    out.and(err).map_err(CliError::io(|| "read the output of cargo".into()))?;
    let status = group.wait().await.map_err(CliError::io(|| "wait for cargo".into()))?;
    Ok((status.success(), listener.into_inner().end()))
}

async fn hear(
    pipe: Option<impl AsyncRead + Unpin>,
    mut hear: impl FnMut(&[u8]),
) -> std::io::Result<()> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match pipe.read(&mut buffer).await? {
            0 => return Ok(()),
            length => hear(&buffer[..length]),
        }
    }
}

/// Runs a command, and returns its exit status, stdout and stderr.
///
/// # Errors
/// [`CliError::Io`] if it can't be run.
pub(crate) async fn ask(command: &mut Command) -> Result<(bool, Vec<u8>, String)> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut group = Group::start(command).map_err(CliError::io(|| format!("run {name}")))?;
    let (stdout, stderr) = (group.child.stdout.take(), group.child.stderr.take());
    let (out, err) = tokio::join!(all(stdout), all(stderr));
    let status = group.wait().await.map_err(CliError::io(|| format!("wait for {name}")))?;
    let read = || format!("read the output of {name}");
    let err = String::from_utf8_lossy(&err.map_err(CliError::io(read))?).trim().to_owned();
    Ok((status.success(), out.map_err(CliError::io(read))?, err))
}

async fn all(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _length = pipe.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[tokio::test]
    async fn what_was_started_ends_with_its_group() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", fifo.display());
        let mut command = Command::new("sh");
        let group = Group::start(command.args(["-c", &script])).unwrap();
        let pid = loop {
            match std::fs::read_to_string(&fifo) {
                Ok(text) if text.ends_with('\n') => break text.trim().to_owned(),
                _ => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
            }
        };
        drop(group);
        let stat = PathBuf::from(format!("/proc/{pid}/stat"));
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
}
