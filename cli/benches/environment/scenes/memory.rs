//! The memory of the environment before any order, and after many.

use anyhow::Result;
use load::Plan;

use super::{count, note_trouble};
use crate::{
    figures::{Figures, Goal},
    stage::Environment,
};

/// How many orders.
const ORDERS: u64 = 20_000;

pub(super) async fn play(figures: &mut Figures) -> Result<()> {
    let environment = Environment::open(&[]).await?;
    environment.rest().await?;
    let process = environment.process().await?;
    figures.judge("idle", "MiB", process.resident()?, Goal::at_most(48.0, 24.0));
    environment.fill().await?;
    let plan = Plan { ledger: Some(environment.ledger(0)), ..count(ORDERS) };
    let report = environment.order(plan).await?;
    environment.rest().await?;
    let goal = Goal::at_most(128.0, 64.0);
    figures.judge("after 20,000 orders", "MiB", process.resident()?, goal);
    figures.note("at its peak", "MiB", process.peak()?);
    note_trouble(&report, figures);
    environment.audit(1, figures).await?;
    figures.note("at its peak, with an audit", "MiB", process.peak()?);
    Ok(())
}
