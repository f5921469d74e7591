//! The report of a run in files, for people, scripts and pipelines.

use contracts::api::gateway::Story;
use load::{Crossed, Limit, Plan, Report, micros_shown};

use super::summary::{Document, counts, dishes, latencies};
use crate::{
    clock::Clock,
    commands::{connect, story},
    error::{CliError, Result},
    output::Output,
    report::{self, Check, cell},
    state::Environment,
};

/// Returns the report of a run with these limits. The story of its slowest order is in it, as far as the environment tells it.
///
/// # Errors
/// [`CliError::Other`] if a figure can't be written as JSON.
pub(super) async fn report(
    plan: &Plan,
    run: &Report,
    limits: &[Limit],
    crossed: &[Crossed],
    result: &Result<()>,
    environment: &Environment,
    output: &Output,
) -> Result<report::Report> {
    let document = serde_json::to_value(Document::new(plan, run, crossed));
    Ok(report::Report {
        command: "order",
        result: counts(run),
        checks: checks(plan, run, limits, crossed, result),
        details: details(run, slowest(run, environment, output).await),
        document: document.map_err(anyhow::Error::from)?,
        seconds: run.placing.max(run.delivering).as_secs_f64(),
    })
}

/// Returns what should hold: that all orders are accepted and come to their ends, and each limit.
fn checks(
    plan: &Plan,
    run: &Report,
    limits: &[Limit],
    crossed: &[Crossed],
    result: &Result<()>,
) -> Vec<Check> {
    let accepted = Check {
        name: "every order is accepted".into(),
        failure: (run.failed > 0).then(|| {
            let why = run.failures.iter().map(|(why, count)| format!("{count} × {why}"));
            format!(
                "{} of {} were not: {}",
                run.failed,
                run.sent,
                why.collect::<Vec<_>>().join("; ")
            )
        }),
    };
    let ended = Check {
        name: "every accepted order comes to its end".into(),
        failure: match &run.not_followed {
            Some(why) => Some(why.clone()),
            None if run.undelivered > 0 => Some(format!("{} did not in time", run.undelivered)),
            None => None,
        },
    };
    let of_limit = |limit: &Limit| {
        let name = limit.to_string();
        let crossed = crossed.iter().find(|crossed| crossed.limit == name);
        Check {
            name: format!("limit {name}"),
            failure: crossed.map(|crossed| format!("crossed: found {}", crossed.found)),
        }
    };
    // After an interrupt, accepted orders were not followed: nothing is known about their ends.
    let is_followed = plan.follow && !run.interrupted;
    let mut checks: Vec<Check> = [Some(accepted), is_followed.then_some(ended)]
        .into_iter()
        .flatten()
        .chain(limits.iter().map(of_limit))
        .collect();
    // What else ended the command: a signal, or a kitchen that rejected everything.
    if let Err(error) = result
        && checks.iter().all(|check| check.failure.is_none())
    {
        checks.push(Check { name: "the run is complete".into(), failure: Some(error.to_string()) });
    }
    checks
}

fn details(run: &Report, slowest: Option<String>) -> String {
    let mut parts = Vec::new();
    if run.accepting.count() > 0 {
        parts.push(latencies(run).markdown());
    }
    if !run.dishes.is_empty() {
        parts.push(dishes(run).markdown());
    }
    parts.extend(slowest);
    parts.join("\n")
}

/// Returns the story of the slowest order, in Markdown.
async fn slowest(run: &Report, environment: &Environment, output: &Output) -> Option<String> {
    let (order, took) = run.slowest?;
    let told = async {
        let told: Story =
            connect(environment).await?.get(&format!("/v1/orders/{order}/story")).await?;
        Ok::<_, CliError>(story::table(&told, &Clock::utc()).markdown())
    };
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let heading = format!(
        "### The slowest order: {}, in {}\n\n",
        cell(&order.to_string()),
        micros_shown(micros)
    );
    match told.await {
        Ok(table) => Some(heading + &table),
        Err(error) => {
            output.warn(format_args!("the report lacks the story of the slowest order: {error}"));
            Some(heading)
        }
    }
}
