//! Programs that run in containers and pods with our stdin, stdout, stderr and terminal.

use std::io::{self, IsTerminal, Read};

use bytes::Bytes;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};

/// A program to run.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its file and its arguments.
    pub command: Vec<String>,
    /// Whether it gets our terminal.
    pub tty: bool,
}

/// Output of a program.
#[derive(Clone, Debug)]
pub enum ProgramOutput {
    /// On stdout, or on its terminal.
    Out(Bytes),
    /// On stderr.
    Err(Bytes),
}

impl Program {
    /// Returns a program that gets our terminal, if there is one.
    pub fn here(command: Vec<String>) -> Self {
        Self { command, tty: io::stdin().is_terminal() && io::stdout().is_terminal() }
    }
}

/// Copies our stdin to the program. A blocking read can't be cancelled, so a thread of its own reads, which ends with
/// the process.
pub async fn copy_stdin(mut input: impl AsyncWrite + Send + Unpin) {
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

/// Our terminal in raw mode, so that the program gets every key.
#[derive(Debug)]
pub struct Raw(Termios);

impl Raw {
    /// Puts the terminal into raw mode; `None` without a terminal.
    pub fn enter() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The terminal may be closed by then.
        let _closed = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
