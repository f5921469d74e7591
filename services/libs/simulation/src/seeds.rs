//! Runs many seeds, each in a process of its own, on all cores.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use anyhow::Context as _;

use crate::Outcome;

/// Everything that some seed must have met. A counter that stays 0 says that the load or the faults do not reach what they
/// should.
pub const SOMETIMES: &[&str] = &[
    "client: 503",
    "client: adjusts the stock",
    "client: answer lost",
    "client: cancels a cancelled order",
    "client: cancels a cancelling order",
    "client: cancels a cooking order",
    "client: cancels a delivered order",
    "client: cancels a placed order",
    "client: key of another request refused",
    "client: removes a dish",
    "client: request repeated",
    "client: seeds another recipe",
    "client: the same request twice at once",
    "end: cancelled",
    "end: delivered",
    "end: rejected",
    "fault: a service refuses events",
    "fault: answer of the market lost",
    "fault: answer of the market unreadable",
    "fault: clock jumps ahead",
    "fault: clock jumps back",
    "fault: closed and opened again",
    "fault: commit fails",
    "fault: commit with an unknown outcome",
    "fault: disk full for some time",
    "fault: killed after a commit",
    "fault: killed after the load",
    "fault: killed before a commit",
    "fault: killed between steps",
    "fault: killed while a disk is full",
    "fault: market answers late",
    "fault: market asked twice",
    "fault: market can't be reached",
    "fault: market closed for some time",
    "fault: market fails after the sale",
    "fault: market never answers",
    "fault: market refuses too many calls",
    "fault: market sells zero",
    "fault: request to the market lost",
    "recovery: dead letter replayed",
    "recovery: dish on a stove left",
    "recovery: late work refused, another epoch has begun",
    "recovery: open purchase left",
    "recovery: request of an earlier life resolved by its key",
    "recovery: unanswered request resolved by its key",
    "recovery: unanswered sale left",
    "recovery: unpublished events of orders left",
    "recovery: unpublished events of the inventory left",
    "recovery: unpublished events of the kitchen left",
    "replica: adds under its lease",
];

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many ran.
    pub ran: u64,
    /// The outcomes of those that failed, in the order in which they ended.
    pub failed: Vec<Outcome>,
    /// The coverage, summed.
    pub coverage: BTreeMap<String, u64>,
}

impl Summary {
    /// Returns what no seed has met.
    #[must_use]
    pub fn never_met(&self) -> Vec<&'static str> {
        SOMETIMES.iter().copied().filter(|what| !self.coverage.contains_key(*what)).collect()
    }
}

/// Runs one seed in a process of its own. `planted` plants a fault in a program that was built with them.
///
/// # Errors
/// An error if the program can't be started.
pub fn run_apart(program: &Path, seed: u64, planted: Option<&str>) -> anyhow::Result<Outcome> {
    let mut command = Command::new(program);
    command.env_clear().args(["--seed", &seed.to_string(), "--json"]).stdin(Stdio::null());
    if let Some(planted) = planted {
        command.env("CHEFCITO_TEST_PLANTED", planted);
    }
    let output = command.output().with_context(|| format!("can't run `{}`", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let outcome = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
    Ok(outcome.unwrap_or_else(|| Outcome {
        seed,
        hash: 0,
        steps: 0,
        simulated_ms: 0,
        problems: vec![format!(
            "the process ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        )],
        coverage: BTreeMap::new(),
    }))
}

/// Runs seeds from `first` on, `count` of them, on `jobs` cores at once; `tell` is told of each outcome. Ends early after
/// the first failure if `stops` says so.
///
/// # Errors
/// An error if the program can't be started.
pub fn run_many(
    program: &Path,
    (first, count): (u64, u64),
    jobs: usize,
    planted: Option<&str>,
    stops: bool,
    tell: &(dyn Fn(&Outcome) + Sync),
) -> anyhow::Result<Summary> {
    let next = AtomicU64::new(first);
    let is_over = AtomicBool::new(false);
    let summary = Mutex::new(Summary::default());
    let work = || -> anyhow::Result<()> {
        while !is_over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                break;
            }
            let outcome = run_apart(program, seed, planted)?;
            tell(&outcome);
            let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
            summary.ran += 1;
            for (what, count) in &outcome.coverage {
                *summary.coverage.entry(what.clone()).or_default() += count;
            }
            if !outcome.problems.is_empty() {
                is_over.store(stops, Ordering::Relaxed);
                summary.failed.push(outcome);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a worker panicked")))
        })
    })?;
    Ok(summary.into_inner().unwrap_or_else(PoisonError::into_inner))
}
