//! The whole environment in containers, as fast as it goes. A backlog at the end of the time counts as not delivered.

use anyhow::Result;
use load::Plan;

use super::{
    super::{closed, millis, note_trouble},
    open_full,
};
use crate::{
    containers::Containers,
    figures::{Figures, Goal},
    options::Options,
    process::{Process, micros_each, number},
};

pub(in super::super) async fn play(options: &Options, figures: &mut Figures) -> Result<()> {
    let environment = open_full().await?;
    environment.rest().await?;
    let containers = Containers::of(environment.name()).await?;
    let (before, own_before) = (containers.cpu().await?, Process::this().cpu()?);
    let plan = Plan { ledger: Some(environment.ledger(0)), ..closed(options.duration()) };
    let report = environment.order(plan).await?;
    let own = Process::this().cpu()? - own_before;
    environment.rest().await?;
    let cpu = containers.cpu().await? - before;
    let delivered = number(report.delivered_while_placing) / report.placing.as_secs_f64();
    figures.judge("accepted", "orders/s", report.accepted_rate(), Goal::at_least(2_000.0, 8_000.0));
    figures.judge("delivered", "orders/s", delivered, Goal::at_least(500.0, 2_000.0));
    let backlog = report.accepted - report.delivered_while_placing;
    figures.note("backlog at the end of the time", "orders", number(backlog));
    figures.judge(
        "CPU per delivered order, over all containers",
        "µs",
        micros_each(cpu, report.delivered),
        Goal::at_most(1_500.0, 700.0),
    );
    figures.note("CPU of the guests", "µs an order", micros_each(own, report.accepted));
    figures.note("accepted, p99", "ms", millis(report.accepting.quantile(0.99)));
    figures.note("placed to delivered, p99", "ms", millis(report.delivery.quantile(0.99)));
    let memory = containers.memory_of_services().await?;
    figures.note("memory of all services afterwards", "MiB", memory);
    note_trouble(&report, figures);
    environment.audit(1, figures).await
}
