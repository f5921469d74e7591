//! What the tests of services stand on.

use std::{
    env, fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tokio_postgres::NoTls;
use uuid::Uuid;

use store::{Location, tls::Trust};

mod authority;
pub mod pairs;
mod server;

pub use authority::{TestAuthority, TestIdentity};
pub use server::{TestServer, server};

/// The variable with the URL of a PostgreSQL whose user may create databases.
pub const POSTGRES: &str = "CHEFCITO_TEST_POSTGRES_URL";
/// The variable that makes the lack of a real part a failure.
pub const REQUIRE: &str = "CHEFCITO_TEST_REQUIRE";

/// A PostgreSQL database of one test's own. It is dropped with this.
#[derive(Debug)]
pub struct TestDatabase {
    server: String,
    name: String,
    url: String,
}

impl TestDatabase {
    /// Returns its connection string.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns where a service keeps its data in it.
    #[must_use]
    pub fn location(&self) -> Location {
        Location::Postgres {
            url: self.url.clone(),
            trust: Trust::default(),
            schema_prefix: String::new(),
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A test that fails for another reason must say that one.
        let _ = on_server(self.server.clone(), drop);
    }
}

/// Says in one line what a test is for that is run elsewhere. Even where everything is required, that is no lack: such tests are
/// a profile of their own, and a run says that it has not run them.
#[expect(clippy::print_stderr, reason = "a test that is run elsewhere says so")]
pub fn elsewhere(what: &str) {
    eprintln!("elsewhere: {what}");
}

/// Makes a PostgreSQL database for one test; `None`, said in one line, where there is no server.
///
/// # Panics
/// Where a server is required and there is none, or it does not make the database.
#[must_use]
pub fn postgres() -> Option<TestDatabase> {
    let Ok(server) = env::var(POSTGRES) else {
        lacking("PostgreSQL; set CHEFCITO_TEST_POSTGRES_URL to the URL of a server");
        return None;
    };
    let name = format!("chefcito_test_{}", Uuid::now_v7().simple());
    on_server(server.clone(), format!("CREATE DATABASE {name}"))
        .expect("the server makes a database");
    let (before, query) = server
        .split_once('?')
        .map_or((server.as_str(), String::new()), |(url, query)| (url, format!("?{query}")));
    let scheme_end = before.find("://").map_or(0, |at| at + 3);
    let path = before[scheme_end..].find('/').map_or(before.len(), |at| scheme_end + at);
    let url = format!("{}/{name}{query}", &before[..path]);
    Some(TestDatabase { server, name, url })
}

/// How long a Redis may take to answer for the first time.
const REDIS_WAIT_MAX: Duration = Duration::from_secs(10);

/// A Redis of one test's own, which keeps nothing when it ends. It is killed with this.
#[derive(Debug)]
pub struct TestRedis {
    port: u16,
    folder: PathBuf,
    server: Option<Child>,
    /// Where it speaks TLS, too.
    tls_port: Option<u16>,
}

/// The file of its users: the account that the bus has in containers, too, and one that may do everything.
const USERS: &str = "users.acl";
const PASSWORD: &str = "password-of-the-bus";
const CERTIFICATE: &str = "server.crt";
const KEY: &str = "server.key";

impl TestRedis {
    /// Returns its address, with the account of the bus.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_with(PASSWORD)
    }

    /// Returns its address, with the account of the bus and this password.
    #[must_use]
    pub fn url_with(&self, password: &str) -> String {
        format!("redis://default:{password}@127.0.0.1:{}", self.port)
    }

    /// Returns its address, with no account.
    #[must_use]
    pub fn url_without_account(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Returns its address for those who speak TLS to it, by this name of its machine.
    ///
    /// # Panics
    /// If it was started without.
    #[must_use]
    pub fn tls_url(&self, host: &str) -> String {
        format!(
            "rediss://default:{PASSWORD}@{host}:{}",
            self.tls_port.expect("it was started with TLS")
        )
    }

    /// Kills it; what it knew is lost.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// Lets it hang: it is there, and does not answer.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        if let Some(server) = &self.server {
            let _ = Command::new("kill").args([signal, &server.id().to_string()]).status();
        }
    }

    /// Starts it again, at the same port.
    ///
    /// # Panics
    /// If it does not answer in time.
    pub fn start(&mut self) {
        let started = Instant::now();
        loop {
            let mut server = Command::new("redis-server");
            if let Some(port) = self.tls_port {
                server.args(["--tls-port", &port.to_string(), "--tls-auth-clients", "no"]).args([
                    "--tls-cert-file",
                    CERTIFICATE,
                    "--tls-key-file",
                    KEY,
                ]);
            }
            let mut server = server
                .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
                .args(["--save", "", "--appendonly", "no", "--aclfile", USERS])
                .current_dir(&self.folder)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("redis-server starts");
            while started.elapsed() < REDIS_WAIT_MAX {
                if self.ask::<String>(&["PING"]).is_ok() {
                    self.server = Some(server);
                    return;
                }
                // Its port may be taken meanwhile, by one who leaves it soon.
                if !matches!(server.try_wait(), Ok(None)) {
                    break;
                }
                thread::sleep(Duration::from_millis(5));
            }
            let _ = server.kill();
            let _ = server.wait();
            assert!(started.elapsed() < REDIS_WAIT_MAX, "redis-server does not answer");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks it something that only its administrator may: a command with its arguments.
    ///
    /// # Errors
    /// If it does not answer, or with something else.
    pub fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> redis::RedisResult<T> {
        let client = redis::Client::open(format!("redis://admin:admin@127.0.0.1:{}", self.port))?;
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(1))?;
        let (name, arguments) = command.split_first().expect("a command has a name");
        redis::cmd(name).arg(arguments).query(&mut connection)
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Starts a Redis for one test; `None`, said in one line, where there is no `redis-server`.
///
/// # Panics
/// Where one is required and there is none, or it does not start.
#[must_use]
pub fn redis() -> Option<TestRedis> {
    let mut redis = stopped_redis()?;
    redis.start();
    Some(redis)
}

/// Starts a Redis for one test that speaks TLS at a second port; `None`, said in one line, where there is no `redis-server` that
/// can.
///
/// # Panics
/// Where one is required and there is none, or it does not start.
#[must_use]
pub fn redis_with_tls(identity: &TestIdentity) -> Option<TestRedis> {
    let mut redis = stopped_redis()?;
    // One that can objects to the value, one that can't to the word.
    let objects = Command::new("redis-server").args(["--tls-port", "x"]).output();
    if objects.is_ok_and(|said| String::from_utf8_lossy(&said.stderr).contains("Bad directive")) {
        lacking("a redis-server that speaks TLS");
        return None;
    }
    let write = |name, text: &str| fs::write(redis.folder.join(name), text);
    write(CERTIFICATE, &identity.certificate).expect("a file can be written");
    write(KEY, &identity.key).expect("a file can be written");
    redis.tls_port = Some(free_port());
    redis.start();
    Some(redis)
}

fn stopped_redis() -> Option<TestRedis> {
    let there = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        lacking("redis-server in the PATH");
        return None;
    }
    let folder = env::temp_dir().join(format!("chefcito-redis-{}", Uuid::now_v7().simple()));
    fs::create_dir(&folder).expect("a folder can be made");
    let users = format!("{}\nuser admin on >admin ~* &* +@all\n", redis_bus::account(PASSWORD));
    fs::write(folder.join(USERS), users).expect("a file can be written");
    Some(TestRedis { port: free_port(), folder, server: None, tls_port: None })
}

fn free_port() -> u16 {
    let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    free.expect("there is a free port").port()
}

/// Says in one line what a test needs and does not have, so that it is skipped.
///
/// # Panics
/// Where every real part is required.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub fn lacking(what: &str) {
    assert!(env::var_os(REQUIRE).is_none(), "{REQUIRE} is set, but this test needs {what}");
    eprintln!("skipped: needs {what}");
}

fn on_server(server: String, sql: String) -> Result<(), String> {
    // A thread of its own, because tests may be in a runtime already.
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(&server, NoTls).await.map_err(|e| e.to_string())?;
            tokio::spawn(connection);
            client.batch_execute(&sql).await.map_err(|e| store::chain(&e))
        })
    };
    thread::spawn(work).join().unwrap_or_else(|_| Err("the thread panicked".into()))
}
