//! Everything has to be bought, from a market that often has nothing.

use anyhow::Result;
use load::Plan;

use super::{count, millis, note_trouble};
use crate::{
    figures::{Figures, Goal},
    process::micros_each,
    stage::Environment,
};

/// How many orders.
const ORDERS: u64 = 5_000;

pub(super) async fn play(figures: &mut Figures) -> Result<()> {
    let environment = Environment::open(&[]).await?;
    let poor = ["market", "set", "--quantity", "1-10", "--zeros", "0.3", "--delay", "0ms"];
    environment.run(&poor).await?;
    let process = environment.process().await?;
    let before = process.cpu()?;
    let plan = Plan { ledger: Some(environment.ledger(0)), ..count(ORDERS) };
    let report = environment.order(plan).await?;
    let cpu = process.cpu()? - before;
    figures.judge(
        "first placed to last delivered",
        "orders/s",
        report.delivered_rate(),
        Goal::at_least(500.0, 1_500.0),
    );
    figures.note("placed to delivered, p99", "ms", millis(report.delivery.quantile(0.99)));
    figures.note("CPU per order, shopping included", "µs", micros_each(cpu, report.delivered));
    note_trouble(&report, figures);
    environment.audit(1, figures).await
}
