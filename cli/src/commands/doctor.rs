mod clusters;
mod containers;

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
};

use clap::Args;
use manifests::quantities::size;
use serde::Serialize;

use crate::{
    config::{PORT_DEFAULT, Runtime},
    error::{CliError, Result},
    output::{Output, Style},
    process,
    state::Environment,
};

/// The least that the embedded environment needs: its databases, logs and some room.
const DISK_FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// Below this it runs, but not for long under load.
const DISK_FREE_BYTES_GOOD: u64 = 1024 * 1024 * 1024;
/// The files and sockets that a busy environment has open.
const OPEN_FILES_GOOD: u64 = 1024;
/// Several times the memory of an idle environment.
const MEMORY_BYTES_GOOD: u64 = 256 * 1024 * 1024;

/// Check this machine for each runtime: what it has, what it lacks and how to get it
#[derive(Debug, Args)]
#[command(after_help = "Exit code 7 if the embedded runtime can't run here.")]
pub(crate) struct DoctorArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// The result of a check, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    Poor,
    Lacking,
}

#[derive(Debug, Serialize)]
struct Check {
    runtime: Runtime,
    what: &'static str,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    schema_version: u32,
    /// The runtimes that can run here.
    able: Vec<Runtime>,
    checks: Vec<Check>,
}

pub(crate) async fn run(
    args: DoctorArgs,
    environment: Result<Environment>,
    output: &Output,
) -> Result<()> {
    let mut checks = match &environment {
        Ok(environment) => vec![state_folder(environment), disk_space(environment)],
        Err(error) => {
            let hint = error.hint().unwrap_or_default();
            let (what, verdict) = ("state folder", Verdict::Lacking);
            vec![check(Runtime::Embedded, what, verdict, error.to_string(), &hint)]
        }
    };
    checks.extend([memory(), open_files(), port(environment.ok().as_ref())]);
    checks.extend(containers::checks().await);
    checks.extend(clusters::checks().await);
    let lacks = |runtime| {
        checks.iter().any(|check| check.runtime == runtime && check.verdict == Verdict::Lacking)
    };
    let able = Runtime::ALL.into_iter().filter(|runtime| !lacks(*runtime)).collect();
    let report = Report { schema_version: 1, able, checks };
    if args.json {
        output.json(&report)?;
    } else {
        show(&report, output)?;
    }
    let first_lack =
        |check: &&Check| check.runtime == Runtime::Embedded && check.verdict == Verdict::Lacking;
    match report.checks.iter().find(first_lack) {
        Some(check) => Err(CliError::Lacking {
            what: format!(
                "the embedded environment can't run here: {}: {}",
                check.what, check.found
            ),
            hint: check.hint.clone().unwrap_or_default(),
        }),
        None => Ok(()),
    }
}

fn show(report: &Report, output: &Output) -> Result<()> {
    for runtime in Runtime::ALL {
        let able = if report.able.contains(&runtime) { "can run here" } else { "can't run here" };
        output.data(format_args!("{}: {able}", output.style(Style::Bold, runtime)))?;
        for check in report.checks.iter().filter(|check| check.runtime == runtime) {
            let mark = match check.verdict {
                Verdict::Good => output.style(Style::Green, "has  "),
                Verdict::Poor => output.style(Style::Yellow, "poor "),
                Verdict::Lacking => output.style(Style::Red, "lacks"),
            };
            output.data(format_args!("  {mark}  {}: {}", check.what, check.found))?;
            if let Some(hint) = &check.hint {
                output
                    .data(format_args!("         {} {hint}", output.style(Style::Cyan, "hint:")))?;
            }
        }
    }
    Ok(())
}

fn check(
    runtime: Runtime,
    what: &'static str,
    verdict: Verdict,
    found: impl Into<String>,
    hint: &str,
) -> Check {
    let hint = (verdict > Verdict::Good && !hint.is_empty()).then(|| hint.to_owned());
    Check { runtime, what, verdict, found: found.into(), hint }
}

/// Returns the path itself, or its nearest parent that exists.
fn nearest_existing(folder: &Path) -> &Path {
    folder.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"))
}

fn state_folder(environment: &Environment) -> Check {
    let (folder, hint) =
        (environment.folder(), "make it writable, or set XDG_STATE_HOME to a folder that is");
    let probe = nearest_existing(folder).join(format!(".chefcito-doctor-{}", std::process::id()));
    let write = || {
        fs::File::create_new(&probe)?.write_all(b"a test of chefcito doctor")?;
        fs::remove_file(&probe)
    };
    let (verdict, found) = match write() {
        Ok(()) => (Verdict::Good, format!("{} can be written", folder.display())),
        Err(error) => (Verdict::Lacking, format!("{} can't be written: {error}", folder.display())),
    };
    check(Runtime::Embedded, "state folder", verdict, found, hint)
}

fn disk_space(environment: &Environment) -> Check {
    let (what, hint) =
        ("disk space", "free some space, or set XDG_STATE_HOME to a folder on another disk");
    let existing = nearest_existing(environment.folder());
    match rustix::fs::statvfs(existing) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let verdict = match free {
                0..DISK_FREE_BYTES_MIN => Verdict::Lacking,
                DISK_FREE_BYTES_MIN..DISK_FREE_BYTES_GOOD => Verdict::Poor,
                DISK_FREE_BYTES_GOOD.. => Verdict::Good,
            };
            check(
                Runtime::Embedded,
                what,
                verdict,
                format!("{} free at {}", size(free), existing.display()),
                hint,
            )
        }
        Err(error) => {
            check(Runtime::Embedded, what, Verdict::Poor, format!("unknown: {error}"), "")
        }
    }
}

fn memory() -> Check {
    let available = fs::read_to_string("/proc/meminfo").ok().and_then(|table| {
        let line = table.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?.trim();
        Some(line.strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
    });
    match available {
        Some(bytes) if bytes < MEMORY_BYTES_GOOD => {
            check(Runtime::Embedded, "memory", Verdict::Poor, size(bytes), "close other programs")
        }
        Some(bytes) => check(
            Runtime::Embedded,
            "memory",
            Verdict::Good,
            format!("{} available", size(bytes)),
            "",
        ),
        None => {
            check(Runtime::Embedded, "memory", Verdict::Good, "this system does not report it", "")
        }
    }
}

fn open_files() -> Check {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let verdict = if limit.is_some_and(|limit| limit < OPEN_FILES_GOOD) {
        Verdict::Poor
    } else {
        Verdict::Good
    };
    let found = limit.map_or_else(|| "unlimited".into(), |limit| limit.to_string());
    check(Runtime::Embedded, "open files", verdict, found, "raise the limit with `ulimit -n 4096`")
}

fn port(environment: Option<&Environment>) -> Check {
    let ours = environment.is_some_and(|environment| {
        environment.address().is_ok_and(|address| address.port() == PORT_DEFAULT)
    });
    let (verdict, found) = match process::port_holder(PORT_DEFAULT) {
        Some(_) if ours => (Verdict::Good, format!("{PORT_DEFAULT} is this environment's")),
        Some(holder) => (Verdict::Poor, format!("{PORT_DEFAULT} is taken by {holder}")),
        // `/proc` shows only the processes of this user.
        None if process::is_taken(PORT_DEFAULT) => {
            (Verdict::Poor, format!("{PORT_DEFAULT} is taken by a process of another user"))
        }
        None => (Verdict::Good, format!("{PORT_DEFAULT} is free")),
    };
    check(
        Runtime::Embedded,
        "port",
        verdict,
        found,
        "`chefcito up` takes the next free port, or the one of `--port`",
    )
}

/// Returns the path of a program, if it is on PATH.
fn program(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).map(|folder| folder.join(name)).find(|file| file.is_file())
}
