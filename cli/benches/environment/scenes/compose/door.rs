//! The cost of accepting alone, in containers: the kitchen and the board are paused while orders are placed; afterwards
//! everything is delivered.

use std::time::Duration;

use anyhow::Result;
use contracts::services::{BOARD, KITCHEN};
use load::Plan;

use super::{
    super::{closed, note_trouble},
    open_full,
};
use crate::{
    containers::Containers,
    figures::{Figures, Goal},
    process::micros_each,
    stage::order,
};

/// How long.
const HELD: Duration = Duration::from_secs(5);

pub(in super::super) async fn play(figures: &mut Figures) -> Result<()> {
    let environment = open_full().await?;
    environment.rest().await?;
    let containers = Containers::of(environment.name()).await?;
    let (kitchen, board) = (containers.one(KITCHEN).await?, containers.one(BOARD).await?);
    // A paused container can't report its address.
    let target = environment.target().await?;
    containers.pause(&kitchen).await?;
    containers.pause(&board).await?;
    let before = containers.cpu().await?;
    let plan = Plan { follow: false, ledger: Some(environment.ledger(0)), ..closed(HELD) };
    let report = order(plan, &target).await?;
    let cpu = containers.cpu().await? - before;
    containers.unpause(&kitchen).await?;
    containers.unpause(&board).await?;
    let goal = Goal::at_least(2_000.0, 8_000.0);
    figures.judge("accepted", "orders/s", report.accepted_rate(), goal);
    figures.note("CPU per accepted order", "µs", micros_each(cpu, report.accepted));
    note_trouble(&report, figures);
    environment.rest().await?;
    environment.audit(1, figures).await
}
