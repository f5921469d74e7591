//! What is asked for on the command line, and how it is called.

use std::{
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

/// Returns the program, in an environment of its own.
pub(crate) fn bootstrap(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootstrap"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Returns `bootstrap secrets`, run as its container does: as a root that may give files away and nothing else.
pub(crate) fn secrets(folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set", "-all,+chown", "--inh-caps", "-all", "--no-new-privs", "--"])
        .arg(env!("CARGO_BIN_EXE_bootstrap"))
        .args(["secrets".as_ref(), folder.as_os_str()])
        .env_clear()
        .stdin(Stdio::null());
    command
}

/// Lets a command run as another user, with nothing else.
pub(crate) fn run_as(uid: u32, program: &str, argument: &Path) -> Output {
    Command::new(program).arg(argument).uid(uid).gid(uid).output().unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_version_is_said() {
    let output = bootstrap(&["--version"]).output().unwrap();
    let version = format!("bootstrap {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), version);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_nobody_knows_is_a_usage_error() {
    for arguments in [&[][..], &["secret"], &["secrets"], &["roles", "--within"]] {
        let output = bootstrap(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains("Usage: bootstrap secrets FOLDER"));
    }
}
