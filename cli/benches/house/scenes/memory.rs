//! How much memory the house has, before anybody came and after many did.

use anyhow::Result;
use chefcito::load::Plan;

use super::{count, note_trouble};
use crate::{
    figures::{Figures, Goal},
    stage::House,
};

/// How many orders.
const ORDERS: u64 = 20_000;

pub(super) async fn play(figures: &mut Figures) -> Result<()> {
    let house = House::open(&[]).await?;
    house.rest().await?;
    let process = house.process().await?;
    figures.judge("idle", "MiB", process.resident()?, Goal::at_most(48.0, 24.0));
    house.fill().await?;
    let plan = Plan { ledger: Some(house.ledger(0)), ..count(ORDERS) };
    let report = house.order(plan).await?;
    house.rest().await?;
    let goal = Goal::at_most(128.0, 64.0);
    figures.judge("after 20,000 orders", "MiB", process.resident()?, goal);
    figures.note("at its peak", "MiB", process.peak()?);
    note_trouble(&report, figures);
    house.audit(1, figures).await?;
    figures.note("at its peak, with an audit", "MiB", process.peak()?);
    Ok(())
}
