mod file;
mod summary;

use std::{
    fs,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use clap::{Args, CommandFactory, error::ErrorKind};
use clap_complete::engine::ArgValueCandidates;
use load::{
    ATTEMPT_MAX, CONCURRENCY_DEFAULT, CONCURRENCY_MAX, Crossed, Limit, LoadError, Metric, Model,
    Plan, RATE_MAX, Report, Schedule, Tally, Target,
};
use service::config::parse_duration;
use tokio_util::sync::CancellationToken;

use self::summary::{Document, show};
use super::Cli;
use crate::{
    completion,
    error::{CliError, Result},
    output::Output,
    progress::Progress,
    report::{ReportFile, ReportFiles},
    signals::Signals,
    state::Environment,
};

/// How many ledgers an environment keeps: enough for a day's work, and at a million orders each not too much space.
const LEDGERS_MAX: usize = 20;
/// How often the bar moves.
const TICK: Duration = Duration::from_millis(100);

/// Place orders, one request each, and follow each to the table
///
/// Without --rate it is a closed model: each of the connections places its next order as soon as the last one was
/// accepted. With --rate it is an open model: orders are placed at that rate whatever the environment does, and latency
/// counts from the planned time. After a 503 or a lost connection, an order is sent again with the same idempotency
/// key.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chefcito order                                      One order of whatever the kitchen likes
  chefcito order --count 50 --dish pizza              Fifty pizzas
  chefcito order --rate 1000 --duration 30s           A thousand orders a second, for half a minute
  chefcito order --count 5000 --concurrency 64 --fail-if 'delivered.p99>2s' --fail-if 'errors>0'
  chefcito order --count 500 --history run.jsonl      … and `chefcito audit --history run.jsonl` checks every answer

Figures for --fail-if: accepted.p50 .p90 .p99 .p99.9 .max and the same of delivered (durations); errors, rejected,
cancelled, undelivered (counts); rate.accepted, rate.delivered (orders a second). Comparisons: < <= > >=.
Failed requests end it with 1, orders not at their end in time with 4, a limit crossed with 5, and
orders of which the kitchen rejected all with 1. A limit on a duration that was never measured is crossed.")]
pub(crate) struct OrderArgs {
    /// How many orders [default: 1, or as many as fit into --duration]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Orders a second, evenly spread (open model)
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    rate: Option<f64>,
    /// Connections, each with one order at a time [default: 64, or as many as there are orders]
    #[arg(long, value_name = "N", value_parser = concurrency)]
    concurrency: Option<usize>,
    /// How long orders are placed
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    duration: Option<Duration>,
    /// Dish to order [default: the kitchen picks one]
    #[arg(long, add = ArgValueCandidates::new(completion::dishes))]
    dish: Option<String>,
    /// Only place the orders, do not follow them
    #[arg(long)]
    no_wait: bool,
    /// How long an order may take to be accepted, and how long to wait for the last dish
    #[arg(long, value_name = "DURATION", env = "CHEFCITO_ORDER_TIMEOUT", default_value = "60s", value_parser = duration)]
    timeout: Duration,
    /// Print all figures as JSON
    #[arg(long)]
    json: bool,
    /// Write a report: FILE.md, FILE.json or FILE.xml (JUnit); may be given several times
    #[arg(long, value_name = "FILE")]
    report: Vec<ReportFile>,
    /// Fail if a figure is beyond a limit, such as 'delivered.p99>1s'; may be given several times
    #[arg(long, value_name = "LIMIT")]
    fail_if: Vec<Limit>,
    /// Ledger: file for the ids of accepted orders, for `audit --ledger` [default: one in the state folder]
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// History: file for each request and answer, for `audit --history`; an existing one is appended to
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| Schedule::new(*rate, None, None).is_some());
    rate.ok_or_else(|| format!("it should be a number above 0 and at most {RATE_MAX}"))
}

fn concurrency(text: &str) -> Result<usize, String> {
    let concurrency =
        text.parse().ok().filter(|concurrency| (1..=CONCURRENCY_MAX).contains(concurrency));
    concurrency.ok_or_else(|| format!("it should be a number from 1 to {CONCURRENCY_MAX}"))
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| {
        "it should be a duration above 0, 10 years at the most, such as 800ms, 30s or 5m".into()
    })
}

impl OrderArgs {
    fn plan(&self, environment: &Environment) -> Plan {
        let count = self.count.or_else(|| self.duration.is_none().then_some(1));
        let default = count.map_or(CONCURRENCY_DEFAULT, few);
        Plan {
            model: self.rate.map_or(Model::Closed, |rate| Model::Open { rate }),
            count,
            duration: self.duration,
            concurrency: self.concurrency.unwrap_or(default),
            dish: self.dish.clone(),
            follow: !self.no_wait,
            attempt_max: ATTEMPT_MAX,
            timeout: self.timeout,
            ledger: Some(self.ledger.clone().unwrap_or_else(|| new_ledger(environment))),
            history: self.history.clone(),
        }
    }

    /// Refuses limits on figures that will not be measured, and one file for two purposes.
    fn check(&self) -> Result<()> {
        if self.history.is_some() && self.history == self.ledger {
            return Err(CliError::Usage(Cli::command().error(
                ErrorKind::ArgumentConflict,
                "--history and --ledger can't be the same file",
            )));
        }
        match self.fail_if.iter().find(|limit| self.no_wait && limit.metric().needs_following()) {
            None => Ok(()),
            Some(limit) => Err(CliError::Usage(Cli::command().error(
                ErrorKind::ArgumentConflict,
                format!("the limit `{limit}` can't be checked with --no-wait: orders are not followed to their end"),
            ))),
        }
    }
}

/// Returns at most as many connections as there are orders.
fn few(count: u64) -> usize {
    usize::try_from(count).unwrap_or(CONCURRENCY_DEFAULT).min(CONCURRENCY_DEFAULT)
}

pub(crate) async fn run(
    args: OrderArgs,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    args.check()?;
    let reports = ReportFiles::prepare(&args.report)?;
    // Each connection is an open file, and the usual limit is below the most connections.
    service::http::raise_open_files_max();
    let target = signals.or(target(environment)).await?;
    if args.ledger.is_none() {
        forget_old_ledgers(&environment.ledgers());
    }
    let plan = args.plan(environment);
    let (report, signal) = place(&plan, &target, output, Some(signals)).await?;
    let crossed: Vec<Crossed> =
        args.fail_if.iter().filter_map(|limit| crossed(limit, &report)).collect();
    if args.json {
        output.json(&Document::new(&plan, &report, &crossed))?;
    } else {
        show(&report, output)?;
    }
    let result = signal.map_or_else(|| verdict(&plan, &report, &crossed), Err);
    if reports.is_wanted() {
        let (limits, run) = (&args.fail_if, &report);
        let made = file::report(&plan, run, limits, &crossed, &result, environment, output);
        let made = signals.or(made).await;
        return reports.conclude(made, result, output);
    }
    result
}

/// Places orders as [`run`] does by default, and prints the summary.
///
/// # Errors
/// [`CliError`] if the environment does not run, or an order was not accepted or not delivered in time.
pub(crate) async fn place_and_follow(
    count: u32,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    forget_old_ledgers(&environment.ledgers());
    let plan = Plan { ledger: Some(new_ledger(environment)), ..Plan::orders(count.into()) };
    let (report, _) = place(&plan, &target(environment).await?, output, None).await?;
    show(&report, output)?;
    verdict(&plan, &report, &[])
}

async fn target(environment: &Environment) -> Result<Target> {
    Ok(Target { address: super::address(environment).await?, key: environment.admin_key()? })
}

/// Runs the plan and shows its progress. A first signal stops placing, a second one ends it at once.
async fn place(
    plan: &Plan,
    target: &Target,
    output: &Output,
    mut signals: Option<&mut Signals>,
) -> Result<(Report, Option<CliError>)> {
    let tally = Arc::new(Tally::default());
    let stop = CancellationToken::new();
    // The caller has cancelled: place no further order.
    let _stop_at_end = stop.clone().drop_guard();
    let mut progress = Progress::new(output, doing(plan), total(plan).unwrap_or(0));
    let mut tick = tokio::time::interval(TICK);
    let mut load = pin!(load::run(plan.clone(), target, Arc::clone(&tally), stop.clone()));
    let mut stopped_by = None;
    loop {
        let signal = async {
            match &mut signals {
                Some(signals) => signals.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            report = &mut load => return Ok((report?, stopped_by)),
            _ = tick.tick() => {
                if total(plan).is_none() {
                    progress.set_total(tally.accepted() + tally.failed());
                }
                progress.set(tally.failed() + if plan.follow { tally.ended() } else { tally.accepted() });
            }
            signal = signal => {
                if stopped_by.is_some() {
                    return Err(signal);
                }
                output.status(format_args!("No further orders are placed; repeat Ctrl-C to end at once"));
                stop.cancel();
                stopped_by = Some(signal);
            }
        }
    }
}

const fn doing(plan: &Plan) -> &'static str {
    if plan.follow { "Delivering" } else { "Ordering" }
}

/// Returns the number of orders, if it is known before.
fn total(plan: &Plan) -> Option<u64> {
    match plan.model {
        Model::Open { rate } => {
            Schedule::new(rate, plan.count, plan.duration).map(|schedule| schedule.total())
        }
        Model::Closed if plan.duration.is_some() => None,
        Model::Closed => plan.count,
    }
}

/// Returns how a limit was crossed. One on a duration that was never measured is crossed: nothing shows that it holds.
fn crossed(limit: &Limit, report: &Report) -> Option<Crossed> {
    let found = match limit.metric() {
        Metric::Accepted(_) if report.accepting.count() == 0 => "unknown: no order was accepted",
        Metric::Delivered(_) if report.delivery.count() == 0 => "unknown: no order was delivered",
        _ => return limit.crossed_by(report),
    };
    Some(Crossed { limit: limit.to_string(), found: found.into() })
}

/// Returns the result of the command: failed requests take precedence over late orders, those over limits, and limits over
/// orders that were all rejected.
fn verdict(plan: &Plan, report: &Report, crossed: &[Crossed]) -> Result<()> {
    if report.failed > 0 {
        let mut what = match (report.failed, report.sent) {
            (1, 1) => "the order was not accepted".to_owned(),
            (1, sent) => format!("1 of {sent} orders was not accepted"),
            (failed, sent) => format!("{failed} of {sent} orders were not accepted"),
        };
        if report.unknown > 0 {
            what.push_str(&format!(
                "; {} of them may have been placed, by requests without an answer",
                report.unknown
            ));
        }
        return Err(CliError::failed(what));
    }
    if let Some(why) = &report.not_followed {
        let why = printable::line(why);
        return Err(CliError::failed(format!("orders could not be followed to their end: {why}")));
    }
    if report.undelivered > 0 {
        return Err(CliError::Undelivered {
            orders: report.undelivered,
            waited: plan.timeout,
            example: report.undelivered_ids.first().copied(),
        });
    }
    if !crossed.is_empty() {
        let limits = crossed.iter().map(ToString::to_string).collect();
        return Err(CliError::LimitCrossed { limits });
    }
    if report.rejected > 0 && report.delivered == 0 {
        return Err(CliError::Failed {
            what: match report.rejected {
                1 => "the kitchen rejected the order".into(),
                all => format!("the kitchen rejected all {all} orders"),
            },
            hint: match report.first_ids.first() {
                Some(order) => format!("`chefcito story {order}` has the reason"),
                None => String::new(),
            },
            source: None,
        });
    }
    Ok(())
}

/// Returns the path of a new ledger; names sort by time.
fn new_ledger(environment: &Environment) -> PathBuf {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.3f");
    environment.ledgers().join(format!("{now}-{}.txt", std::process::id()))
}

/// Removes all ledgers except the newest. A failed removal is ignored.
fn forget_old_ledgers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut ledgers: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    ledgers.sort_unstable();
    let old = (ledgers.len() + 1).saturating_sub(LEDGERS_MAX);
    for ledger in &ledgers[..old] {
        let _kept = fs::remove_file(ledger);
    }
}

impl From<LoadError> for CliError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::NobodyThere { address, source } => {
                Self::Unreachable { address, source: source.into() }
            }
            LoadError::Unproven(unproven) => unproven.into(),
            LoadError::Ledger { path, source } => {
                Self::Io { what: format!("write the ledger {}", path.display()), source }
            }
            LoadError::History(error) => error.into(),
            error @ (LoadError::NotAKey | LoadError::NotRun(_)) => Self::Other(error.into()),
        }
    }
}
