//! What is asked for on the command line, and how it is called.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use contracts::services::TABLE;

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

#[test]
fn roles_that_wait_end_when_they_are_told_to() {
    for (signal, code) in [("-TERM", 143), ("-INT", 130)] {
        let passwords = TABLE.iter().filter_map(|program| program.role);
        let passwords: Vec<String> = passwords.map(|role| format!(r#""{role}":"x""#)).collect();
        let mut roles = bootstrap(&["roles"])
            // Nothing listens there.
            .env("CHEFCITO_ADMIN_DATABASE_URL", "postgres://postgres:x@127.0.0.1:1/postgres")
            .env("CHEFCITO_ROLE_PASSWORDS", format!("{{{}}}", passwords.join(",")))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(roles.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("Waits for PostgreSQL"), "{line}");
        let killed = Command::new("kill").args([signal, &roles.id().to_string()]).status().unwrap();
        assert!(killed.success());
        // With a handler of its own: the first process of a container is not ended without.
        assert_eq!(roles.wait().unwrap().code(), Some(code), "{signal}");
    }
}
