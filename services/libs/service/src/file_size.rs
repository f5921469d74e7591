//! A limit on the size of files.

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;

/// Lets a write beyond the process's limit of file sizes (`RLIMIT_FSIZE`) fail with an error, where the system would end the
/// process. The handler that this installs stays for as long as the process lives, whether somebody listens or not.
pub(crate) fn outlast_limit() {
    if let Err(error) = signal(SignalKind::from_raw(Signal::XFSZ.as_raw())) {
        warn!("A file that grows beyond its limit will end the process: {error}");
    }
}
