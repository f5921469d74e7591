//! `docker compose` with the same file.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::stage::{Environment, free_port};

/// The variable with the program.
const PROGRAM: &str = "CHEFCITO_TEST_COMPOSE";
/// The file that both use.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/compose.yaml");

/// The program.
pub(crate) struct Rival {
    command: Vec<String>,
    version: String,
}

impl Rival {
    /// Finds it where `CHEFCITO_TEST_COMPOSE` says, or as the plugin of `docker`.
    pub(crate) fn find() -> Option<Self> {
        let named = std::env::var(PROGRAM).ok().map(|program| vec![program]);
        let plugin = ["docker", "compose"].map(String::from).to_vec();
        named.into_iter().chain([plugin]).find_map(|command| {
            let asked = start(&command).args(["version", "--short"]).output().ok()?;
            let version = String::from_utf8(asked.stdout).ok()?.trim().to_owned();
            (asked.status.success() && !version.is_empty()).then_some(Self { command, version })
        })
    }

    /// Returns its version.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Brings the environment up on new volumes, again, and down; returns how long each took. The environment must be
    /// down.
    pub(crate) fn up_again_down(&self, environment: &Environment) -> Result<[Duration; 3]> {
        let project = format!("{}-rival", environment.name());
        let port = free_port()?.to_string();
        let run = |args: &[&str]| -> Result<Duration> {
            let mut command = start(&self.command);
            command
                .args(["--project-name", &project, "--file", FILE])
                .args(args)
                .env("CHEFCITO_PORT", &port)
                .env("CHEFCITO_HEALTH_INTERVAL", "1s")
                .stdin(Stdio::null());
            let start = Instant::now();
            let ran = command.output()?;
            let words = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
            ensure!(ran.status.success(), "docker compose {}: {words}", args.join(" "));
            Ok(start.elapsed())
        };
        let up = ["up", "--detach", "--wait"];
        let took = run(&up).and_then(|cold| Ok([cold, run(&up)?, run(&["down"])?]));
        // Nothing stays, whatever happened.
        run(&["down", "--volumes", "--remove-orphans"])?;
        took
    }

    /// Returns the command that shows all log lines of a project's containers.
    pub(crate) fn logs(&self, project: &str) -> Command {
        let mut command = start(&self.command);
        command.args(["--project-name", project, "--file", FILE, "logs", "--no-color"]);
        command
    }
}

fn start(command: &[String]) -> Command {
    let (program, args) = command
        .split_first()
        .map_or(("docker-compose", &[][..]), |(first, rest)| (first.as_str(), rest));
    let mut command = Command::new(if Path::new(program).exists() {
        PathBuf::from(program)
    } else {
        program.into()
    });
    command.args(args);
    command
}
