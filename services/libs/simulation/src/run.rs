//! The run of one seed: lives of an environment, one after the other on the same files, and the checks at the end.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
    sync::{Arc, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use contracts::services::{BOARD, INVENTORY, KITCHEN, MARKET, ORDERS};
use embedded::{Embedded, EmbeddedConfig, Faults, Simulation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    clients::{ADMIN_KEY, Client, Memory},
    machine,
    market::Way,
    plan::{End, Plan},
    replicas::{self, REPLICAS},
    world::{World, WorldSteps},
};

/// How long a run may take to be quiet at its end, in simulated time: clocks may have jumped back by some minutes, and the
/// pauses of all that failed are over by then.
const QUIET_MAX: Duration = Duration::from_secs(3_600);
/// How long a life that ends with a kill lasts at the most after its load is done.
const AFTER_LOAD_MAX: Duration = Duration::from_secs(20);

/// How long events and responses to requests with a key are kept where a plan forgets; else a week.
const RETENTION_SHORT: Duration = Duration::from_secs(2);

/// What came of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The hash of everything that happened.
    pub hash: u64,
    /// How many steps the services made.
    pub steps: u64,
    /// How much time passed in the simulation, in milliseconds.
    pub simulated_ms: i64,
    /// What is wrong; nothing if all is well.
    pub problems: Vec<String>,
    /// How often what should sometimes happen did.
    pub coverage: BTreeMap<String, u64>,
}

/// Runs a seed in this process, which must not have run another; returns what came of it, and the timeline if it is asked
/// for.
///
/// # Errors
/// An error if the simulation itself could not work, such as for want of a folder.
pub fn run(seed: u64, keeps_timeline: bool) -> anyhow::Result<(Outcome, Vec<String>)> {
    let memory_disk = Path::new("/dev/shm");
    let root = match memory_disk.is_dir() {
        true => tempfile::Builder::new().prefix("simulation-").tempdir_in(memory_disk)?,
        false => tempfile::Builder::new().prefix("simulation-").tempdir()?,
    };
    let plan = Plan::new(seed);
    let world = World::new(seed, keeps_timeline);
    let panics = Arc::new(std::sync::Mutex::new(Vec::new()));
    let hook_panics = Arc::clone(&panics);
    std::panic::set_hook(Box::new(move |panic| {
        hook_panics.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string());
    }));
    machine::begin(seed);
    world.note(format_args!("{plan:?}"));
    let kept_for = match (plan.forgets, plan.jumps) {
        (false, _) => i64::MAX,
        (true, false) => RETENTION_SHORT.as_nanos() as i64,
        (true, true) => 0,
    };
    let memory = Rc::new(RefCell::new(Memory::new(kept_for)));
    let done = lives(&plan, &world, &memory, root.path());
    let simulated_ms = machine::elapsed() / 1_000_000;
    machine::end();
    let _ = std::panic::take_hook();
    done?;
    for panic in panics.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        world.problem(format!("a panic: {panic}"));
    }
    for violation in memory.borrow().history.violations() {
        world.problem(format!("the history of the clients: {violation}"));
    }
    let (hash, steps, coverage, problems, timeline) = world.end();
    let coverage = coverage.into_iter().map(|(what, count)| (what.to_owned(), count)).collect();
    Ok((Outcome { seed, hash, steps, simulated_ms, problems, coverage }, timeline))
}

fn lives(
    plan: &Plan,
    world: &Arc<World>,
    memory: &Rc<RefCell<Memory>>,
    root: &Path,
) -> anyhow::Result<()> {
    let mut folder = root.join("life-0");
    fs::create_dir(&folder)?;
    let mut is_furnished = false;
    for (number, end) in plan.ends.iter().map(Some).chain([None]).enumerate() {
        let next = root.join(format!("life-{}", number + 1));
        let kill_after = match end {
            Some(End::Kill(after)) => Some(*after),
            Some(End::Close) | None => None,
        };
        world.begin(&folder, &next, kill_after);
        world.note(format_args!("life {number} begins"));
        let is_poisoned = plan.poison && end.is_some() && is_furnished && poison(&folder, world);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = tokio::task::LocalSet::new();
        let life = Life { plan, world, memory, folder: &folder, end, is_furnished };
        let lived = runtime.block_on(local.run_until(async {
            tokio::select! {
                biased;
                () = world.killed.notified() => None,
                furnished = life.live() => Some(furnished),
            }
        }));
        drop(local);
        drop(runtime);
        if world.is_endless() {
            break;
        }
        let was_killed = lived.is_none();
        is_furnished |= lived.unwrap_or(false) || !memory.borrow().placed.is_empty();
        let unanswered = std::mem::take(&mut memory.borrow_mut().unanswered);
        if was_killed {
            if unanswered > 0 || !memory.borrow().unknown.is_empty() {
                world.sometimes("client: answer lost");
            }
            look(&next, &root.join("look"), world);
            folder = next;
        }
        if is_poisoned {
            heal(&folder);
        }
        // It is not started again at once, sometimes; where events are forgotten, not before what it left is old.
        let down_ms = world.draw(|draws| match plan.forgets {
            true => 2_500 + draws.below(60_000),
            false => draws.below(2) * draws.below(90_000),
        });
        machine::pass(i64::try_from(down_ms).unwrap_or(0) * 1_000_000);
    }
    if plan.replicas && !world.is_endless() {
        let database = folder.join(format!("{REPLICAS}.sqlite"));
        for lost in with(&database, replicas::check)? {
            world.problem(lost);
        }
    }
    // The moments in the inboxes say the order only where the clock never jumped.
    if !plan.jumps {
        check_order(&folder, world)?;
    }
    Ok(())
}

/// Checks that each service handled the events of each subject in the order in which their writer announced them.
fn check_order(folder: &Path, world: &World) -> anyhow::Result<()> {
    let mut places: BTreeMap<String, (String, String, i64)> = BTreeMap::new();
    let mut handled: Vec<(String, String, i64)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "sqlite") {
            continue;
        }
        let service = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if service == REPLICAS {
            continue;
        }
        with(&path, |database| {
            let mut outbox = database.prepare("SELECT id, subject, seq FROM outbox")?;
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            for row in outbox.query_map([], read)? {
                let (id, subject, seq) = row?;
                places.insert(id, (service.clone(), subject, seq));
            }
            let mut inbox = database.prepare("SELECT id, handled_at FROM inbox")?;
            for row in inbox.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))? {
                let (id, handled_at) = row?;
                handled.push((service.clone(), id, handled_at));
            }
            Ok(())
        })?;
    }
    // Reader, writer, subject, place, and when the reader handled it.
    let mut events: Vec<(&str, &str, &str, i64, i64)> = handled
        .iter()
        .filter_map(|(reader, id, handled_at)| {
            let (writer, subject, seq) = places.get(id)?;
            Some((reader.as_str(), writer.as_str(), subject.as_str(), *seq, *handled_at))
        })
        .collect();
    events.sort_unstable();
    for pair in events.windows(2) {
        let ((reader, writer, subject, _, first), other) = (pair[0], pair[1]);
        if (reader, writer, subject) == (other.0, other.1, other.2) && first > other.4 {
            world.problem(format!(
                "{reader} handled events of {writer} about {subject} out of order"
            ));
        }
    }
    Ok(())
}

struct Life<'a> {
    plan: &'a Plan,
    world: &'a Arc<World>,
    memory: &'a Rc<RefCell<Memory>>,
    folder: &'a Path,
    /// How it ends; the last one ends with the checks.
    end: Option<&'a End>,
    is_furnished: bool,
}

impl Life<'_> {
    /// Lives until the end of the life, unless it is killed before; returns whether the restaurant has menu and stock.
    async fn live(&self) -> bool {
        let (plan, world) = (self.plan, self.world);
        let shuffle = plan.shuffle.then(|| world.draw(|draws| draws.below(u64::MAX)));
        let config = EmbeddedConfig {
            admin_key: ADMIN_KEY.into(),
            cooking_time: plan.cooking_ms.map(Duration::from_millis),
            stoves: plan.stoves,
            seed: plan.seed,
            retention: Some(match plan.forgets {
                true => RETENTION_SHORT,
                false => Duration::from_secs(7 * 24 * 3_600),
            }),
            faults: Faults { twice: plan.twice, shuffle },
            ..EmbeddedConfig::new(self.folder.to_owned())
        };
        let (of_market, trouble) = (Arc::clone(world), plan.market_trouble);
        let is_last = self.end.is_none();
        let simulation = Simulation {
            steps: Arc::new(WorldSteps(Arc::clone(world))),
            transport: Arc::new(move |stall| {
                let trouble = if is_last { 0 } else { trouble };
                Arc::new(Way { world: Arc::clone(&of_market), stall, trouble })
            }),
        };
        let environment = match Embedded::open_simulated(config, simulation).await {
            Ok(environment) => environment,
            Err(error) => {
                world.problem(format!("the environment can't be opened: {error:?}"));
                return false;
            }
        };
        let client = Client {
            world: Arc::clone(world),
            router: environment.router(),
            memory: Rc::clone(self.memory),
        };
        // From the beginning: what an earlier life left unpublished is not yet handled then.
        let may_be_killed = matches!(self.end, Some(End::Kill(_)));
        let disks =
            plan.full_disks.then(|| tokio::task::spawn_local(self.fill_disks(may_be_killed)));
        let replicas = match plan.replicas {
            true => match replicas::open(world, self.folder).await {
                Ok(replicas) => replicas.to_vec(),
                Err(error) => {
                    world.problem(format!("the replicas can't be opened: {error:?}"));
                    return false;
                }
            },
            false => Vec::new(),
        };
        if !self.is_furnished {
            client.furnish(plan.opening).await;
        }
        world.storm(plan);
        client.resolve().await;
        let trouble = tokio::task::spawn_local(self.trouble(client.clone()));
        let at_work: Vec<_> = replicas
            .iter()
            .map(|replica| tokio::task::spawn_local(replica.clone().work()))
            .collect();
        let visits: Vec<_> = (0..plan.clients)
            .map(|_| tokio::task::spawn_local(client.clone().visit(plan.requests)))
            .collect();
        for visit in visits {
            if let Err(error) = visit.await {
                world.problem(format!("a client failed: {error}"));
            }
        }
        trouble.abort();
        at_work.iter().for_each(tokio::task::JoinHandle::abort);
        // The disks of a life that is killed may be full until then.
        if !may_be_killed && let Some(disks) = disks {
            disks.abort();
        }
        world.calm();
        match self.end {
            Some(End::Kill(_)) => {
                tokio::time::sleep(AFTER_LOAD_MAX).await;
                world.sometimes("fault: killed after the load");
                world.kill();
                std::future::pending::<()>().await;
            }
            Some(End::Close) => world.sometimes("fault: closed and opened again"),
            None => self.check(&client).await,
        }
        for replica in &replicas {
            replica.close().await;
        }
        environment.close().await;
        true
    }

    /// Lets the disk of a service be full from time to time. A life that ends by a kill may end so, too: whatever others think
    /// that this service has done is lost then.
    fn fill_disks(&self, may_be_killed: bool) -> impl Future<Output = ()> + use<> {
        let world = Arc::clone(self.world);
        async move {
            loop {
                let (wait, service, full) = world.draw(|draws| {
                    let service = draws.one(&[ORDERS, KITCHEN, INVENTORY, MARKET, BOARD]);
                    (draws.below(2) * draws.below(500), service, 100 + draws.below(4_000))
                });
                tokio::time::sleep(Duration::from_millis(wait)).await;
                world.fill_disk(Some(service));
                tokio::time::sleep(Duration::from_millis(full)).await;
                world.sometimes("fault: disk full for some time");
                if may_be_killed && world.draw(|draws| draws.happens(300)) {
                    world.sometimes("fault: killed while a disk is full");
                    world.kill();
                    std::future::pending::<()>().await;
                }
                world.fill_disk(None);
            }
        }
    }

    /// Lets the market close and the clock jump from time to time.
    fn trouble(&self, client: Client) -> impl Future<Output = ()> + use<> {
        let (outages, jumps) = (self.plan.outages, self.plan.jumps);
        async move {
            loop {
                let wait = client.world.draw(|draws| draws.below(3_000));
                tokio::time::sleep(Duration::from_millis(wait)).await;
                if outages {
                    client.ask("PUT", "/v1/market", None, &json!({"outage": true})).await;
                    let wait = client.world.draw(|draws| draws.below(8_000));
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                    client.until_ok("PUT", "/v1/market", &json!({"outage": false})).await;
                    client.world.sometimes("fault: market closed for some time");
                }
                if jumps {
                    let (ahead, seconds) = client.world.draw(|draws| match draws.below(4) {
                        0 => (true, draws.below(2 * 3_600)),
                        1 => (true, draws.below(5)),
                        2 => (false, draws.below(5)),
                        _ => (false, draws.below(300)),
                    });
                    let nanoseconds = i64::try_from(seconds).unwrap_or(0) * 1_000_000_000;
                    machine::jump(if ahead { nanoseconds } else { -nanoseconds });
                    client.world.note(format_args!(
                        "clock      jumps {} {seconds} s",
                        if ahead { "ahead" } else { "back" }
                    ));
                    client.world.sometimes(if ahead {
                        "fault: clock jumps ahead"
                    } else {
                        "fault: clock jumps back"
                    });
                }
            }
        }
    }

    /// Waits until nothing is under way, and checks everything.
    async fn check(&self, client: &Client) {
        client.until_ok("PUT", "/v1/market", &json!({"outage": false, "zeros": 0.1})).await;
        client.until_ok("PUT", "/v1/recipes", &test_support::menu()).await;
        client.resolve().await;
        let quiet_by = machine::elapsed() + QUIET_MAX.as_nanos() as i64;
        // A clock that has jumped back lets stoves wait for minutes: those are not to be full of questions.
        let mut pause = Duration::from_millis(200);
        loop {
            let no_letters = client.replay_dead_letters().await;
            let status = client.ask("GET", "/v1/status", None, &Value::Null).await;
            if no_letters && status.body["quiet"] == true {
                break;
            }
            if machine::elapsed() > quiet_by {
                let (world, status) = (&client.world, status.body);
                world.problem(format!("not quiet within {QUIET_MAX:?}: {status}"));
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(10));
        }
        let audit = client.ask("GET", "/v1/audit", None, &Value::Null).await;
        if audit.body["passed"] != true {
            let broken: Vec<&Value> = audit.body["invariants"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|one| one["passed"] != true)
                .collect();
            client.world.problem(format!("the audit fails: {:?} {}", audit.status, json!(broken)));
        }
        let ids: Vec<String> =
            self.memory.borrow().placed.iter().flat_map(|(_, _, ids)| ids.clone()).collect();
        for ids in ids.chunks(1_000) {
            let ledger = client.ask("POST", "/v1/audit/ledger", None, &json!({ "ids": ids })).await;
            if ledger.body["passed"] != true {
                client.world.problem(format!("the ledger fails: {}", ledger.body));
            }
            let states =
                client.ask("POST", "/v1/orders/states", None, &json!({ "ids": ids })).await;
            for order in states.body["orders"].as_array().into_iter().flatten() {
                match order["status"].as_str() {
                    Some("delivered") => client.world.sometimes("end: delivered"),
                    Some("cancelled") => client.world.sometimes("end: cancelled"),
                    Some("rejected") => client.world.sometimes("end: rejected"),
                    _ => client.world.problem(format!("an order has no end: {order}")),
                }
            }
        }
        client.ask("GET", "/v1/stock", None, &Value::Null).await;
    }
}

/// Lets a service refuse some events, as one with a mistake in it would; returns whether that was possible.
fn poison(folder: &Path, world: &World) -> bool {
    let (file, trigger) = world.draw(|draws| {
        draws.one(&[
            ("orders.sqlite", "CREATE TRIGGER poison BEFORE UPDATE ON orders WHEN NEW.status = 'delivered' AND NEW.number % 3 = 0 BEGIN SELECT RAISE(ABORT, 'poison'); END"),
            ("orders.sqlite", "CREATE TRIGGER poison BEFORE UPDATE ON orders WHEN NEW.status = 'cooking' AND NEW.number % 3 = 0 BEGIN SELECT RAISE(ABORT, 'poison'); END"),
            ("kitchen.sqlite", "CREATE TRIGGER poison BEFORE UPDATE ON tickets WHEN NEW.status = 'reserved' AND NEW.order_id LIKE '%1' BEGIN SELECT RAISE(ABORT, 'poison'); END"),
            // `order.placed` and `ingredients.requested`: what has a number.
            ("board.sqlite", "CREATE TRIGGER poison BEFORE INSERT ON tickets WHEN NEW.number % 3 = 0 BEGIN SELECT RAISE(ABORT, 'poison'); END"),
        ])
    });
    let done = with(&folder.join(file), |database| database.execute_batch(trigger));
    if done.is_ok() {
        world.note(format_args!("poison     {trigger}"));
        world.sometimes("fault: a service refuses events");
    }
    done.is_ok()
}

fn heal(folder: &Path) {
    for file in ["orders.sqlite", "kitchen.sqlite", "board.sqlite"] {
        let _ = with(&folder.join(file), |database| {
            database.execute_batch("DROP TRIGGER IF EXISTS poison")
        });
    }
}

fn with<T>(
    path: &PathBuf,
    work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
) -> anyhow::Result<T> {
    anyhow::ensure!(path.is_file(), "`{}` is not there", path.display());
    let database = rusqlite::Connection::open(path).context("can't open it")?;
    Ok(work(&database)?)
}

/// Counts what the killed process left to be done, on a copy: opening a database changes its files.
fn look(folder: &Path, copy: &Path, world: &World) {
    let left = [
        (
            "orders.sqlite",
            "SELECT COUNT(*) FROM outbox WHERE seq > (SELECT position FROM broker)",
            "recovery: unpublished events of orders left",
        ),
        (
            "kitchen.sqlite",
            "SELECT COUNT(*) FROM outbox WHERE seq > (SELECT position FROM broker)",
            "recovery: unpublished events of the kitchen left",
        ),
        (
            "inventory.sqlite",
            "SELECT COUNT(*) FROM outbox WHERE seq > (SELECT position FROM broker)",
            "recovery: unpublished events of the inventory left",
        ),
        (
            "inventory.sqlite",
            "SELECT COUNT(*) FROM purchases WHERE status = 'open'",
            "recovery: open purchase left",
        ),
        (
            "market.sqlite",
            "SELECT COUNT(*) FROM purchases WHERE status = 'open'",
            "recovery: unanswered sale left",
        ),
        ("kitchen.sqlite", "SELECT COUNT(*) FROM timers", "recovery: dish on a stove left"),
    ];
    let copied = (|| {
        fs::create_dir_all(copy)?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            fs::copy(entry.path(), copy.join(entry.file_name()))?;
        }
        std::io::Result::Ok(())
    })();
    if copied.is_ok() {
        for (file, question, counter) in left {
            let count = with(&copy.join(file), |database| {
                database.query_one(question, [], |row| row.get::<_, i64>(0))
            });
            if count.is_ok_and(|count| count > 0) {
                world.sometimes(counter);
            }
        }
    }
    let _ = fs::remove_dir_all(copy);
}
