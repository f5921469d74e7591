//! A hundred thousand log lines, and the same with `docker compose logs` in the same run.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use load::Plan;

use super::{
    super::{count, note_trouble},
    open_full,
};
use crate::{
    figures::{Figures, Goal},
    process::number,
    rival::Rival,
};

/// An order has some seven lines.
const ORDERS: u64 = 16_000;
const LINES_MIN: usize = 100_000;
/// How often each.
const RUNS: usize = 5;

pub(in super::super) async fn play(figures: &mut Figures) -> Result<()> {
    let environment = open_full().await?;
    let report =
        environment.order(Plan { ledger: Some(environment.ledger(0)), ..count(ORDERS) }).await?;
    note_trouble(&report, figures);
    environment.rest().await?;
    let reported = ["logs", "--since", "1h", "--tail", "all"];
    let text = environment.run(&[&reported[..], &["--json"]].concat()).await?;
    let lines = text.lines().count();
    ensure!(lines >= LINES_MIN, "only {lines} lines");
    if !times(&text).is_sorted() {
        figures.fault("the lines are not in the order of their times".into());
    }
    figures.note("lines", "", f64::from(u32::try_from(lines)?));
    let rival = Rival::find();
    // Alternately, and to /dev/null: the reader's cost does not count.
    for _ in 0..RUNS {
        let ours = time(environment.command(&reported))?;
        figures.note("`chefcito logs --since 1h`", "s", ours.as_secs_f64());
        tokio::task::yield_now().await;
        let Some(rival) = &rival else { continue };
        let theirs = time(rival.logs(environment.name()))?;
        figures.note(format!("docker compose {} logs", rival.version()), "s", theirs.as_secs_f64());
        let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
        figures.judge("… as long as ours", "×", ratio, Goal::at_least(1.0, 1.0));
        tokio::task::yield_now().await;
    }
    let delivered = number(report.delivered);
    figures.note("orders in the logs", "", delivered);
    environment.audit(1, figures).await
}

/// Runs a command with its output discarded, and returns how long it took.
fn time(mut command: Command) -> Result<Duration> {
    let start = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    let took = start.elapsed();
    ensure!(status.success(), "{command:?} failed");
    Ok(took)
}

fn times(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|line| line["time"].as_str().map(str::to_owned))
        .collect()
}
