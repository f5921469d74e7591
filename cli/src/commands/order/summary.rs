//! The summary of a run, for people and for scripts.

use std::{borrow::Cow, path::Path, time::Duration};

use contracts::OrderId;
use load::{Crossed, Distribution, Model, Plan, Point, Report, micros_shown};
use serde::Serialize;

use crate::{
    error::Result,
    output::{Output, Style, Table},
};

/// The most dishes that the table shows.
const DISHES_SHOWN_MAX: usize = 20;
/// The fewest orders for which a histogram is shown.
const PICTURED_MIN: u64 = 20;
/// The version of the format of [`Document`].
const SCHEMA_VERSION: u32 = 1;

/// Prints the summary of a run: dishes, counts, rates and latencies.
///
/// # Errors
/// If stdout can't be written.
pub(super) fn show(report: &Report, output: &Output) -> Result<()> {
    for (failure, count) in &report.failures {
        output.warn(format_args!("{count} × {}", printable::line(failure)));
    }
    if let [order] = report.first_ids[..]
        && report.sent == 1
    {
        return show_one(order, report, output);
    }
    if (1..=DISHES_SHOWN_MAX).contains(&report.dishes.len()) {
        output.data(dishes(report))?;
        output.data("")?;
    }
    output.data(counts(report))?;
    if report.accepted > 0 {
        output.data(format_args!(
            "Accepted {}/s{}",
            rounded(report.accepted_rate()),
            delivered_rate(report)
        ))?;
        output.data("")?;
        output.data(latencies(report))?;
    }
    if report.delivery.count() >= PICTURED_MIN {
        output.data(format_args!(
            "\nPlaced to delivered:\n{}",
            report.delivery.picture().trim_end()
        ))?;
    }
    if report.pushed_back + report.lost > 0 {
        output.status(format_args!(
            "Sent again with the same key: {} after a 503 or 429, {} after a lost connection",
            report.pushed_back, report.lost
        ));
    }
    if let Some(order) = report.undelivered_ids.first().or(report.first_ids.first()) {
        let ids: Vec<String> = report.first_ids.iter().map(ToString::to_string).collect();
        output.status(format_args!("First orders: {}", ids.join(" ")));
        let story = format_args!("chefcito story{} {order}", output.name_flag());
        let story = output.stderr_style(Style::Bold, story).to_string();
        output.status(format_args!("What happened to one: {story}"));
    }
    if let Some(ledger) = report.ledger.as_deref().filter(|_| report.accepted > 0) {
        output.detail(format_args!("Accepted orders are noted in {}", ledger.display()));
    }
    if let Some(history) = &report.history {
        output.detail(format_args!("Requests and answers are recorded in {}", history.display()));
    }
    Ok(())
}

fn show_one(order: OrderId, report: &Report, output: &Output) -> Result<()> {
    let accepted = micros_shown(report.accepting.max());
    let delivered = report.dishes.first_key_value().filter(|_| report.delivered > 0);
    let said = match delivered {
        Some((dish, _)) => format!("{dish}, delivered in {}", micros_shown(report.delivery.max())),
        None if report.cancelled > 0 => "cancelled".into(),
        None if report.rejected > 0 => "rejected by the kitchen".into(),
        None => format!("accepted in {accepted}"),
    };
    output.data(format_args!("{order}  {said}"))?;
    let flag = output.name_flag();
    output.status(format_args!("What happened to it: chefcito story{flag} {order}"));
    Ok(())
}

/// Returns the dishes that were delivered.
pub(super) fn dishes(report: &Report) -> Table<3> {
    let mut table = Table::new(["dish", "delivered", "mean time"]);
    for (name, dish) in &report.dishes {
        table.row([name.clone(), dish.count.to_string(), micros_shown(dish.mean_micros())]);
    }
    table
}

/// Returns how many orders came to which end.
pub(super) fn counts(report: &Report) -> String {
    let optional = [
        (report.delivered, "delivered"),
        (report.cancelled, "cancelled"),
        (report.rejected, "rejected"),
        (report.undelivered, "not delivered in time"),
        (report.failed, "failed"),
    ];
    let mut text = format!("{} accepted", report.accepted);
    for (count, what) in optional.into_iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!(", {count} {what}"));
    }
    if report.interrupted {
        text.push_str(" (interrupted)");
    }
    text
}

fn delivered_rate(report: &Report) -> String {
    match report.delivered {
        0 => String::new(),
        _ => format!(", delivered {}/s", rounded(report.delivered_rate())),
    }
}

fn rounded(rate: f64) -> String {
    if rate < 100.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

/// Returns how long orders took.
pub(super) fn latencies(report: &Report) -> Table<6> {
    let mut table = Table::new(["", "p50", "p90", "p99", "p99.9", "max"]);
    let mut row = |name: &str, distribution: &Distribution| {
        if distribution.count() > 0 {
            let [p50, p90, p99, p999, max] =
                Point::ALL.map(|point| micros_shown(point.of(distribution)));
            table.row([name.into(), p50, p90, p99, p999, max]);
        }
    };
    row("until accepted", &report.accepting);
    row("sent late by", &report.lateness);
    row("placed to delivered", &report.delivery);
    table
}

/// All figures of a run, for scripts. Durations are milliseconds. Fields are only ever added.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    schema_version: u32,
    model: &'static str,
    offered_per_second: Option<f64>,
    concurrency: usize,
    dish: Option<&'a str>,
    sent: u64,
    accepted: u64,
    failed: u64,
    unknown: u64,
    failures: Vec<Failure<'a>>,
    pushed_back: u64,
    connections_lost: u64,
    followed: bool,
    delivered: u64,
    delivered_while_placing: u64,
    cancelled: u64,
    rejected: u64,
    undelivered: u64,
    undelivered_orders: &'a [OrderId],
    interrupted: bool,
    placing_ms: f64,
    delivering_ms: f64,
    rate: Rates,
    accepted_latency: Latency,
    sent_late: Latency,
    delivered_latency: Latency,
    dishes: Vec<DishDocument<'a>>,
    first_orders: &'a [OrderId],
    ledger: Option<Cow<'a, str>>,
    history: Option<Cow<'a, str>>,
    limits_crossed: Vec<CrossedDocument<'a>>,
}

#[derive(Debug, Serialize)]
struct Failure<'a> {
    what: &'a str,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Rates {
    accepted: f64,
    delivered: f64,
}

#[derive(Debug, Serialize)]
struct Latency {
    count: u64,
    mean_ms: f64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    #[serde(rename = "p99.9_ms")]
    p999_ms: f64,
    max_ms: f64,
}

#[derive(Debug, Serialize)]
struct DishDocument<'a> {
    dish: &'a str,
    delivered: u64,
    mean_ms: f64,
}

#[derive(Debug, Serialize)]
struct CrossedDocument<'a> {
    limit: &'a str,
    found: &'a str,
}

impl<'a> Document<'a> {
    pub(super) fn new(plan: &'a Plan, report: &'a Report, crossed: &'a [Crossed]) -> Self {
        let (model, offered_per_second) = match plan.model {
            Model::Closed => ("closed", None),
            Model::Open { rate } => ("open", Some(rate)),
        };
        let dish = |(name, dish): (&'a String, &load::Dish)| DishDocument {
            dish: name,
            delivered: dish.count,
            mean_ms: ms(dish.mean_micros()),
        };
        Self {
            schema_version: SCHEMA_VERSION,
            model,
            offered_per_second,
            concurrency: plan.concurrency,
            dish: plan.dish.as_deref(),
            sent: report.sent,
            accepted: report.accepted,
            failed: report.failed,
            unknown: report.unknown,
            failures: report
                .failures
                .iter()
                .map(|(what, count)| Failure { what, count: *count })
                .collect(),
            pushed_back: report.pushed_back,
            connections_lost: report.lost,
            followed: plan.follow,
            delivered: report.delivered,
            delivered_while_placing: report.delivered_while_placing,
            cancelled: report.cancelled,
            rejected: report.rejected,
            undelivered: report.undelivered,
            undelivered_orders: &report.undelivered_ids,
            interrupted: report.interrupted,
            placing_ms: duration_ms(report.placing),
            delivering_ms: duration_ms(report.delivering),
            rate: Rates {
                accepted: thousandths(report.accepted_rate()),
                delivered: thousandths(report.delivered_rate()),
            },
            accepted_latency: Latency::of(&report.accepting),
            sent_late: Latency::of(&report.lateness),
            delivered_latency: Latency::of(&report.delivery),
            dishes: report.dishes.iter().map(dish).collect(),
            first_orders: &report.first_ids,
            ledger: report.ledger.as_deref().map(Path::to_string_lossy),
            history: report.history.as_deref().map(Path::to_string_lossy),
            limits_crossed: crossed
                .iter()
                .map(|crossed| CrossedDocument { limit: &crossed.limit, found: &crossed.found })
                .collect(),
        }
    }
}

impl Latency {
    fn of(distribution: &Distribution) -> Self {
        let [p50_ms, p90_ms, p99_ms, p999_ms, max_ms] =
            Point::ALL.map(|point| ms(point.of(distribution)));
        let mean_ms = thousandths(distribution.mean() / 1e3);
        Self { count: distribution.count(), mean_ms, p50_ms, p90_ms, p99_ms, p999_ms, max_ms }
    }
}

fn thousandths(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
fn ms(micros: u64) -> f64 {
    micros as f64 / 1e3
}

fn duration_ms(duration: Duration) -> f64 {
    ms(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use load::Dish;

    /// A run with at least one of every kind of result.
    fn report() -> Report {
        let mut report = Report {
            sent: 2_000,
            accepted: 1_990,
            failed: 10,
            failures: BTreeMap::from([("Busy (503); tried for 1m".into(), 10)]),
            pushed_back: 40,
            lost: 2,
            delivered: 1_980,
            cancelled: 4,
            rejected: 3,
            undelivered: 3,
            undelivered_ids: vec!["0192f3c4-5a6b-7c8d-9e0f-112233445566".parse().unwrap()],
            placing: Duration::from_millis(2_500),
            delivering: Duration::from_millis(3_200),
            ..Report::default()
        };
        for n in 1..=2_000 {
            report.accepting.record(Duration::from_micros(100 + n));
            report.lateness.record(Duration::from_micros(60 + n % 30));
            report.delivery.record(Duration::from_millis(5 + n / 20));
        }
        let dishes = [("pizza", 1_200, 60), ("salad", 780, 7)];
        report.dishes = dishes
            .map(|(name, count, ms)| {
                (
                    name.into(),
                    Dish {
                        count,
                        total: Duration::from_millis(ms) * u32::try_from(count).unwrap(),
                    },
                )
            })
            .into();
        report
    }

    #[test]
    fn a_run_is_summarised_in_a_few_tables() {
        let report = report();
        let reported = [
            dishes(&report).to_string(),
            counts(&report),
            format!("Accepted {}/s{}", rounded(report.accepted_rate()), delivered_rate(&report)),
            latencies(&report).to_string(),
        ];
        insta::assert_snapshot!(reported.join("\n\n"));
    }

    #[test]
    fn scripts_get_every_figure() {
        let (report, plan) =
            (report(), Plan { model: Model::Open { rate: 800.0 }, ..Plan::orders(2_000) });
        let crossed = [Crossed { limit: "errors>0".into(), found: "10".into() }];
        insta::assert_snapshot!(
            serde_json::to_string_pretty(&Document::new(&plan, &report, &crossed)).unwrap()
        );
    }
}
