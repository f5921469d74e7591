//! An environment to measure: real commands with a state folder of their own, taken down at the end in any case.

use std::{
    ffi::OsString,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use contracts::Ingredient;
use load::{self, Plan, Report, Tally, Target};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{figures::Figures, process::Process};

/// The stock of each ingredient if nothing shall be bought.
const PLENTY: u32 = 1_000_000;
/// How long an environment may take to become quiet.
const REST_MAX: Duration = Duration::from_secs(300);
/// How often an environment is asked whether it is quiet.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// An environment.
pub(crate) struct Environment {
    folder: TempDir,
    name: String,
    /// The program that runs it.
    binary: PathBuf,
}

impl Environment {
    /// Prepares an empty state folder.
    pub(crate) fn prepare() -> Result<Self> {
        Self::prepare_with(None)
    }

    /// Prepares an empty state folder for this program, or for another revision's.
    pub(crate) fn prepare_with(binary: Option<&Path>) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("chefcito-bench-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .context("no folder for an environment")?;
        // A unique name, so that no other environment has its schemas in a PostgreSQL.
        let binary = binary.unwrap_or(Path::new(env!("CARGO_BIN_EXE_chefcito"))).to_owned();
        Ok(Self { folder, name: format!("bench-{}", std::process::id()), binary })
    }

    /// Starts an environment in which cooking takes no time.
    pub(crate) async fn open(options: &[&str]) -> Result<Self> {
        let environment = Self::prepare()?;
        environment.start(options).await?;
        Ok(environment)
    }

    /// Starts a prepared environment, in which cooking takes no time.
    pub(crate) async fn start(&self, options: &[&str]) -> Result<()> {
        let up = [&["up", "--port", "0", "--cooking-time", "0s"], options].concat();
        self.run(&up).await.map(drop)
    }

    /// Starts an environment with plenty of every ingredient.
    pub(crate) async fn open_full(options: &[&str]) -> Result<Self> {
        let environment = Self::open(options).await?;
        environment.fill().await?;
        Ok(environment)
    }

    /// Books plenty of each ingredient.
    pub(crate) async fn fill(&self) -> Result<()> {
        let plenty = Ingredient::ALL.map(|ingredient| format!("{ingredient}={PLENTY}"));
        let mut args = vec!["seed"];
        args.extend(plenty.iter().flat_map(|set| ["--set", set.as_str()]));
        self.run(&args).await.map(drop)
    }

    /// Returns a command with this environment's variables, and none of the user's.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        let keep = ["PATH", "LANG", "DOCKER_HOST"]
            .into_iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)));
        command
            .args(args)
            .env_clear()
            .envs(keep)
            .env("HOME", self.folder.path())
            .env("XDG_STATE_HOME", self.folder.path())
            .env("CHEFCITO_NAME", &self.name)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command that must succeed; returns its stdout.
    pub(crate) async fn run(&self, args: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::from(self.command(args));
        let ran = command.kill_on_drop(true).output().await?;
        let words = || String::from_utf8_lossy(&ran.stderr).trim().to_owned();
        ensure!(ran.status.success(), "`chefcito {}`: {}", args.join(" "), words());
        Ok(String::from_utf8(ran.stdout)?)
    }

    /// Runs a command that must succeed, on this thread; returns how long it took.
    pub(crate) fn time(&self, args: &[&str]) -> Result<Duration> {
        let mut command = self.command(args);
        let start = Instant::now();
        let ran = command.output()?;
        let took = start.elapsed();
        let words = || String::from_utf8_lossy(&ran.stderr).trim().to_owned();
        ensure!(ran.status.success(), "`chefcito {}`: {}", args.join(" "), words());
        Ok(took)
    }

    /// Returns the folder of the environment.
    fn environment(&self) -> PathBuf {
        self.folder.path().join("chefcito").join(&self.name)
    }

    /// Returns the SQLite file of a service.
    pub(crate) fn database_of(&self, service: &str) -> PathBuf {
        self.environment().join("data").join(format!("{service}.sqlite"))
    }

    /// Returns a ledger's path.
    pub(crate) fn ledger(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("ledger-{number}"))
    }

    /// Returns its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    async fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.run(&["status", "--json"]).await?)?)
    }

    /// Returns the process id of the environment.
    pub(crate) async fn process(&self) -> Result<Process> {
        let pid = self.status().await?["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        pid.map(Process).context("the environment does not say which process it is")
    }

    /// Returns the target of the load, with the local admin key, which has no rate limit.
    pub(crate) async fn target(&self) -> Result<Target> {
        let address = self.status().await?["address"]
            .as_str()
            .and_then(|address| address.parse().ok())
            .context("the environment does not say where it is")?;
        let key = fs::read_to_string(self.environment().join("admin.key"))?;
        Ok(Target { address, key: key.trim().into() })
    }

    /// Runs a plan.
    pub(crate) async fn order(&self, plan: Plan) -> Result<Report> {
        order(plan, &self.target().await?).await
    }

    /// Waits until no order is in progress.
    pub(crate) async fn rest(&self) -> Result<()> {
        let since = Instant::now();
        loop {
            if self.status().await?["quiet"] == true {
                return Ok(());
            }
            ensure!(
                since.elapsed() < REST_MAX,
                "the environment did not come to rest in {REST_MAX:?}"
            );
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Audits the environment, and checks each order of the first ledgers. A broken invariant is a fault.
    pub(crate) async fn audit(&self, ledgers: usize, figures: &mut Figures) -> Result<()> {
        let files = (0..ledgers).map(|number| self.ledger(number).into_os_string());
        let mut args: Vec<OsString> = ["audit", "--timeout", "300s"].map(Into::into).into();
        args.extend(files.flat_map(|file| ["--ledger".into(), file]));
        let mut command = tokio::process::Command::from(self.command(&[]));
        let ran = command.args(args).kill_on_drop(true).output().await?;
        if !ran.status.success() {
            let words = [ran.stderr, ran.stdout].concat();
            figures.fault(format!("the audit: {}", String::from_utf8_lossy(&words).trim()));
        }
        Ok(())
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        // Also after an error or Ctrl-C; `down` itself reports what it can't take down.
        let mut down = self.command(&["down", "--volumes"]);
        let _unheard =
            down.stdout(Stdio::null()).stderr(Stdio::inherit()).args(["--quiet"]).status();
    }
}

/// Runs a plan; dropping the future stops the placing.
pub(crate) async fn order(plan: Plan, target: &Target) -> Result<Report> {
    let stop = CancellationToken::new();
    let _stop_at_end = stop.clone().drop_guard();
    Ok(load::run(plan, target, Arc::new(Tally::default()), stop).await?)
}

/// Returns a port that is free now.
pub(crate) fn free_port() -> Result<u16> {
    let free = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(free.local_addr()?.port())
}
