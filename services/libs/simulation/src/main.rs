//! `simulation --seeds N` runs many seeds, `simulation --seed N` repeats one and prints its timeline.

use std::{
    io::{Write as _, stdout},
    process::ExitCode,
};

use clap::Parser;
use simulation::{Outcome, planted, run, seeds};

/// Run the whole embedded environment in simulated time, from seeds
#[derive(Debug, Parser)]
struct Arguments {
    /// Repeat this seed exactly and print its timeline
    #[arg(long, conflicts_with_all = ["seeds", "planted"])]
    seed: Option<u64>,
    /// Print the outcome as JSON instead of the timeline
    #[arg(long, requires = "seed")]
    json: bool,
    /// How many seeds to run
    #[arg(long, default_value_t = 300)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many run at once [default: one a core]
    #[arg(long)]
    jobs: Option<usize>,
    /// Plant each known fault in a copy of the sources, and see after how many seeds it is found
    #[arg(long)]
    planted: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        let (outcome, timeline) = run(seed, !arguments.json)?;
        let mut out = stdout().lock();
        if arguments.json {
            writeln!(out, "{}", serde_json::to_string(&outcome)?)?;
        } else {
            for line in timeline {
                writeln!(out, "{line}")?;
            }
            writeln!(out, "{}", sentence(&outcome))?;
        }
        return Ok(code(outcome.problems.is_empty()));
    }
    let jobs = arguments
        .jobs
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
    if arguments.planted {
        let mut all_found = true;
        let program = planted::build()?;
        for planted in planted::PLANTED {
            let found = planted::find(&program, planted, jobs)?;
            all_found &= found.is_some();
            let after =
                found.map_or("NOT FOUND".to_owned(), |seed| format!("found at seed {seed}"));
            writeln!(stdout(), "{after:>20}  {}", planted.name)?;
        }
        return Ok(code(all_found));
    }
    let program = std::env::current_exe()?;
    let tell = |outcome: &Outcome| {
        if !outcome.problems.is_empty() {
            let _ = writeln!(stdout(), "{}", sentence(outcome));
        }
    };
    let summary =
        seeds::run_many(&program, (arguments.from, arguments.seeds), jobs, None, false, &tell)?;
    let mut out = stdout().lock();
    for (what, count) in &summary.coverage {
        writeln!(out, "{count:>10}  {what}")?;
    }
    for what in summary.never_met() {
        writeln!(out, "{:>10}  {what}", "NEVER")?;
    }
    writeln!(out, "{} seeds, {} failed", summary.ran, summary.failed.len())?;
    Ok(code(summary.failed.is_empty() && summary.never_met().is_empty()))
}

fn sentence(outcome: &Outcome) -> String {
    let Outcome { seed, hash, steps, simulated_ms, problems, .. } = outcome;
    let mut text =
        format!("seed {seed}: {steps} steps, {simulated_ms} ms simulated, hash {hash:016x}");
    for problem in problems {
        text.push_str("\n  ");
        text.push_str(problem);
    }
    if !problems.is_empty() {
        text.push_str(&format!(
            "\n  repeat it: cargo run --release -p simulation -- --seed {seed}"
        ));
    }
    text
}

fn code(is_well: bool) -> ExitCode {
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
