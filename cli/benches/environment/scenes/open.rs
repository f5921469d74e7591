//! The latency at a rate that the environment can sustain, from the planned time of each order.

use anyhow::Result;
use load::{Model, Plan};

use super::{closed, millis, note_trouble};
use crate::{
    figures::{Figures, Goal},
    options::Options,
    process::{micros_each, number},
    stage::Environment,
};

/// Orders per second.
const RATE: f64 = 1_000.0;

pub(super) async fn play(options: &Options, figures: &mut Figures) -> Result<()> {
    let environment = Environment::open_full(&[]).await?;
    environment.rest().await?;
    let process = environment.process().await?;
    let before = process.cpu()?;
    let plan = Plan {
        model: Model::Open { rate: RATE },
        ledger: Some(environment.ledger(0)),
        ..closed(options.duration())
    };
    let report = environment.order(plan).await?;
    let cpu = process.cpu()? - before;
    let (accepting, delivery) = (&report.accepting, &report.delivery);
    let goals = [
        ("accepted, p50", accepting, 0.5, Goal::at_most(2.0, 0.5)),
        ("accepted, p99", accepting, 0.99, Goal::at_most(25.0, 5.0)),
        ("placed to delivered, p50", delivery, 0.5, Goal::at_most(30.0, 10.0)),
        ("placed to delivered, p99", delivery, 0.99, Goal::at_most(200.0, 60.0)),
    ];
    for (what, distribution, share, goal) in goals {
        figures.judge(what, "ms", millis(distribution.quantile(share)), goal);
    }
    figures.note(
        "of which sent late by the guests, p99",
        "ms",
        millis(report.lateness.quantile(0.99)),
    );
    figures.note(
        "delivered while orders came",
        "orders/s",
        number(report.delivered_while_placing) / report.placing.as_secs_f64(),
    );
    figures.note("CPU per order, door to table", "µs", micros_each(cpu, report.delivered));
    note_trouble(&report, figures);
    environment.audit(1, figures).await
}
