//! Parts of an environment in containers are killed, paused and emptied while orders run: no order is lost or doubled,
//! and the stock is exact.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    process::{Child, Command},
    thread::sleep,
    time::{Duration, Instant},
};

use contracts::services::{ALL, GATEWAY};
use serde_json::Value;

use crate::{
    chefcito::{Home, PATIENCE, Ran, kill},
    guest::Guest,
};

/// Orders per second during faults: a shared machine can do it, and many are in progress at any moment.
const RATE: u32 = 60;
/// How long a part is paused: longer than the leases that others take over.
const STILL: Duration = Duration::from_secs(5);
/// The time between two faults.
const BREATH: Duration = Duration::from_secs(3);
/// How soon orders must be accepted again once the part answers again: how long the engine and PostgreSQL's recovery need until
/// then depends on the machine.
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// Returns every service behind the gateway.
fn behind_the_door() -> impl Iterator<Item = &'static str> {
    ALL.into_iter().filter(|service| *service != GATEWAY)
}

/// An environment in containers, with the worst market that is allowed.
struct Victim {
    home: Home,
    name: String,
    guest: Guest,
}

impl Victim {
    /// Starts it; `None`, with a printed line, without an engine.
    fn open(name: &str) -> Option<Self> {
        let home = Home::with_engine()?;
        let name = format!("{name}-{}", std::process::id());
        home.must(&[
            "up",
            "--runtime",
            "compose",
            "--name",
            &name,
            "--port",
            "0",
            "--cooking-time",
            "50ms",
            "--timeout",
            "180s",
        ]);
        let victim = |args: &[&str]| home.must(&[args, &["--name", &name]].concat());
        victim(&["market", "set", "--quantity", "1-10", "--zeros", "0.3", "--errors", "0.1"]);
        let status: Value = json(&victim(&["status", "--json"]));
        let address = status["address"].as_str().unwrap().parse().unwrap();
        let key = fs::read_to_string(home.state().join(&name).join("admin.key")).unwrap();
        let guest = Guest { address, key: key.trim().into() };
        Some(Self { home, name, guest })
    }

    fn must(&self, args: &[&str]) -> Ran {
        self.home.must(&[args, &["--name", &self.name]].concat())
    }

    /// Begins to order for that long; returns the command and its ledger.
    fn order_for(&self, long: Duration) -> Ordering {
        let ledger = self.home.state().join(&self.name).join("crowd.txt");
        let count = (long.as_secs() * u64::from(RATE)).to_string();
        let rate = RATE.to_string();
        let args = ["order", "--count", &count, "--rate", &rate, "--concurrency", "16"];
        let more = [
            "--timeout",
            "240s",
            "--json",
            "--name",
            &self.name,
            "--ledger",
            ledger.to_str().unwrap(),
        ];
        let args: Vec<String> =
            [&args[..], &more[..]].concat().into_iter().map(String::from).collect();
        let child = self.home.start(&args.iter().map(String::as_str).collect::<Vec<_>>());
        Ordering { args, child, ledger: ledger.to_str().unwrap().to_owned() }
    }

    /// The containers of a service.
    fn containers(&self, service: &str) -> Vec<String> {
        let project = format!("label=com.docker.compose.project={}", self.name);
        let service = format!("label=com.docker.compose.service={service}");
        let listed =
            docker(&["ps", "--quiet", "--filter", &project, "--filter", &service]).unwrap();
        listed.lines().map(str::to_owned).collect()
    }

    fn container(&self, service: &str) -> String {
        let since = Instant::now();
        loop {
            match self.containers(service).into_iter().next() {
                Some(container) => return container,
                None => assert!(since.elapsed() < PATIENCE, "{service} does not run again"),
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// Kills the process of a container from outside, as the system does when memory is short; the engine restarts it.
    fn kill(&self, service: &str) {
        let container = self.container(service);
        let pid = docker(&["inspect", "--format", "{{.State.Pid}}", &container]).unwrap();
        kill("-KILL", pid.trim().parse().unwrap());
    }

    fn hold_still(&self, service: &str) {
        let container = self.container(service);
        docker(&["pause", &container]).unwrap();
        sleep(STILL);
        docker(&["unpause", &container]).unwrap();
    }

    /// Connects to Redis from this machine, which reaches containers on a bridge.
    fn redis(&self) -> Redis {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = docker(&["inspect", "--format", format, &self.container("redis")]).unwrap();
        let stream = TcpStream::connect((address.trim(), 6379)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Redis(BufReader::new(stream))
    }

    /// Returns the password of Redis, as Redis itself reads it.
    fn password(&self) -> String {
        let container = self.container("redis");
        let read = ["exec", "--user", "999", &container, "cat", "/secrets/redis/users.acl"];
        let users = docker(&read).unwrap();
        let password = users.split_whitespace().find_map(|word| word.strip_prefix('>'));
        password.unwrap_or_else(|| panic!("{users}")).to_owned()
    }

    /// Returns whether a part answers, by the check that the engine makes of it, or that its makers provide.
    fn answers(&self, part: &str) -> bool {
        let program = format!("/{part}");
        let check = match part {
            "postgres" => ["pg_isready", "--quiet"],
            "redis" => ["redis-cli", "PING"],
            _ => [program.as_str(), "--health"],
        };
        let containers = self.containers(part);
        containers
            .first()
            .is_some_and(|container| docker(&[&["exec", container], &check[..]].concat()).is_ok())
    }

    /// Orders until one is accepted after a fault of a part; returns how long that took.
    fn accepts_again(&self, fault: &str, part: &str) -> Duration {
        let since = Instant::now();
        let mut answers_since = None;
        let header = format!("idempotency-key: {fault}-{part}\r\n");
        loop {
            let answer = self.guest.ask_with("POST", "/v1/orders", &header, "{}");
            if answer.is_ok_and(|answer| answer.status == 202) {
                return since.elapsed();
            }
            if answers_since.is_none() && self.answers(part) {
                answers_since = Some(Instant::now());
            }
            let after = answers_since.map(|since| since.elapsed());
            assert!(
                after.is_none_or(|after| after < AGAIN_MAX) && since.elapsed() < PATIENCE,
                "no order is accepted {:?} after {fault} of {part}, {after:?} after it answered again",
                since.elapsed()
            );
            sleep(Duration::from_millis(20));
        }
    }

    /// Asserts that every order is delivered, and the audit finds nothing.
    fn is_whole(&self, ordering: Ordering) {
        let count: u64 = ordering.args[2].parse().unwrap();
        let args: Vec<&str> = ordering.args.iter().map(String::as_str).collect();
        let ordered = self.home.finish(&args, ordering.child);
        assert_eq!(ordered.code, Some(0), "{ordered}");
        let figures = json(&ordered);
        assert_eq!(
            (&figures["accepted"], &figures["delivered"]),
            (&count.into(), &count.into()),
            "{ordered}"
        );
        let audit =
            self.must(&["audit", "--timeout", "120s", "--json", "--ledger", &ordering.ledger]);
        assert_eq!((&json(&audit)["passed"], &json(&audit)["quiet"]), (&true.into(), &true.into()));
        assert_eq!(self.must(&["dead-letters", "list"]).stderr, "There are no dead letters\n");
    }
}

/// A connection to Redis.
struct Redis(BufReader<TcpStream>);

impl Redis {
    /// Sends a command; returns the first line of the answer.
    fn ask(&mut self, words: &str) -> String {
        write!(self.0.get_mut(), "{words}\r\n").unwrap();
        let mut answer = String::new();
        self.0.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }
}

/// A command that orders.
struct Ordering {
    args: Vec<String>,
    child: Child,
    ledger: String,
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"))
}

fn docker(args: &[&str]) -> Result<String, String> {
    let ran = Command::new("docker").args(args).output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if ran.status.success() { Ok(text(&ran.stdout)) } else { Err(text(&ran.stderr)) }
}

#[test]
fn every_part_is_killed_and_held_still_and_nothing_is_lost() {
    let Some(victim) = Victim::open("faults") else { return };
    let parts: Vec<&str> = ALL.into_iter().chain(["redis", "postgres"]).collect();
    let faults = u32::try_from(parts.len()).unwrap();
    let ordering = victim.order_for((BREATH * 2 + STILL + Duration::from_secs(2)) * faults);
    for part in parts {
        victim.kill(part);
        sleep(Duration::from_millis(100));
        let after_kill = victim.accepts_again("kill", part);
        sleep(BREATH);
        victim.hold_still(part);
        let after_pause = victim.accepts_again("pause", part);
        println!(
            "{part}: accepted again {after_kill:?} after kill -9, {after_pause:?} after pause"
        );
        sleep(BREATH);
    }
    victim.is_whole(ordering);
}

#[test]
fn a_redis_that_forgets_everything_loses_nothing() {
    let Some(victim) = Victim::open("flushed") else { return };
    let ordering = victim.order_for(Duration::from_secs(20));
    let mut redis = victim.redis();
    assert_eq!(redis.ask("PING"), "-NOAUTH Authentication required.", "it asks for its password");
    assert_eq!(redis.ask(&format!("AUTH {}", victim.password())), "+OK");
    let refused = redis.ask("FLUSHALL");
    assert!(refused.starts_with("-NOPERM"), "the services may not empty it at once: {refused}");
    // Everything on the bus, in one command.
    let streams = (0..8).map(|shard| format!("events.{{{shard}}}"));
    let alive = behind_the_door().map(|service| format!("alive.{service}"));
    let others = ["incarnation", "groups", "filled", "cut", "published", "alive.gateway"];
    let all = streams.chain(alive).chain(others.map(str::to_owned));
    let all: String = all.map(|key| format!(" chefcito.{key}")).collect();
    for _ in 0..6 {
        sleep(Duration::from_secs(2));
        let removed = redis.ask(&format!("DEL{all}"));
        assert!(removed.starts_with(':') && removed != ":0", "{removed}");
    }
    victim.is_whole(ordering);
}

#[test]
fn two_of_every_service_do_no_more_than_one() {
    let Some(victim) = Victim::open("twofold") else { return };
    let ordering = victim.order_for(Duration::from_secs(40));
    let twice: Vec<String> = behind_the_door().map(|service| format!("{service}=2")).collect();
    let scale: Vec<&str> = ["scale"].into_iter().chain(twice.iter().map(String::as_str)).collect();
    victim.must(&scale);
    for service in behind_the_door() {
        assert_eq!(victim.containers(service).len(), 2, "{service}");
        victim.kill(service);
        victim.accepts_again("kill", service);
        sleep(BREATH);
    }
    victim.is_whole(ordering);
}

#[test]
fn a_service_is_restarted_under_load_and_no_request_fails() {
    let Some(victim) = Victim::open("restarted") else { return };
    let ordering = victim.order_for(Duration::from_secs(45));
    for service in behind_the_door() {
        victim.must(&["restart", service]);
        sleep(Duration::from_secs(1));
    }
    let args: Vec<&str> = ordering.args.iter().map(String::as_str).collect();
    let ordered = victim.home.finish(&args, ordering.child);
    assert_eq!(ordered.code, Some(0), "{ordered}");
    let figures = json(&ordered);
    assert_eq!(
        (&figures["pushed_back"], &figures["connections_lost"]),
        (&0.into(), &0.into()),
        "{ordered}"
    );
    victim.must(&["audit", "--timeout", "120s", "--ledger", &ordering.ledger]);
}
