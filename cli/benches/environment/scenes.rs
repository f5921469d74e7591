//! The scenes, one file each.

mod burst;
mod commands;
mod compose;
mod crash;
mod delivered;
mod door;
mod limit;
mod load;
mod market;
mod memory;
mod open;
mod rows;

use std::time::Duration;

use ::load::{CONCURRENCY_DEFAULT, Model, Plan, Report};
use anyhow::Result;
use test_support::POSTGRES;

use crate::{
    figures::Figures,
    options::{Options, Scene},
    process::number,
};

/// How long to wait for the end of orders before they count as lost.
const END_MAX: Duration = Duration::from_secs(300);

/// Runs a scene once, in a new environment.
pub(crate) async fn play(scene: Scene, options: &Options, figures: &mut Figures) -> Result<()> {
    match scene {
        Scene::Limit => limit::play(options, figures).await,
        Scene::Door => door::play(figures).await,
        Scene::Delivered => delivered::play(options, figures).await,
        Scene::Open => open::play(options, figures).await,
        Scene::Market => market::play(figures).await,
        Scene::Postgres => match std::env::var(POSTGRES) {
            Ok(url) => delivered::play_on_postgres(&url, options, figures).await,
            Err(_) => {
                figures.note(format!("not measured: {POSTGRES} is not set"), "", 0.0);
                Ok(())
            }
        },
        Scene::Memory => memory::play(figures).await,
        Scene::Commands => commands::play(figures).await,
        Scene::Crash => crash::play(figures).await,
        Scene::Build => compose::build::play(figures).await,
        Scene::Start => compose::start::play(figures).await,
        Scene::ComposeDoor => compose::door::play(figures).await,
        Scene::ComposeDelivered => compose::delivered::play(options, figures).await,
        Scene::ComposeOpen => compose::steady::play(options, figures).await,
        Scene::Outage => compose::outage::play(figures).await,
        Scene::Faults => compose::faults::play(figures).await,
        Scene::Logs => compose::logs::play(figures).await,
        Scene::Load => load::play(figures).await,
        Scene::Burst => burst::play(figures).await,
    }
}

/// Returns a plan of one order a request, as fast as the environment takes them.
pub(crate) fn closed(duration: Duration) -> Plan {
    Plan {
        model: Model::Closed,
        count: None,
        duration: Some(duration),
        concurrency: CONCURRENCY_DEFAULT,
        dish: None,
        follow: true,
        attempt_max: ::load::ATTEMPT_MAX,
        timeout: END_MAX,
        ledger: None,
        history: None,
    }
}

/// Returns a plan of that many orders, as fast as the environment takes them.
pub(crate) fn count(orders: u64) -> Plan {
    Plan { timeout: END_MAX, ..Plan::orders(orders) }
}

/// Adds failures, and requests that the environment asked to send again.
pub(crate) fn note_trouble(report: &Report, figures: &mut Figures) {
    figures.note("requests that failed", "", number(report.failed));
    figures.note("503s and 429s, each sent again", "", number(report.pushed_back));
    let lost = report.accepted - report.ended();
    if report.undelivered > 0 {
        figures.fault(format!("{lost} accepted orders were not at their end within {END_MAX:?}"));
    }
    if let Some(why) = &report.not_followed {
        figures.fault(format!("orders could not be followed: {why}"));
    }
    for (words, count) in &report.failures {
        figures.fault(format!("{count} requests failed: {words}"));
    }
}

/// Returns microseconds as milliseconds.
pub(crate) fn millis(micros: u64) -> f64 {
    number(micros) / 1e3
}
