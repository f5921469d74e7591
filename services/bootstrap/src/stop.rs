//! Ends the process when it is told to.

use std::{io, process, thread};

use tokio::signal::unix::{SignalKind, signal};

/// Ends the process on SIGTERM and SIGINT, from now on. The kernel delivers neither to the first process of a container
/// that has no handler for it, so that the engine would have to wait and kill it. Ending at any moment is safe: what is
/// made is made in steps that can be repeated.
///
/// # Errors
/// The system's error if a handler can't be installed.
pub(crate) fn end_on_signals() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut terminate, mut interrupt) = {
        let _entered = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let wait = move || {
        let code = runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => 143,
                _ = interrupt.recv() => 130,
            }
        });
        process::exit(code)
    };
    thread::Builder::new().name("stop".into()).spawn(wait).map(drop)
}
