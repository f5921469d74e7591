//! Faults that are planted in a copy of the sources, to see whether the simulation finds them.
//!
//! The copy has all of them; the environment variable `CHEFCITO_TEST_PLANTED` says which one is planted. So it is built once,
//! and product code knows nothing of it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use crate::seeds;

/// Within how many seeds each must be found.
pub const SEEDS_MAX: u64 = 50;

/// A fault: changes of the sources.
#[derive(Clone, Copy, Debug)]
pub struct Planted {
    /// What is wrong then.
    pub name: &'static str,
    /// The changes.
    pub changes: &'static [Change],
}

/// A change of one place.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// The file, from the root of the workspace.
    pub file: &'static str,
    /// The text, which is there once.
    pub find: &'static str,
    /// What it becomes. `PLANTED` stands for an expression that is true while this fault is planted.
    pub replace: &'static str,
}

const CONSUMER: &str = "services/libs/events/src/consumer.rs";
const IN_PROCESS: &str = "services/libs/events/src/in_process.rs";
const RELAY: &str = "services/libs/events/src/outbox/relay.rs";
const RETENTION: &str = "services/libs/events/src/retention.rs";
const BUYER: &str = "services/inventory/src/buyer.rs";

/// All of them.
pub const PLANTED: &[Planted] = &[
    Planted {
        name: "the inbox is ignored",
        changes: &[Change {
            file: CONSUMER,
            find: "let fresh = note(tx, events)?;",
            replace: "let mut fresh = note(tx, events)?; if PLANTED { fresh = events.to_vec(); }",
        }],
    },
    Planted {
        name: "an error is reported as success",
        changes: &[Change {
            file: "services/libs/store/src/writer.rs",
            find: "let outcome = Err(error);",
            replace: "let outcome = if PLANTED { Ok(()) } else { Err(error) };",
        }],
    },
    Planted {
        name: "an event counts as taken over before its readers have it",
        changes: &[Change {
            file: IN_PROCESS,
            find: "let mut unread = Vec::new();",
            replace: "let mut unread: Vec<i64> = if PLANTED { events.iter().map(|stored| stored.seq).collect() } else { Vec::new() };",
        }],
    },
    Planted {
        name: "events behind the saved position are never offered again",
        changes: &[
            Change { file: RELAY, find: "behind: true,\n", replace: "behind: !PLANTED,\n" },
            Change {
                file: RELAY,
                find: "let asked = (state.behind || polls)",
                replace: "let asked = (state.behind || (polls && !PLANTED))",
            },
        ],
    },
    Planted {
        name: "an event is acknowledged before the commit",
        changes: &[
            Change {
                file: IN_PROCESS,
                find: "self.consumer.handle(tx, &events)",
                replace: "if PLANTED { acknowledge(&self.batch); }\nself.consumer.handle(tx, &events)",
            },
            Change {
                file: IN_PROCESS,
                find: "acknowledge(&self.batch);\n            self.bus.batch_committed(name, &self.batch);",
                replace: "if !PLANTED { acknowledge(&self.batch); }\nself.bus.batch_committed(name, &self.batch);",
            },
        ],
    },
    Planted {
        name: "events of one order are reordered",
        changes: &[Change {
            file: IN_PROCESS,
            find: ".position(|other| other.event.subject == *subject)",
            replace: ".position(|other| !PLANTED && other.event.subject == *subject)",
        }],
    },
    Planted {
        name: "a cancelled order does not give its ingredients back",
        changes: &[Change {
            file: "services/inventory/src/commands/release_ingredients.rs",
            find: "shelves.release(needs);",
            replace: "if !PLANTED { shelves.release(needs); }",
        }],
    },
    Planted {
        name: "a purchase is made twice after a crash",
        changes: &[
            Change {
                file: BUYER,
                find: "failures: 0,\n                    turn: Turn::AskAt(now),",
                replace: "failures: u32::from(PLANTED && place < first_new),\n                    turn: Turn::AskAt(now),",
            },
            Change {
                file: BUYER,
                find: "let (market, ingredient) = (Arc::clone(&self.market), pending.ingredient);",
                replace: "let (market, ingredient) = (Arc::clone(&self.market), pending.ingredient);\nlet asked = if PLANTED && pending.failures > 0 { PurchaseId::new() } else { id };",
            },
            Change {
                file: BUYER,
                find: "market.buy(id, ingredient)",
                replace: "market.buy(asked, ingredient)",
            },
        ],
    },
    Planted {
        name: "retention removes events that are not published",
        changes: &[
            Change {
                file: RETENTION,
                find: "tx.query_one(OLDEST_OF_OUTBOX, ",
                replace: "tx.query_one(if PLANTED { \"SELECT time FROM outbox WHERE seq < (SELECT MAX(seq) FROM outbox) ORDER BY seq LIMIT 1\" } else { OLDEST_OF_OUTBOX }, ",
            },
            Change {
                file: RETENTION,
                find: "tx.query(REMOVE_FROM_OUTBOX, ",
                replace: "tx.query(if PLANTED { \"DELETE FROM outbox WHERE seq IN (SELECT seq FROM (SELECT seq, time FROM outbox WHERE seq < (SELECT MAX(seq) FROM outbox) ORDER BY seq LIMIT ?2) AS oldest WHERE time < ?1) RETURNING id, kind\" } else { REMOVE_FROM_OUTBOX }, ",
            },
        ],
    },
    Planted {
        name: "a repeated key places a second order",
        changes: &[Change {
            file: "services/libs/service/src/idempotency.rs",
            find: "let key = name.map(|name| RequestKey {",
            replace: "let key = name.filter(|_| !PLANTED).map(|name| RequestKey {",
        }],
    },
    Planted {
        name: "what the board hears last of an order counts",
        changes: &[Change {
            file: "services/board/src/store.rs",
            find: "tx.execute_all(&TELL, rows).map(|_| ())",
            replace: "tx.execute_all(&if PLANTED { Many { each: \"INSERT INTO tickets (id, number, dish, state, placed_at, changed_at, ended_at, stove, missing) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO UPDATE SET number = COALESCE(tickets.number, excluded.number), placed_at = COALESCE(tickets.placed_at, excluded.placed_at), ended_at = excluded.ended_at, state = excluded.state\", ..TELL } } else { TELL }, rows).map(|_| ())",
        }],
    },
    Planted {
        name: "a stove is used twice",
        changes: &[Change {
            file: "services/kitchen/src/domain/round.rs",
            find: "if slot.on_it.is_none() && !slot.retiring {",
            replace: "if (slot.on_it.is_none() || PLANTED) && !slot.retiring {",
        }],
    },
    Planted {
        name: "a reservation takes nothing from the shelves",
        changes: &[Change {
            file: "services/inventory/src/commands/reserve_ingredients.rs",
            find: "shelves.reserve(&needs);",
            replace: "if !PLANTED { shelves.reserve(&needs); }",
        }],
    },
    Planted {
        name: "an answer of the market is booked twice",
        changes: &[Change {
            file: "services/inventory/src/commands/restock.rs",
            find: "(booked, *answer)",
            replace: "(booked || PLANTED, *answer)",
        }],
    },
    Planted {
        name: "a replayed dead letter stays",
        changes: &[Change {
            file: "services/libs/events/src/dead_letters.rs",
            find: "tx.query_one(TAKE, ",
            replace: "tx.query_one(if PLANTED { \"SELECT id, kind, subject, event, error, attempts, failed_at FROM dead_letters WHERE id = ?1\" } else { TAKE }, ",
        }],
    },
    Planted {
        name: "a lease is completed without a check of its epoch",
        changes: &[Change {
            file: "services/libs/store/src/leases.rs",
            find: "tx.query_all(&CHECK_ALL, held, |row| row.get(0))?;",
            replace: "if PLANTED { leases.iter().map(|lease| tx.query(\"SELECT name FROM leases WHERE name = ?1 AND owner = ?2\", &params![lease.name, lease.owner], |row| row.get(0))).collect::<Result<Vec<Vec<String>>, _>>()?.concat() } else { tx.query_all(&CHECK_ALL, held, |row| row.get(0))? };",
        }],
    },
    Planted {
        name: "the position is saved ahead of the readers",
        changes: &[Change {
            file: RELAY,
            find: "first.min(self.cursor.seen())",
            replace: "if PLANTED { self.cursor.seen() } else { first.min(self.cursor.seen()) }",
        }],
    },
];

/// Returns the root of the workspace.
fn root() -> anyhow::Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize()?)
}

/// Returns each file that a fault changes, as it becomes when all faults are planted, each behind its name in
/// `CHEFCITO_TEST_PLANTED`.
///
/// # Errors
/// An error if a place is not there exactly once.
pub fn plant() -> anyhow::Result<BTreeMap<&'static str, String>> {
    let root = root()?;
    let mut files: BTreeMap<&'static str, String> = BTreeMap::new();
    for planted in PLANTED {
        for change in planted.changes {
            let text = match files.remove(change.file) {
                Some(text) => text,
                None => fs::read_to_string(root.join(change.file))
                    .with_context(|| format!("`{}` is not there", change.file))?,
            };
            ensure!(
                text.matches(change.find).count() == 1,
                "`{}` should have once what `{}` changes: {}",
                change.file,
                planted.name,
                change.find
            );
            let is_planted = format!(
                "matches!(std::env::var(\"CHEFCITO_TEST_PLANTED\").as_deref(), Ok({:?}))",
                planted.name
            );
            let replace = change.replace.replace("PLANTED", &is_planted);
            files.insert(change.file, text.replace(change.find, &replace));
        }
    }
    Ok(files)
}

/// Copies the sources, plants all faults, and builds the copy, which takes what the workspace has built of other crates;
/// returns the program.
///
/// # Errors
/// An error if a place is not there exactly once, or the copy can't be built.
pub fn build() -> anyhow::Result<PathBuf> {
    let root = root()?;
    let built = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let target = built.join("planted");
    let sources = target.join("sources");
    if sources.is_dir() {
        fs::remove_dir_all(&sources)?;
    }
    copy(&root, &sources, &built).context("can't copy the sources")?;
    for (file, text) in plant()? {
        fs::write(sources.join(file), text)?;
    }
    // With a version of its own, its crates don't take the place of the workspace's in the folder that both build in.
    let manifest = sources.join("Cargo.toml");
    let text = fs::read_to_string(&manifest)?;
    fs::write(&manifest, text.replacen("\nversion = \"", "\nversion = \"9", 1))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(&sources)
        .args(["build", "--offline", "--quiet", "--package", "simulation"])
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_BUILD_BUILD_DIR", &built);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    ensure!(command.status()?.success(), "the sources with planted faults can't be built");
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    Ok(target.join(profile).join("simulation"))
}

fn copy(from: &Path, to: &Path, without: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if path == without || name == "target" || name == ".git" {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name), without)?;
        } else {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// Returns the first seed, of the first [`SEEDS_MAX`], that finds a fault.
///
/// # Errors
/// An error if the program can't be started.
pub fn find(program: &Path, planted: &Planted, jobs: usize) -> anyhow::Result<Option<u64>> {
    let summary =
        seeds::run_many(program, (1, SEEDS_MAX), jobs, Some(planted.name), true, &|_| {})?;
    Ok(summary.failed.iter().map(|outcome| outcome.seed).min())
}
