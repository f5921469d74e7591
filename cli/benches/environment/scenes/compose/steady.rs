//! The latency at a rate that the containers can sustain, from the planned time of each order.

use anyhow::Result;
use load::{Model, Plan};

use super::{
    super::{closed, millis, note_trouble},
    open_full,
};
use crate::{
    containers::Containers,
    figures::{Figures, Goal},
    options::Options,
    process::{micros_each, number},
};

/// Orders per second.
const RATE: f64 = 500.0;

pub(in super::super) async fn play(options: &Options, figures: &mut Figures) -> Result<()> {
    let environment = open_full().await?;
    environment.rest().await?;
    let containers = Containers::of(environment.name()).await?;
    let before = containers.cpu().await?;
    let plan = Plan {
        model: Model::Open { rate: RATE },
        ledger: Some(environment.ledger(0)),
        ..closed(options.duration())
    };
    let report = environment.order(plan).await?;
    let cpu = containers.cpu().await? - before;
    let (accepting, delivery) = (&report.accepting, &report.delivery);
    let goals = [
        ("accepted, p50", accepting, 0.5, Goal::at_most(10.0, 3.0)),
        ("accepted, p99", accepting, 0.99, Goal::at_most(80.0, 25.0)),
        ("placed to delivered, p50", delivery, 0.5, Goal::at_most(80.0, 25.0)),
        ("placed to delivered, p99", delivery, 0.99, Goal::at_most(400.0, 120.0)),
    ];
    for (what, distribution, share, goal) in goals {
        figures.judge(what, "ms", millis(distribution.quantile(share)), goal);
    }
    let late = millis(report.lateness.quantile(0.99));
    figures.note("of which sent late by the guests, p99", "ms", late);
    let delivered = number(report.delivered_while_placing) / report.placing.as_secs_f64();
    figures.note("delivered while orders came", "orders/s", delivered);
    figures.note("CPU per order, over all containers", "µs", micros_each(cpu, report.delivered));
    note_trouble(&report, figures);
    environment.audit(1, figures).await
}
