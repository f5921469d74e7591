//! Processes and ports of this machine.

use std::{
    fmt, fs, io,
    net::{Ipv4Addr, TcpListener},
};

use rustix::process::{Pid, Signal, kill_process};

/// A process that listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The process id.
    pub(crate) pid: u32,
    /// The name of its program.
    pub(crate) program: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (process {})", self.program, self.pid)
    }
}

/// Returns the process that listens on a port of this machine; `None` if `/proc` does not show it, as for processes of
/// other users.
pub(crate) fn port_holder(port: u16) -> Option<Holder> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let holds = fs::read_dir(process.path().join("fd")).ok()?.flatten().any(|descriptor| {
            fs::read_link(descriptor.path()).is_ok_and(|target| {
                inodes.iter().any(|inode| target.to_str() == Some(&format!("socket:[{inode}]")))
            })
        });
        holds.then(|| Holder { pid, program: program(pid) })
    })
}

/// Returns whether a process, of whatever user, listens on a loopback port.
pub(crate) fn is_taken(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

fn program(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .map_or_else(|_| "a program".into(), |name| name.trim().to_owned())
}

/// Returns the inodes of the sockets that listen on the port, from a table as `/proc/net/tcp` shows it.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let (_, local_port) = columns.get(1)?.rsplit_once(':')?;
            let listens =
                *columns.get(3)? == LISTEN && u16::from_str_radix(local_port, 16) == Ok(port);
            listens.then(|| columns.get(9).map(|inode| (*inode).to_owned())).flatten()
        })
        .collect()
}

/// Sends SIGTERM to a process. One that is gone already is not an error.
///
/// # Errors
/// If this user may not signal it.
pub(crate) fn terminate(pid: u32) -> io::Result<()> {
    send(pid, Signal::TERM)
}

/// Sends SIGKILL to a process. One that is gone already is not an error.
///
/// # Errors
/// If this user may not signal it.
pub(crate) fn kill(pid: u32) -> io::Result<()> {
    send(pid, Signal::KILL)
}

fn send(pid: u32, signal: Signal) -> io::Result<()> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    match kill_process(pid, signal) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        answer => Ok(answer?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder =
            port_holder(listener.local_addr().unwrap().port()).expect("this very process listens");
        assert_eq!(holder.pid, std::process::id());
    }
}
