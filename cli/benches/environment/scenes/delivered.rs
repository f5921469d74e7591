//! The whole environment as fast as it goes. A backlog at the end of the time counts as not delivered.

use anyhow::Result;
use load::Plan;

use super::{closed, millis, note_trouble};
use crate::{
    figures::{Figures, Goal},
    options::Options,
    process::{Process, micros_each, number},
    stage::Environment,
};

pub(super) async fn play(options: &Options, figures: &mut Figures) -> Result<()> {
    let goals = Goals {
        accepted: Some(Goal::at_least(8_000.0, 20_000.0)),
        delivered: Goal::at_least(2_500.0, 6_000.0),
        cpu: Some(Goal::at_most(500.0, 250.0)),
    };
    measure(&Environment::open_full(&[]).await?, &goals, options, figures).await
}

pub(super) async fn play_on_postgres(
    url: &str,
    options: &Options,
    figures: &mut Figures,
) -> Result<()> {
    let goals = Goals { accepted: None, delivered: Goal::at_least(800.0, 2_500.0), cpu: None };
    let environment = Environment::open_full(&["--database-url", url]).await?;
    measure(&environment, &goals, options, figures).await
}

struct Goals {
    accepted: Option<Goal>,
    delivered: Goal,
    cpu: Option<Goal>,
}

async fn measure(
    environment: &Environment,
    goals: &Goals,
    options: &Options,
    figures: &mut Figures,
) -> Result<()> {
    let process = environment.process().await?;
    let (before, own_before) = (process.cpu()?, Process::this().cpu()?);
    let plan = Plan { ledger: Some(environment.ledger(0)), ..closed(options.duration()) };
    let report = environment.order(plan).await?;
    let own = Process::this().cpu()? - own_before;
    environment.rest().await?;
    let cpu = process.cpu()? - before;

    let placing = report.placing.as_secs_f64();
    let delivered = number(report.delivered_while_placing) / placing;
    judge(figures, "accepted", "orders/s", report.accepted_rate(), goals.accepted);
    judge(figures, "delivered", "orders/s", delivered, Some(goals.delivered));
    let backlog = report.accepted - report.delivered_while_placing;
    figures.note("backlog at the end of the time", "orders", number(backlog));
    let cpu = micros_each(cpu, report.delivered);
    judge(figures, "CPU per delivered order, door to table", "µs", cpu, goals.cpu);
    figures.note(
        "CPU of the guests, who order and ask",
        "µs an order",
        micros_each(own, report.accepted),
    );
    figures.note("accepted, p50", "ms", millis(report.accepting.quantile(0.5)));
    figures.note("accepted, p99", "ms", millis(report.accepting.quantile(0.99)));
    figures.note("placed to delivered, p50", "ms", millis(report.delivery.quantile(0.5)));
    figures.note("placed to delivered, p99", "ms", millis(report.delivery.quantile(0.99)));
    figures.note("memory at its peak", "MiB", process.peak()?);
    note_trouble(&report, figures);
    environment.audit(1, figures).await
}

fn judge(figures: &mut Figures, what: &str, unit: &'static str, value: f64, goal: Option<Goal>) {
    match goal {
        Some(goal) => figures.judge(what, unit, value, goal),
        None => figures.note(what, unit, value),
    }
}
