//! All services as processes of their own, with a PostgreSQL and a Redis of theirs, as containers run them.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        LazyLock, OnceLock,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{TestAuthority, TestRedis, TestServer, redis, redis_with_tls, server};
use contracts::services::{ALL, Call, GATEWAY, GRPC_PORT, KITCHEN, MARKET, MARKET_SIM, Program};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use uuid::Uuid;

use crate::guest::{Guest, until};

const TOKEN: &str = "a-service-token-for-tests";
const PEPPER: &str = "a pepper for tests";
const ADMIN_KEY: &str = "cfk_local_0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdef";
/// How long a process may take to end.
const END_MAX: Duration = Duration::from_secs(30);

/// The file with the URL of Redis, as containers have it.
const REDIS_URL: &str = "redis.url";

/// An environment of processes. All of it ends with this.
#[derive(Debug)]
pub struct ProcessCluster {
    /// The database of all.
    pub postgres: TestServer,
    /// The bus.
    pub redis: TestRedis,
    processes: Vec<Process>,
    folder: TempDir,
    passwords: BTreeMap<&'static str, String>,
    replicas: usize,
    settings: BTreeMap<&'static str, String>,
    /// Files that take the processes of a service before its program runs.
    cgroups: BTreeMap<&'static str, PathBuf>,
    /// The certificates that all trust, if they speak TLS to PostgreSQL and Redis.
    certificates: Option<String>,
}

/// One replica of a service.
#[derive(Debug)]
pub struct Process {
    service: &'static str,
    replica: usize,
    port: u16,
    grpc_port: u16,
    child: Option<Child>,
}

impl ProcessCluster {
    /// Starts so many replicas of each service, with other settings than usual; nothing where a part is lacking.
    pub async fn start(replicas: usize, settings: &[(&'static str, &str)]) -> Option<Self> {
        Some(Self::start_on(server()?, redis()?, None, replicas, settings))
    }

    /// Starts one replica of each service, all of which speak TLS to PostgreSQL and Redis; nothing where a part is lacking.
    pub async fn start_in_tls() -> Option<Self> {
        let (mut postgres, authority) = (server()?, TestAuthority::new());
        let identity = authority.issue(&["localhost"]);
        postgres.restart_with_tls(&identity);
        let redis = redis_with_tls(&identity)?;
        let certificates = Some(authority.pem().to_owned());
        Some(Self::start_on(postgres, redis, certificates, 1, &[]))
    }

    fn start_on(
        postgres: TestServer,
        redis: TestRedis,
        certificates: Option<String>,
        replicas: usize,
        settings: &[(&'static str, &str)],
    ) -> Self {
        let process = |service| {
            move |replica| Process {
                service,
                replica,
                port: free_port(),
                grpc_port: free_port(),
                child: None,
            }
        };
        let processes = ALL.into_iter().flat_map(|service| (0..replicas).map(process(service)));
        let mut apart = Self {
            postgres,
            redis,
            processes: processes.collect(),
            folder: tempfile::tempdir().unwrap(),
            passwords: ALL.map(|service| (service, Uuid::new_v4().to_string())).into(),
            replicas,
            settings: settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            cgroups: BTreeMap::new(),
            certificates,
        };
        fs::write(apart.folder.path().join(REDIS_URL), apart.redis_url() + "\n").unwrap();
        // All at once and roles last, as it may happen: who misses something waits.
        for service in ALL {
            apart.start_service(service);
        }
        apart.make_roles();
        apart
    }

    fn make_roles(&self) {
        let mut command = Command::new(binary("bootstrap"));
        command
            .arg("roles")
            .env_clear()
            .env("CHEFCITO_ADMIN_DATABASE_URL", self.reached(self.postgres.url()))
            .env("CHEFCITO_ROLE_PASSWORDS", serde_json::to_string(&self.passwords).unwrap());
        self.trust(&mut command);
        let roles = command.output().unwrap();
        assert!(roles.status.success(), "{}", String::from_utf8_lossy(&roles.stderr));
    }

    /// Returns a guest with the admin key at the door of a gateway.
    #[must_use]
    pub fn guest(&self, replica: usize) -> Guest {
        Guest::new(format!("127.0.0.1:{}", self.process(GATEWAY, replica).port), ADMIN_KEY)
    }

    fn process(&self, service: &str, replica: usize) -> &Process {
        self.processes.iter().find(|one| one.service == service && one.replica == replica).unwrap()
    }

    fn process_mut(&mut self, service: &str, replica: usize) -> &mut Process {
        let mut all = self.processes.iter_mut();
        all.find(|one| one.service == service && one.replica == replica).unwrap()
    }

    /// Puts the replicas of a service that start from now on into the cgroup that has this file, `cgroup.procs`.
    pub fn confine(&mut self, service: &'static str, processes: PathBuf) {
        self.cgroups.insert(service, processes);
    }

    /// Starts all replicas of a service.
    pub fn start_service(&mut self, service: &'static str) {
        (0..self.replicas).for_each(|replica| self.start_replica(service, replica));
    }

    /// Starts one replica of a service.
    pub fn start_replica(&mut self, service: &'static str, replica: usize) {
        let mut command = self.command(service, replica);
        self.process_mut(service, replica).child = Some(command.spawn().unwrap());
    }

    fn command(&self, service: &'static str, replica: usize) -> Command {
        let process = self.process(service, replica);
        let mut log = fs::OpenOptions::new();
        let log = log.create(true).append(true).open(self.log_path(service, replica)).unwrap();
        let mut command = match self.cgroups.get(service) {
            None => Command::new(binary(service)),
            Some(processes) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", "echo $$ >\"$0\" && exec \"$1\""]).arg(processes);
                shell.arg(binary(service));
                shell
            }
        };
        command
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .env("CHEFCITO_LISTEN", format!("127.0.0.1:{}", process.port))
            .env("CHEFCITO_DATABASE_URL", self.database_url(service))
            .env("CHEFCITO_SERVICE_TOKEN", TOKEN);
        self.trust(&mut command);
        let program = Program::named(service).unwrap();
        if program.uses_bus() {
            let url = self.folder.path().join(REDIS_URL);
            command.env(concat!("CHEFCITO_REDIS_URL", "_FILE"), url);
        }
        for call in program.calls {
            command.env(call.variable, self.urls(call));
        }
        match service {
            GATEWAY => {
                command.env("CHEFCITO_KEY_PEPPER", PEPPER).env("CHEFCITO_ADMIN_KEY", ADMIN_KEY);
            }
            KITCHEN => {
                command.env("CHEFCITO_COOKING_TIME", "0s");
            }
            MARKET => {
                // A market is one address: the first simulated market that is there is as good as another.
                command
                    .env("CHEFCITO_GRPC_LISTEN", format!("127.0.0.1:{}", process.grpc_port))
                    .env(
                        "CHEFCITO_MARKET_SIM_URL",
                        format!("http://127.0.0.1:{}", self.process(MARKET_SIM, 0).port),
                    );
            }
            _ => {}
        }
        command.envs(&self.settings);
        command
    }

    /// Returns the URL by which a service logs in.
    #[must_use]
    pub fn database_url(&self, service: &str) -> String {
        self.reached(self.postgres.url_of(service, &self.passwords[service], "chefcito"))
    }

    /// Returns the URL of PostgreSQL as the services are given it.
    fn reached(&self, url: String) -> String {
        match self.certificates {
            Some(_) => url.replace("@127.0.0.1:", "@localhost:") + "?sslmode=require",
            None => url,
        }
    }

    fn redis_url(&self) -> String {
        match self.certificates {
            Some(_) => self.redis.tls_url("localhost"),
            None => self.redis.url(),
        }
    }

    /// Tells a process whom it may trust.
    fn trust(&self, command: &mut Command) {
        if let Some(certificates) = &self.certificates {
            command.env("CHEFCITO_TRUSTED_CERTIFICATES", certificates);
        }
    }

    /// Returns the URLs of all replicas that answer a call.
    fn urls(&self, call: &Call) -> String {
        let replicas = self.processes.iter().filter(|one| one.service == call.to);
        let port = |one: &Process| if call.port == GRPC_PORT { one.grpc_port } else { one.port };
        let urls: Vec<String> =
            replicas.map(|one| format!("http://127.0.0.1:{}", port(one))).collect();
        urls.join(",")
    }

    /// Kills a replica, at whatever it is.
    pub fn kill(&mut self, service: &str, replica: usize) {
        self.process_mut(service, replica).end(Signal::KILL);
    }

    /// Tells a replica to stop, and returns how it ended and how long that took.
    pub fn stop(&mut self, service: &str, replica: usize) -> (ExitStatus, Duration) {
        let began = Instant::now();
        let status = self.process_mut(service, replica).end(Signal::TERM);
        (status, began.elapsed())
    }

    /// Returns the processes that ended without being told to.
    pub fn ended(&mut self) -> Vec<String> {
        let ended = |one: &mut Process| {
            one.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)))
        };
        let ended = self
            .processes
            .iter_mut()
            .filter_map(|one| ended(one).then_some((one.service, one.replica)));
        let ended: Vec<_> = ended.collect();
        let last_word = |service, replica| {
            self.log(service, replica).lines().last().unwrap_or_default().to_owned()
        };
        ended
            .into_iter()
            .map(|(service, replica)| {
                format!("{service} {replica}: {}", last_word(service, replica))
            })
            .collect()
    }

    /// Waits until every service is ready.
    pub async fn is_ready(&self) {
        let guest = self.guest(0);
        until("every service is ready", async || {
            guest.status().await.is_some_and(|status| status.ready)
        })
        .await;
    }

    /// Returns what a replica logged.
    #[must_use]
    pub fn log(&self, service: &str, replica: usize) -> String {
        fs::read_to_string(self.log_path(service, replica)).unwrap_or_default()
    }

    fn log_path(&self, service: &str, replica: usize) -> PathBuf {
        self.folder.path().join(format!("{service}-{replica}.log"))
    }
}

impl Process {
    fn end(&mut self, signal: Signal) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(id, signal).unwrap();
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < END_MAX, "{} does not end", self.service);
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns a port that nobody listens at, below those that the system gives to whoever asks for any. No other test of this
/// process gets it, not even while who listens there is killed and started again.
fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    // Processes begin at different ones.
    static NEXT: LazyLock<AtomicU16> =
        LazyLock::new(|| AtomicU16::new(Uuid::new_v4().as_u64_pair().0 as u16 % COUNT));
    loop {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Returns where the program of a service is. Cargo makes it of the sources as they are, if it has not yet: it builds the
/// programs of a package only for that package's own tests.
fn binary(service: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let folder = test.ancestors().nth(2).unwrap().to_owned();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        if folder.ends_with("release") {
            // What is measured: the tests of all packages would take it far longer.
            cargo.args(["build", "--workspace", "--bins", "--quiet", "--release"]);
        } else {
            // The tests of all packages, so that what was built for them is what is found.
            cargo.args(["test", "--workspace", "--no-run", "--quiet"]);
        }
        cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
        let built = cargo.stdin(Stdio::null()).stdout(Stdio::null()).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        folder
    });
    folder.join(service)
}
