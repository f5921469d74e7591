//! The cost of accepting alone. To stop the other services, their databases are locked from outside, as by a backup,
//! while orders are placed; afterwards everything is delivered.

use std::time::Duration;

use anyhow::Result;
use contracts::services;
use load::Plan;
use rusqlite::Connection;

use super::{closed, note_trouble};
use crate::{
    figures::{Figures, Goal},
    process::micros_each,
    stage::Environment,
};

/// Shorter than writers wait for a lock, so that none gives up.
const HELD: Duration = Duration::from_secs(4);

pub(super) async fn play(figures: &mut Figures) -> Result<()> {
    let environment = Environment::open_full(&[]).await?;
    environment.rest().await?;
    let held = [services::KITCHEN, services::BOARD].map(|service| hold(&environment, service));
    let held = held.into_iter().collect::<Result<Vec<_>>>()?;
    let process = environment.process().await?;
    let before = process.cpu()?;
    let plan = Plan { follow: false, ledger: Some(environment.ledger(0)), ..closed(HELD) };
    let report = environment.order(plan).await?;
    let cpu = process.cpu()? - before;
    drop(held);
    figures.judge(
        "accepted",
        "orders/s",
        report.accepted_rate(),
        Goal::at_least(8_000.0, 20_000.0),
    );
    figures.judge(
        "CPU per accepted order",
        "µs",
        micros_each(cpu, report.accepted),
        Goal::at_most(60.0, 25.0),
    );
    note_trouble(&report, figures);
    environment.rest().await?;
    environment.audit(1, figures).await
}

/// Locks a service's database until the connection is dropped.
fn hold(environment: &Environment, service: &str) -> Result<Connection> {
    let database = Connection::open(environment.database_of(service))?;
    database.busy_timeout(Duration::from_secs(5))?;
    database.execute_batch("BEGIN IMMEDIATE")?;
    Ok(database)
}
