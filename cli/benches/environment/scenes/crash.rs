//! How long no order is accepted after the environment was killed and started again at once.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use load::Plan;
use rustix::process::{Pid, Signal, kill_process};

use super::count;
use crate::{
    figures::{Figures, Goal},
    stage::{Environment, free_port},
};

/// How often it is killed.
const RUNS: usize = 10;
/// How many orders were accepted just before, most of them in progress.
const ORDERS: u64 = 1_000;

pub(super) async fn play(figures: &mut Figures) -> Result<()> {
    let port = free_port()?.to_string();
    let environment = Environment::prepare()?;
    let up = ["up", "--port", &port, "--cooking-time", "0s"];
    environment.run(&up).await?;
    environment.fill().await?;
    for run in 0..RUNS {
        let plan = Plan { follow: false, ledger: Some(environment.ledger(run)), ..count(ORDERS) };
        let report = environment.order(plan).await?;
        ensure!(report.accepted == ORDERS, "only {} orders were accepted", report.accepted);
        let pid = i32::try_from(environment.process().await?.0).ok().and_then(Pid::from_raw);
        let start = Instant::now();
        kill_process(pid.context("an environment without a process")?, Signal::KILL)?;
        environment.run(&up).await?;
        let report = environment.order(Plan { follow: false, ..count(1) }).await?;
        let took = start.elapsed().as_secs_f64();
        ensure!(report.accepted == 1, "the environment was open again, but took no order");
        let goal = Goal::at_most(5_000.0, 1_000.0);
        figures.judge("kill -9 until the next order is accepted", "ms", took * 1e3, goal);
    }
    environment.rest().await?;
    environment.audit(RUNS, figures).await
}
