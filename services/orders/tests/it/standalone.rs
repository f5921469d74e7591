//! The service as a process of its own: what every service does there, shown by this one.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use test_support::server;

const TOKEN: &str = "a-token-for-tests";
/// How long anything here may take on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The program at work. It is killed with this.
struct Standalone {
    child: Child,
    address: String,
}

impl Standalone {
    fn start(settings: &[(&str, &str)]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_at(format!("127.0.0.1:{port}"), settings)
    }

    fn start_at(address: String, settings: &[(&str, &str)]) -> Self {
        let child = orders(&[])
            .env("CHEFCITO_LISTEN", &address)
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let alone = Self { child, address };
        wait_for("it listens", || alone.status("/health").is_some());
        alone
    }

    /// Asks; returns the status and the body, or nothing if nobody answers.
    fn ask(&self, path: &str, token: Option<&str>) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        let shown =
            token.map_or(String::new(), |token| format!("x-chefcito-service-token: {token}\r\n"));
        write!(stream, "GET {path} HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n{shown}\r\n")
            .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().unwrap();
        Some((status, body.to_owned()))
    }

    /// Places 1,000 orders at once; returns the status.
    fn places_many_orders(&self, key: &str) -> Option<u16> {
        let body = format!(r#"{{"orders":[{}]}}"#, ["{}"; 1_000].join(","));
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        write!(
            stream,
            "POST /v1/orders HTTP/1.1\r\nhost: orders\r\nconnection: close\r\nidempotency-key: {key}\r\n\
             x-chefcito-service-token: {TOKEN}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.split(' ').nth(1)?.parse().ok()
    }

    fn status(&self, path: &str) -> Option<u16> {
        self.ask(path, None).map(|(status, _)| status)
    }

    fn tell(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    fn ends(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < WAIT_MAX, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns what it logged, after it ended.
    fn log(&mut self) -> Vec<String> {
        let lines = BufReader::new(self.child.stdout.take().unwrap()).lines();
        lines.map(Result::unwrap).collect()
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn orders(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orders"));
    command.args(arguments).env_clear().env("CHEFCITO_SERVICE_TOKEN", TOKEN).stdin(Stdio::null());
    command
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < WAIT_MAX, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn it_says_its_version_and_nothing_that_nobody_knows() {
    let Output { status, stdout, .. } = orders(&["--version"]).output().unwrap();
    assert_eq!((status.code(), text(&stdout)), (Some(0), "orders 0.1.0\n".into()));
    let Output { status, stderr, .. } = orders(&["--verison"]).output().unwrap();
    let words = "orders: unknown argument `--verison`; try --version, --health or --stop\n";
    assert_eq!((status.code(), text(&stderr)), (Some(2), words.into()));
    let Output { status, stderr, .. } = orders(&[]).output().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(text(&stderr).starts_with("orders: CHEFCITO_DATA is not set"), "{}", text(&stderr));
}

#[test]
fn its_health_is_asked_by_the_program_itself() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let alone = Standalone::start(&[("CHEFCITO_DATA", data)]);
    let health = |address: &str| {
        let mut command = orders(&["--health"]);
        command.env("CHEFCITO_LISTEN", address).output().unwrap()
    };
    let everywhere = alone.address.replace("127.0.0.1", "0.0.0.0");
    for address in [&alone.address, &everywhere] {
        let Output { status, stdout, .. } = health(address);
        assert_eq!(text(&stdout), format!("orders is well at {}\n", alone.address));
        assert_eq!(status.code(), Some(0));
    }
    let address = alone.address.clone();
    drop(alone);
    let Output { status, stderr, .. } = health(&address);
    assert_eq!(status.code(), Some(1));
    assert!(text(&stderr).starts_with(&format!("orders: no answer at {address}")));
    assert_eq!(health("0.0.0.0:0").status.code(), Some(1));
}

#[test]
fn who_shows_no_token_learns_only_that_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let alone = Standalone::start(&[("CHEFCITO_DATA", data)]);
    wait_for("it is ready", || alone.status("/ready") == Some(200));
    for path in ["/v1/orders", "/internal/status", "/metrics", "/healthy", "/no/such/route"] {
        assert_eq!(alone.status(path), Some(401), "{path}");
        assert_eq!(alone.ask(path, Some("a-token-for-testS")).unwrap().0, 401, "{path}");
    }
    let (_, problem) = alone.ask("/v1/orders", None).unwrap();
    assert!(problem.contains("/problems/unauthenticated"), "{problem}");
    assert_eq!(alone.ask("/v1/orders", Some(TOKEN)).unwrap().0, 200);
    assert_eq!(alone.ask("/internal/status", Some(TOKEN)).unwrap().0, 200);
}

#[test]
fn without_a_token_that_can_be_trusted_it_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let file = folder.path().join("service.token");
    std::fs::write(&file, "\n").unwrap();
    let (token, token_file) = ("CHEFCITO_SERVICE_TOKEN", "CHEFCITO_SERVICE_TOKEN_FILE");
    for (setting, why) in [
        (None, "CHEFCITO_SERVICE_TOKEN is not set"),
        (Some((token, "")), "CHEFCITO_SERVICE_TOKEN is not set"),
        (Some((token, " \t ")), "(0 bytes, not shown)"),
        (Some((token, "short")), "(5 bytes, not shown)"),
        (Some((token_file, file.to_str().unwrap())), "(0 bytes, not shown)"),
    ] {
        let mut command = orders(&[]);
        command.env_remove(token).env("CHEFCITO_DATA", data).envs(setting);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut alone = Standalone { child, address: String::new() };
        let status = alone.ends();
        let mut told = String::new();
        alone.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(status.code(), Some(1), "{setting:?}: {told}");
        assert!(told.contains(why), "{setting:?}: {told}");
    }
}

#[test]
fn a_pipe_that_nobody_reads_stops_no_work_and_dropped_lines_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let mut alone = Standalone::start(&[("CHEFCITO_DATA", data), ("CHEFCITO_LOG", "debug")]);
    wait_for("it is ready", || alone.status("/ready") == Some(200));
    let dropped = |alone: &Standalone| {
        let (_, figures) = alone.ask("/metrics", Some(TOKEN)).unwrap();
        let count = figures.lines().find_map(|line| {
            line.strip_prefix("chefcito_log_lines_dropped_total ")?.parse::<u64>().ok()
        });
        count.unwrap()
    };
    // A line an order: far more than a pipe and the buffer hold. Each order is saved all the same.
    let mut placed = 0;
    wait_for("lines are dropped", || {
        placed += 1;
        assert_eq!(alone.places_many_orders(&format!("batch-{placed}")), Some(202));
        dropped(&alone) > 0
    });
    let stdout = BufReader::new(alone.child.stdout.take().unwrap());
    let reports = std::thread::spawn(move || {
        let lines = stdout.lines().map(Result::unwrap);
        lines.filter(|line| line.contains(" lines dropped")).count()
    });
    let began = Instant::now();
    alone.tell(Signal::TERM);
    assert_eq!(alone.ends().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(reports.join().unwrap() > 0, "nobody is told that lines are missing");
}

#[test]
fn a_pipe_that_nobody_reads_does_not_keep_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let mut alone = Standalone::start(&[("CHEFCITO_DATA", data), ("CHEFCITO_LOG", "debug")]);
    wait_for("it is ready", || alone.status("/ready") == Some(200));
    for batch in 0..5 {
        assert_eq!(alone.places_many_orders(&format!("batch-{batch}")), Some(202));
    }
    let began = Instant::now();
    alone.tell(Signal::TERM);
    assert_eq!(alone.ends().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn told_to_stop_it_ends_well_and_soon() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = tempfile::tempdir().unwrap();
        let mut alone = Standalone::start(&[("CHEFCITO_DATA", folder.path().to_str().unwrap())]);
        let began = Instant::now();
        alone.tell(signal);
        assert_eq!(alone.ends().code(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
}

#[test]
fn a_database_that_is_not_there_yet_is_waited_for_whatever_is_missing() {
    let Some(mut database) = server() else { return };
    let url = database.url_of("orders", "secret", "chefcito");
    database.stop();
    let mut alone = Standalone::start(&[("CHEFCITO_DATABASE_URL", &url)]);
    let why = |words: &'static str| {
        wait_for(words, || {
            let (status, body) = alone.ask("/ready", None).unwrap();
            assert_eq!(status, 503, "{body}");
            assert!(body.contains("The service is not ready."), "{body}");
            assert!(!body.contains(words), "a stranger learns the cause: {body}");
            assert_eq!(alone.status("/internal/status"), Some(401));
            alone.ask("/internal/status", Some(TOKEN)).unwrap().1.contains(words)
        });
        assert_eq!(alone.status("/health"), Some(200));
        assert_eq!(alone.ask("/v1/orders", Some(TOKEN)).unwrap().0, 503);
    };
    why("Connection refused");
    database.start();
    why("password authentication failed");
    database.run("postgres", "CREATE ROLE orders LOGIN PASSWORD 'other'").unwrap();
    why("password authentication failed");
    database.run("postgres", "ALTER ROLE orders PASSWORD 'secret'").unwrap();
    why("does not exist");
    database.run("postgres", "CREATE DATABASE chefcito").unwrap();
    why("permission denied");
    database.run("chefcito", "CREATE SCHEMA orders AUTHORIZATION orders").unwrap();
    wait_for("it is ready", || alone.status("/ready") == Some(200));
    assert_eq!(alone.ask("/v1/orders", Some(TOKEN)).unwrap().0, 200);

    alone.tell(Signal::TERM);
    assert_eq!(alone.ends().code(), Some(0));
    let log = alone.log();
    let waits = log.iter().filter(|line| line.contains("Waits until it can be opened"));
    assert!((4..=8).contains(&waits.count()), "each reason is said once: {log:#?}");
    assert!(log.iter().any(|line| line.contains("Need not wait any more")), "{log:#?}");
}

#[test]
fn three_replicas_that_start_at_once_make_the_schema_once() {
    let Some(database) = server() else { return };
    database.run("postgres", "CREATE DATABASE chefcito; ").unwrap();
    database.run("postgres", "CREATE ROLE orders LOGIN PASSWORD 'secret'").unwrap();
    database.run("chefcito", "CREATE SCHEMA orders AUTHORIZATION orders").unwrap();
    let url = database.url_of("orders", "secret", "chefcito");
    let replicas: Vec<Standalone> =
        (0..3).map(|_| Standalone::start(&[("CHEFCITO_DATABASE_URL", &url)])).collect();
    for mut replica in replicas {
        wait_for("it is ready", || replica.status("/ready") == Some(200));
        replica.tell(Signal::TERM);
        assert_eq!(replica.ends().code(), Some(0));
        let log = replica.log();
        assert!(
            !log.iter().any(|line| line.contains("WARN") || line.contains("Waits")),
            "{log:#?}"
        );
    }
}

#[test]
fn a_stop_is_not_kept_up_by_a_database_that_does_not_answer() {
    // Takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://orders:secret@{}/chefcito", silent.local_addr().unwrap());
    let mut alone = Standalone::start(&[("CHEFCITO_DATABASE_URL", &url)]);
    assert_eq!(alone.status("/ready"), Some(503));
    let began = Instant::now();
    alone.tell(Signal::TERM);
    assert_eq!(alone.ends().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn told_to_stop_it_answers_on_for_as_long_as_it_is_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let delay = Duration::from_secs(3);
    let mut alone = Standalone::start(&[("CHEFCITO_DATA", data), ("CHEFCITO_STOP_DELAY", "3s")]);
    wait_for("it is ready", || alone.status("/ready") == Some(200));
    let kept = TcpStream::connect(&alone.address).unwrap();
    let began = Instant::now();
    alone.tell(Signal::TERM);
    wait_for("it is not ready any more", || alone.status("/ready") == Some(503));
    assert_eq!(alone.status("/health"), Some(200), "it is well, and not to be killed");
    let (status, _) = alone.ask("/v1/orders", Some(TOKEN)).unwrap();
    assert_eq!(status, 200, "who comes anew is served");
    let mut answer = String::new();
    let shown = format!("x-chefcito-service-token: {TOKEN}");
    write!(&kept, "GET /v1/orders HTTP/1.1\r\nhost: orders\r\n{shown}\r\n\r\n").unwrap();
    (&kept).read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "who stays is told to go: {answer}");
    assert!(began.elapsed() < delay, "too slow to tell anything");
    assert_eq!(alone.ends().code(), Some(0));
    assert!(began.elapsed() >= delay);
}

#[test]
fn told_to_stop_twice_it_does_not_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let mut alone = Standalone::start(&[("CHEFCITO_DATA", data), ("CHEFCITO_STOP_DELAY", "1m")]);
    wait_for("it is ready", || alone.status("/ready") == Some(200));
    alone.tell(Signal::TERM);
    wait_for("it takes leave", || alone.status("/ready") == Some(503));
    let began = Instant::now();
    alone.tell(Signal::TERM);
    assert_eq!(alone.ends().code(), Some(0), "it has drained");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let Output { status, stderr, .. } = orders(&[])
        .envs([("CHEFCITO_DATA", data), ("CHEFCITO_STOP_DELAY", "2m")])
        .output()
        .unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(text(&stderr).contains("a minute at the most"), "{}", text(&stderr));
}

#[test]
fn only_a_container_s_own_first_process_is_told_to_stop() {
    let Output { status, stderr, .. } = orders(&["--stop"]).output().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(text(&stderr).contains("the first process here is another"), "{}", text(&stderr));
}
