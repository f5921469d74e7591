//! The environment is killed repeatedly while orders run: no order is lost or doubled, and the stock is exact.

use std::{
    fmt::Write as _,
    fs,
    net::TcpListener,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    chefcito::{Home, PATIENCE, Ran, kill, lives, wait_until},
    guest::Guest,
};

const ORDERS: u64 = 2_000;
const KILLS: u64 = 20;
/// After each of this many kills, the environment that starts again is killed, too.
const KILLS_PER_KILLED_OPENING: u64 = 5;
/// Orders per second: so slow that all kills come while orders are placed, so fast that the test ends soon.
const RATE: &str = "80";
/// The variable with the seed of an earlier run, to repeat its timing.
const SEED: &str = "CHEFCITO_CRASH_SEED";

/// Pseudo-random numbers, the same for the same seed (splitmix64).
struct Dice(u64);

impl Dice {
    #[expect(clippy::print_stdout, reason = "who has a failure needs the seed")]
    fn new() -> Self {
        let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap()
        });
        println!("{SEED}={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// An environment with a port of its own, which it keeps through all crashes.
struct Victim {
    home: Home,
    up: Vec<String>,
    guest: Guest,
}

impl Victim {
    fn open(database_url: Option<&str>) -> Self {
        let home = Home::new();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut up = format!("up --port {port} --cooking-time 0s");
        if let Some(url) = database_url {
            write!(up, " --database-url {url}").unwrap();
        }
        let up: Vec<String> = up.split(' ').map(str::to_owned).collect();
        home.must(&words(&up));
        home.must(&["market", "set", "--quantity", "1-10", "--zeros", "0.3", "--errors", "0.1"]);
        let guest = Guest::of(&home, port);
        Self { home, up, guest }
    }

    /// The process id in the lock file, if that process lives.
    fn pid(&self) -> Option<i32> {
        let text = fs::read_to_string(self.home.environment().join("environment.lock")).ok()?;
        text.trim().parse().ok().filter(|pid| lives(*pid))
    }

    fn newest_order(&self) -> Option<u64> {
        let answer = self.guest.ask("GET", "/v1/orders?limit=1", "").ok()?;
        (answer.status == 200).then(|| answer.json()["orders"][0]["number"].as_u64().unwrap_or(0))
    }

    /// Kills the environment some time after that order was placed.
    fn kill_after_order(&self, number: u64, delay: Duration) -> Instant {
        wait_until("orders go on being placed", || {
            self.newest_order().is_some_and(|newest| newest >= number)
        });
        sleep(delay);
        let killed_at = Instant::now();
        kill("-KILL", self.pid().expect("nothing but this test ends the environment"));
        killed_at
    }

    /// Kills the environment during or right after its start; `up` must end soon, with any result.
    fn kill_while_opening(&self, delay: Duration) {
        let last = self.pid();
        let opening = self.home.start(&words(&self.up));
        wait_until("the environment begins to open", || {
            self.pid().is_some_and(|pid| Some(pid) != last)
        });
        sleep(delay);
        if let Some(pid) = self.pid() {
            kill("-KILL", pid);
        }
        let ran = self.home.finish(&["up"], opening);
        assert!(ran.code.is_some_and(|code| code <= 3), "{ran}");
    }

    /// Starts the environment again, orders as soon as possible, and returns the order and the time of its acceptance.
    fn reopen(&self, idempotency_key: &str) -> (String, Instant) {
        let opening = self.home.start(&words(&self.up));
        let header = format!("idempotency-key: {idempotency_key}\r\n");
        let since = Instant::now();
        let (order, accepted_at) = loop {
            if let Ok(answer) = self.guest.ask_with("POST", "/v1/orders", &header, "{}")
                && answer.status == 202
            {
                let order = answer.json()["orders"][0]["id"].as_str().unwrap().to_owned();
                break (order, Instant::now());
            }
            assert!(since.elapsed() < PATIENCE, "the environment does not accept orders again");
            sleep(Duration::from_millis(2));
        };
        let ran = self.home.finish(&words(&self.up), opening);
        assert_eq!(ran.code, Some(0), "{ran}");
        (order, accepted_at)
    }
}

fn words(command: &[String]) -> Vec<&str> {
    command.iter().map(String::as_str).collect()
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"))
}

/// Kills an environment twenty times while two thousand orders run, and checks each order afterwards.
#[expect(clippy::print_stdout, reason = "the figures are worth reading")]
fn survive(engine: &str, database_url: Option<&str>) {
    let began = Instant::now();
    let mut dice = Dice::new();
    let victim = Victim::open(database_url);
    let home = &victim.home;
    let (ledger, own_ledger) =
        (home.environment().join("crowd.txt"), home.environment().join("guest.txt"));
    let orders = ORDERS.to_string();
    let order = ["order", "--count", &orders, "--rate", RATE, "--concurrency", "16"];
    let order = [&order[..], &["--timeout", "120s", "--json", "--ledger"]].concat();
    let order = [&order[..], &[ledger.to_str().unwrap()]].concat();
    let history = home.environment().join("crowd.jsonl");
    let history = ["--history", history.to_str().unwrap()];
    let order = [&order[..], &history].concat();
    let mut ordering = home.start(&order);

    let mut placed_by_guest = String::new();
    let mut closed: Vec<Duration> = Vec::new();
    let mut while_placing = 0;
    let stretch = ORDERS * 9 / 10 / KILLS;
    for kill in 0..KILLS {
        let number = kill * stretch + 1 + dice.below(stretch);
        let killed_at = victim.kill_after_order(number, Duration::from_micros(dice.below(30_000)));
        while_placing += u64::from(ordering.try_wait().unwrap().is_none());
        if kill % KILLS_PER_KILLED_OPENING == KILLS_PER_KILLED_OPENING - 1 {
            victim.kill_while_opening(Duration::from_millis(dice.below(400)));
            let (order, _) = victim.reopen(&format!("guest-{kill}"));
            writeln!(placed_by_guest, "{order} guest-{kill}").unwrap();
        } else {
            let (order, accepted_at) = victim.reopen(&format!("guest-{kill}"));
            writeln!(placed_by_guest, "{order} guest-{kill}").unwrap();
            closed.push(accepted_at - killed_at);
        }
    }
    fs::write(&own_ledger, placed_by_guest).unwrap();

    let ordered = home.finish(&order, ordering);
    assert_eq!(ordered.code, Some(0), "{ordered}");
    let figures = json(&ordered);
    assert_eq!(
        (&figures["accepted"], &figures["delivered"]),
        (&ORDERS.into(), &ORDERS.into()),
        "{ordered}"
    );
    let ledgers = ["--ledger", ledger.to_str().unwrap(), "--ledger", own_ledger.to_str().unwrap()];
    let audit =
        home.must(&[&["audit", "--timeout", "60s", "--json"][..], &ledgers, &history].concat());
    assert_eq!((&json(&audit)["passed"], &json(&audit)["quiet"]), (&true.into(), &true.into()));
    let status = json(&home.must(&["status", "--json"]));
    assert_eq!((&status["ready"], &status["quiet"]), (&true.into(), &true.into()), "{status}");
    // Each order exists once, however often it was sent.
    let all = Value::from(ORDERS + KILLS);
    assert_eq!((&status["orders"]["placed"], &status["orders"]["delivered"]), (&all, &all));
    assert_eq!(home.must(&["dead-letters", "list"]).stderr, "There are no dead letters\n");
    assert!(while_placing > KILLS / 2, "only {while_placing} kills came while orders were placed");

    closed.sort_unstable();
    println!(
        "{engine}: {KILLS} kills, {while_placing} of them while orders were placed, and {} while opening; from the \
         kill to the next order accepted {:?} (median), {:?} (worst); {} connections lost, {} sales; {:?} in all",
        KILLS / KILLS_PER_KILLED_OPENING,
        closed[closed.len() / 2],
        closed[closed.len() - 1],
        figures["connections_lost"],
        json(&home.must(&["market", "--json"]))["sales"],
        began.elapsed()
    );
}

#[test]
fn twenty_kills_lose_nothing_in_sqlite() {
    survive("SQLite", None);
}

#[test]
fn twenty_kills_lose_nothing_in_postgresql() {
    let Some(database) = test_support::postgres() else { return };
    survive("PostgreSQL", Some(database.url()));
}
