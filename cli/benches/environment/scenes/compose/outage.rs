//! Redis is stopped: orders are accepted, and delivered when it is back.

use std::time::{Duration, Instant};

use anyhow::Result;
use load::Plan;

use super::{
    super::{closed, note_trouble},
    open_full,
};
use crate::{
    containers::Containers,
    figures::{Figures, Goal},
};

/// How long.
const AWAY: Duration = Duration::from_secs(5);

pub(in super::super) async fn play(figures: &mut Figures) -> Result<()> {
    let environment = open_full().await?;
    environment.rest().await?;
    let containers = Containers::of(environment.name()).await?;
    let redis = containers.one("redis").await?;
    containers.kill(&redis).await?;
    let plan = Plan { follow: false, ledger: Some(environment.ledger(0)), ..closed(AWAY) };
    let report = environment.order(plan).await?;
    containers.start(&redis).await?;
    let back = Instant::now();
    let goal = Goal::at_least(2_000.0, 8_000.0);
    figures.judge("accepted while Redis is away", "orders/s", report.accepted_rate(), goal);
    note_trouble(&report, figures);
    environment.rest().await?;
    figures.note("from its return until all are delivered", "s", back.elapsed().as_secs_f64());
    environment.audit(1, figures).await
}
