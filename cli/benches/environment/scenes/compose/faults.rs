//! How long no order is accepted after a part was killed or paused, while orders are in progress.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use contracts::services;
use load::Plan;

use super::{super::count, open_full};
use crate::{
    containers::{Containers, SERVERS},
    figures::{Figures, Goal},
    stage::order,
};

/// How many orders were accepted just before, most of them in progress.
const ORDERS: u64 = 500;
/// How long a part is paused.
const STILL: Duration = Duration::from_secs(2);

pub(in super::super) async fn play(figures: &mut Figures) -> Result<()> {
    let environment = open_full().await?;
    environment.rest().await?;
    let containers = Containers::of(environment.name()).await?;
    // The killed part may be the one that reports the address.
    let target = environment.target().await?;
    let parts: Vec<&str> = services::ALL.into_iter().chain(SERVERS).collect();
    let mut ledgers = 0;
    for part in &parts {
        for fault in ["kill -9", "pause"] {
            let plan =
                Plan { follow: false, ledger: Some(environment.ledger(ledgers)), ..count(ORDERS) };
            ledgers += 1;
            let report = order(plan, &target).await?;
            ensure!(report.accepted == ORDERS, "only {} orders were accepted", report.accepted);
            let container = containers.one(part).await?;
            if fault == "pause" {
                containers.pause(&container).await?;
                tokio::time::sleep(STILL).await;
                containers.unpause(&container).await?;
            } else {
                containers.kill(&container).await?;
                containers.start(&container).await?;
            }
            let start = Instant::now();
            let report = order(Plan { follow: false, ..count(1) }, &target).await?;
            ensure!(report.accepted == 1, "no order was taken after {fault} of {part}");
            let took = start.elapsed().as_secs_f64();
            let goal = Goal::at_most(5.0, 1.0);
            figures.judge(format!("{fault} of any part: accepting again"), "s", took, goal);
            tokio::task::yield_now().await;
        }
    }
    environment.rest().await?;
    environment.audit(ledgers, figures).await
}
