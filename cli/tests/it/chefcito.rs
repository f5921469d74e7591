//! Runs the real binary: empty home, fixed width, no colour, times in UTC.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long a step of a test may take: far more than it should.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An empty home of its own. Takes down what still runs in it at its end.
pub(crate) struct Home {
    folder: TempDir,
    engine: String,
}

/// The user may have an environment of this name on the engine.
const NO_ENGINE: &str = "unix:///nowhere/docker.sock";

impl Home {
    pub(crate) fn new() -> Self {
        Self::at("chefcito-home-", NO_ENGINE.into())
    }

    /// A home whose path has characters that paths may have.
    pub(crate) fn with_a_space_in_its_path() -> Self {
        Self::at("the chefcito's hom\u{e9} ", NO_ENGINE.into())
    }

    /// A home on a machine with a Docker engine; `None`, with a printed line, if none answers.
    pub(crate) fn with_engine() -> Option<Self> {
        let mut home = Self::new();
        home.find_engine().then_some(home)
    }

    /// Gives it this machine's Docker engine; prints a line if that does not answer.
    pub(crate) fn find_engine(&mut self) -> bool {
        let asked = Command::new("docker").arg("version").output();
        if !asked.is_ok_and(|asked| asked.status.success()) {
            test_support::lacking("a Docker engine that answers, and the command docker");
            return false;
        }
        let engine = std::env::var("DOCKER_HOST");
        self.engine = engine.unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
        true
    }

    /// Adds a program to its path: a script in place of one that this machine may not have.
    pub(crate) fn put_program(&self, name: &str, script: &str) {
        let folder = self.path().join("bin");
        fs::create_dir_all(&folder).unwrap();
        let program = folder.join(name);
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn at(prefix: &str, engine: String) -> Self {
        Self { folder: tempfile::Builder::new().prefix(prefix).tempdir().unwrap(), engine }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join(".local/state/chefcito")
    }

    /// The state folder of the default environment.
    pub(crate) fn environment(&self) -> PathBuf {
        self.state().join("chefcito")
    }

    /// The process id in the lock file of the embedded environment.
    pub(crate) fn embedded_pid(&self) -> i32 {
        fs::read_to_string(self.environment().join("environment.lock"))
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chefcito"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", format!("{}/bin:/usr/bin:/bin", self.folder.path().display()))
            .env("COLUMNS", "100")
            .env("TZ", "UTC0")
            .env("DOCKER_HOST", &self.engine)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.ran(args, self.command(args).output().unwrap())
    }

    /// Runs a command that must succeed.
    pub(crate) fn must(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, Some(0), "{ran}");
        ran
    }

    /// Runs a command with a limit, in the syntax of `ulimit`: `-v 1048576`.
    pub(crate) fn run_with_limit(&self, limit: &str, args: &[&str]) -> Ran {
        let plain = self.command(args);
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")])
            .arg(plain.get_program())
            .args(plain.get_args())
            .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .current_dir(self.folder.path());
        self.ran(args, command.output().unwrap())
    }

    /// Returns the same command for a user whom file permissions apply to: root, too, unless it may override them.
    pub(crate) fn without_override(&self, plain: &Command) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--bounding-set", "-dac_override,-dac_read_search", "--"])
            .arg(plain.get_program())
            .args(plain.get_args())
            .env_clear()
            .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .current_dir(self.folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts a command line on a terminal of this kind; `None` where there is no `script`. What is written to its stdin is typed.
    pub(crate) fn on_terminal(&self, line: &str, kind: &str) -> Option<Child> {
        let plain = self.command(&[]);
        let mut terminal = Command::new("script");
        terminal
            .args(["--quiet", "--return", "--command", line, "/dev/null"])
            .env_clear()
            .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env("TERM", kind)
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let started = terminal.spawn().ok();
        if started.is_none() {
            test_support::lacking("the command `script`");
        }
        started
    }

    /// Waits until the board of the environment that `args` name has this many orders in a state. It learns of them after their
    /// guests.
    pub(crate) fn wait_for_orders(&self, args: &[&str], state: &str, count: u64) {
        wait_until(&format!("{count} orders are {state} on the board"), || {
            let status = self.must(&[&["status", "--json"], args].concat()).stdout;
            serde_json::from_str::<serde_json::Value>(&status).unwrap()["orders"][state] == count
        });
    }

    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }

    pub(crate) fn finish(&self, args: &[&str], child: Child) -> Ran {
        self.ran(args, child.wait_with_output().unwrap())
    }

    fn ran(&self, args: &[&str], output: Output) -> Ran {
        let home = self.folder.path().to_str().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(home, "HOME");
        Ran {
            command: args.join(" "),
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let Ok(environments) = fs::read_dir(self.state()) else { return };
        for environment in environments.flatten() {
            let name = environment.file_name();
            let _down =
                self.command(&["down", "--volumes", "--name", name.to_str().unwrap()]).output();
        }
    }
}

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) command: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl std::fmt::Display for Ran {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(formatter, "$ chefcito {}", self.command)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            for line in text.lines() {
                writeln!(formatter, "{name}: {line}")?;
            }
        }
        match self.code {
            Some(code) => write!(formatter, "exit code {code}"),
            None => write!(formatter, "ended by a signal"),
        }
    }
}

/// Waits until a condition holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Sends a signal, as `kill` does.
pub(crate) fn kill(signal: &str, pid: i32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// Returns whether a process lives; a zombie does not.
pub(crate) fn lives(pid: i32) -> bool {
    fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).is_ok_and(|stat| {
        !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
    })
}
