//! A PostgreSQL server of one test's own, which can be stopped, killed and started again.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{CERTIFICATE, KEY, TestIdentity, free_port, lacking, on_server};

/// How long a server may take to start or to stop.
const WAIT_MAX: Duration = Duration::from_secs(60);
const PASSWORD: &str = "throw-away";

/// A server that asks for passwords (SCRAM), at a port of its own. It is gone with this.
#[derive(Debug)]
pub struct TestServer {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    user: Option<(u32, u32)>,
    running: Option<Child>,
    has_tls: bool,
}

/// Starts a server; `None`, said in one line, where PostgreSQL is not installed.
///
/// # Panics
/// If it is installed and does not start.
#[must_use]
pub fn server() -> Option<TestServer> {
    let Some(programs) = programs() else {
        lacking("PostgreSQL's programs: initdb and postgres");
        return None;
    };
    // A socket's path must be short.
    let folder = PathBuf::from(format!("/tmp/chefcito-{}", uuid::Uuid::now_v7().simple()));
    fs::create_dir(&folder).expect("a folder can be made");
    let user = other_user();
    if let Some((uid, gid)) = user {
        chown(&folder, Some(uid), Some(gid)).expect("root gives a folder away");
    }
    let port = free_port();
    let mut server = TestServer { programs, folder, port, user, running: None, has_tls: false };
    server.init();
    server.start();
    Some(server)
}

impl TestServer {
    /// Returns the connection string of its superuser.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres", PASSWORD, "postgres")
    }

    /// Returns the connection string of somebody else.
    #[must_use]
    pub fn url_of(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@{}/{database}", self.address())
    }

    /// Returns where it listens: a host and a port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Has it run SQL as its superuser.
    ///
    /// # Errors
    /// What it said, if it refused.
    pub fn run(&self, database: &str, sql: &str) -> Result<(), String> {
        on_server(self.url_of("postgres", PASSWORD, database), sql.to_owned())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn init(&self) {
        let password = self.folder.join("password");
        fs::write(&password, PASSWORD).expect("a file can be written");
        let made = self
            .command("initdb")
            .args(["--auth=scram-sha-256", "--username=postgres", "--no-sync", "--encoding=UTF8"])
            .args(["--locale=C", "--pwfile=password", "--pgdata=data"])
            .stderr(Stdio::piped())
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    }

    /// Starts it, if it does not run, and waits until it answers.
    ///
    /// # Panics
    /// If it does not within a minute.
    pub fn start(&mut self) {
        let began = Instant::now();
        while !self.answers() {
            assert!(began.elapsed() < WAIT_MAX, "PostgreSQL does not start: {}", self.log());
            // A server that was killed leaves processes that notice it a little later, and until then none can start.
            let ended =
                self.running.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if ended {
                self.running = Some(self.spawn());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts it again, as one that also speaks TLS.
    ///
    /// # Panics
    /// If it does not within a minute.
    pub fn restart_with_tls(&mut self, identity: &TestIdentity) {
        self.stop();
        for (name, text) in [(CERTIFICATE, &identity.certificate), (KEY, &identity.key)] {
            let path = self.folder.join(name);
            fs::write(&path, text).expect("a file can be written");
            // It takes no key that others could read.
            let private = fs::set_permissions(&path, fs::Permissions::from_mode(0o600));
            private.expect("a file can be kept from others");
            if let Some((uid, gid)) = self.user {
                chown(&path, Some(uid), Some(gid)).expect("root gives a file away");
            }
        }
        self.has_tls = true;
        self.start();
    }

    fn spawn(&self) -> Child {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .expect("a file can be opened");
        let file = |name| self.folder.join(name).display().to_string();
        let ssl = if self.has_tls { "ssl=on" } else { "ssl=off" };
        self.command("postgres")
            .args(["-c", ssl, "-c", &format!("ssl_cert_file={}", file(CERTIFICATE))])
            .args(["-c", &format!("ssl_key_file={}", file(KEY))])
            .args(["-D", "data", "-p", &self.port.to_string(), "-k", "."])
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=32MB"])
            // Neither a crash of the server nor its killing loses what the system has; only power would.
            .args(["-c", "fsync=off"])
            .stderr(log)
            .spawn()
            .expect("postgres runs")
    }

    fn answers(&self) -> bool {
        self.running.is_some() && on_server(self.url(), "SELECT 1".into()).is_ok()
    }

    /// Stops it as an administrator does: connections are ended.
    pub fn stop(&mut self) {
        self.end(Signal::INT);
    }

    /// Kills it, as it deserves at the worst moment.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    fn end(&mut self, signal: Signal) {
        if let Some(mut child) = self.running.take() {
            let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            let _ = id.map(|id| kill_process(id, signal));
            let _ = child.wait();
        }
    }

    /// Returns what it logged.
    #[must_use]
    pub fn log(&self) -> String {
        let mut text = String::new();
        let read = fs::File::open(self.folder.join("log"))
            .and_then(|mut log| log.read_to_string(&mut text));
        read.map_or_else(|error| error.to_string(), |_| text)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.kill();
        // Its processes notice that it is gone, and may still write.
        let began = Instant::now();
        while fs::remove_dir_all(&self.folder)
            .is_err_and(|error| error.kind() != io::ErrorKind::NotFound)
            && began.elapsed() < Duration::from_secs(5)
        {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Returns where PostgreSQL's programs are: those of the newest version.
fn programs() -> Option<PathBuf> {
    let has_all =
        |folder: &Path| ["initdb", "postgres"].iter().all(|one| folder.join(one).exists());
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.into_iter().rev().chain(std::env::split_paths(&path)).find(|folder| has_all(folder))
}

/// Returns the user `postgres`, where this one is root, as whom no server runs.
fn other_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
