use std::{
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use client::{Client, STATUS_WAIT_MAX};
use contracts::{
    OrderId,
    api::{
        audit::{AuditReport, Invariant, Ledger, SAMPLES_MAX},
        gateway::Status,
        orders::ORDERS_PER_REQUEST_MAX,
    },
};
use history::{Findings, Rule, check_file, open_to_read};
use serde::Serialize;

use super::{connect, duration};
use crate::{
    error::{CliError, Result},
    output::{Output, Style, Table},
    progress::Waiting,
    report::{Check, Report, ReportFile, ReportFiles},
    state::Environment,
};

/// How often the command asks whether the environment is quiet.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How long the audit itself may take: it reads all data of the environment.
const AUDIT_WAIT_MAX: Duration = Duration::from_secs(600);
/// The longest line of a ledger: an id and an idempotency key are a sixth of it.
const LEDGER_LINE_BYTES_MAX: u64 = 1024;

/// Prove that no order was lost, doubled or invented
///
/// Waits until no order is in progress, then checks every invariant across the services. If the environment does not
/// become quiet, the check allows for orders in progress, and the command fails with 4. A broken invariant fails with
/// 6.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Do not wait: allow for orders in progress
    #[arg(long)]
    live: bool,
    /// Also check that each order of this ledger of `order` exists; may be given several times
    #[arg(long, value_name = "FILE")]
    ledger: Vec<PathBuf>,
    /// Also check the answers in this history of `order`, and that each of its orders exists; may be given several
    /// times
    #[arg(long, value_name = "FILE")]
    history: Vec<PathBuf>,
    /// How long the environment may take to become quiet
    #[arg(
        long,
        value_name = "DURATION",
        env = "CHEFCITO_AUDIT_TIMEOUT",
        default_value = "30s",
        value_parser = duration
    )]
    timeout: Duration,
    /// Write a report: FILE.md, FILE.json or FILE.xml (JUnit); may be given several times
    #[arg(long, value_name = "FILE")]
    report: Vec<ReportFile>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema_version: u32,
    /// Whether the environment became quiet, if the command waited for that.
    quiet: Option<bool>,
    #[serde(flatten)]
    report: &'a AuditReport,
}

pub(crate) async fn run(args: AuditArgs, environment: &Environment, output: &Output) -> Result<()> {
    let reports = ReportFiles::prepare(&args.report)?;
    let since = Instant::now();
    let client = connect(environment).await?;
    let timeout = args.timeout;
    let mut histories = Vec::with_capacity(args.history.len());
    for path in &args.history {
        histories.push(check_history(path, output).await?);
    }
    // Always ask for the status first: it has a short time-out, the audit a long one.
    let is_quiet = is_quiet_within(
        if args.live { Duration::ZERO } else { timeout },
        &client.clone().waiting(STATUS_WAIT_MAX),
        output,
    )
    .await?;
    let quiet = (!args.live).then_some(is_quiet);
    let client = client.waiting(AUDIT_WAIT_MAX);
    let mut report: AuditReport = {
        let _waiting = Waiting::new(output, "Checking every invariant");
        match quiet {
            Some(true) => client.get("/v1/audit").await?,
            _ => client.get("/v1/audit?live=true").await?,
        }
    };
    for ledger in &args.ledger {
        check_ledger(ledger, &client, &mut report, output).await?;
    }
    for (path, History { invariants, orders }) in args.history.iter().zip(histories) {
        let passed = invariants.iter().all(|invariant| invariant.passed);
        add(&mut report, AuditReport { passed, live: args.live, invariants });
        let _waiting = looking(path, output);
        for ids in orders.chunks(ORDERS_PER_REQUEST_MAX) {
            ask_for(ids.to_vec(), &client, &mut report).await?;
        }
    }
    let document = Document { schema_version: 1, quiet, report: &report };
    match args.json {
        true => output.json(&document)?,
        false => show(&report, output)?,
    }
    let broken: Vec<String> = report
        .invariants
        .iter()
        .filter(|invariant| !invariant.passed)
        .map(|invariant| invariant.name.clone())
        .collect();
    let result = match (report.passed, quiet) {
        (false, _) => Err(CliError::InvariantBroken { invariants: broken }),
        (true, Some(false)) => Err(CliError::NotQuiet { waited: timeout }),
        (true, _) => Ok(()),
    };
    if reports.is_wanted() {
        return reports.conclude(in_file(&document, since.elapsed()), result, output);
    }
    result
}

async fn is_quiet_within(timeout: Duration, client: &Client, output: &Output) -> Result<bool> {
    let _waiting = Waiting::new(output, "Waiting until no order is in progress");
    let deadline = Instant::now() + timeout;
    loop {
        let status: Status = client.get("/v1/status").await?;
        if status.quiet {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Checks the orders of a ledger in batches, and adds the findings to the report.
async fn check_ledger(
    path: &Path,
    client: &Client,
    report: &mut AuditReport,
    output: &Output,
) -> Result<()> {
    let _waiting = looking(path, output);
    let (file, len) = open_to_read(path)?;
    let mut lines = BufReader::new(file.take(len));
    let (mut number, mut is_empty) = (0, true);
    loop {
        let mut ids = Vec::with_capacity(ORDERS_PER_REQUEST_MAX);
        let mut is_end = false;
        while ids.len() < ORDERS_PER_REQUEST_MAX && !is_end {
            number += 1;
            let line = ledger_line(&mut lines)
                .map_err(CliError::io(|| format!("read {}", path.display())))?;
            is_end = line.is_none();
            let id = order(&line.unwrap_or_default()).map_err(|why| CliError::BadFile {
                path: path.into(),
                detail: format!("line {number}: {why}"),
            })?;
            ids.extend(id);
        }
        if !ids.is_empty() {
            is_empty = false;
            ask_for(ids, client, report).await?;
        }
        if is_end {
            if is_empty {
                let path = path.display();
                output.warn(format_args!("{path} is empty: this ledger has no order to check"));
            }
            return Ok(());
        }
    }
}

/// Returns the next line, or the beginning of a line that is too long; `None` at the end.
fn ledger_line(lines: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    lines.take(LEDGER_LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    Ok((!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned()))
}

/// Checks that orders exist that a client knows as accepted, and adds the findings to the report.
async fn ask_for(ids: Vec<OrderId>, client: &Client, report: &mut AuditReport) -> Result<()> {
    let found: AuditReport = client.post("/v1/audit/ledger", &Ledger { ids }).await?;
    add(report, found);
    Ok(())
}

fn looking(path: &Path, output: &Output) -> Waiting {
    Waiting::new(output, format_args!("Checking each order of {}", path.display()))
}

/// The result of checking a history by itself.
struct History {
    invariants: Vec<Invariant>,
    /// The orders that must exist.
    orders: Vec<OrderId>,
}

/// Checks that the answers of a history are consistent. Runs on a thread of its own, so that a signal ends the wait.
async fn check_history(path: &Path, output: &Output) -> Result<History> {
    let _waiting = Waiting::new(output, format_args!("Checking {}", path.display()));
    let file = path.to_owned();
    let checked = tokio::task::spawn_blocking(move || check_file(&file)).await;
    let findings = checked.map_err(anyhow::Error::from)??;
    let invariants = Rule::ALL.map(|rule| invariant_of(rule, &findings, path)).into();
    Ok(History { invariants, orders: findings.known_orders().collect() })
}

/// Returns a rule of a history as an invariant: how often it applied, and how often it held.
fn invariant_of(rule: Rule, findings: &Findings, path: &Path) -> Invariant {
    let figures = findings.of(rule);
    let count = |figure: u64| i64::try_from(figure).unwrap_or(i64::MAX);
    let (checked, broken) = (count(figures.checked), count(figures.broken));
    Invariant {
        name: rule.name().into(),
        rule: rule.sentence().into(),
        passed: broken == 0,
        expected: checked,
        found: checked - broken,
        difference: -broken,
        samples: figures
            .samples
            .iter()
            .map(|violation| format!("{}: {violation}", path.display()))
            .collect(),
        note: None,
    }
}

/// Returns the order of a line of a ledger: its first word; `None` for an empty line.
fn order(line: &str) -> Result<Option<OrderId>, String> {
    line.split_whitespace()
        .next()
        .map(|word| word.parse::<OrderId>().map_err(|error| error.to_string()))
        .transpose()
}

/// Adds the findings of a history or a part of a ledger. Parts of one invariant are summed.
fn add(report: &mut AuditReport, found: AuditReport) {
    report.passed &= found.passed;
    for part in found.invariants {
        let Some(sum) = report.invariants.iter_mut().find(|invariant| invariant.name == part.name)
        else {
            report.invariants.push(part);
            continue;
        };
        sum.passed &= part.passed;
        sum.expected += part.expected;
        sum.found += part.found;
        sum.difference += part.difference;
        sum.samples.extend(part.samples);
        sum.samples.truncate(SAMPLES_MAX);
        sum.note = sum.note.take().or(part.note);
    }
}

fn show(report: &AuditReport, output: &Output) -> Result<()> {
    output.data(table(report))?;
    for invariant in report.invariants.iter().filter(|invariant| !invariant.passed) {
        output.data(format_args!("\n{}", output.style(Style::Red, description(invariant))))?;
    }
    for invariant in report.invariants.iter().filter(|invariant| invariant.passed) {
        if let Some(note) = &invariant.note {
            output.status(format_args!("{}: {note}", invariant.name));
        }
    }
    if report.passed {
        let what = if report.live { "hold, orders in progress allowed for" } else { "hold" };
        let all = format!("All {} invariants {what}", report.invariants.len());
        output.status(format_args!("{}", output.stderr_style(Style::Green, all)));
    }
    Ok(())
}

/// Returns the report of the audit in files.
fn in_file(document: &Document<'_>, took: Duration) -> Result<Report> {
    let invariants = &document.report.invariants;
    let quiet = document.quiet.map(|quiet| Check {
        name: "the environment becomes quiet".into(),
        failure: (!quiet).then(|| "orders were in progress until the time was over".into()),
    });
    let check = |invariant: &Invariant| Check {
        name: invariant.name.clone(),
        failure: (!invariant.passed).then(|| description(invariant)),
    };
    let held = invariants.iter().filter(|invariant| invariant.passed).count();
    Ok(Report {
        command: "audit",
        result: format!("{held} of {} invariants hold", invariants.len()),
        checks: quiet.into_iter().chain(invariants.iter().map(check)).collect(),
        details: table(document.report).markdown(),
        document: serde_json::to_value(document).map_err(anyhow::Error::from)?,
        seconds: took.as_secs_f64(),
    })
}

fn table(report: &AuditReport) -> Table<5> {
    let mut table = Table::new(["invariant", "", "expected", "found", "difference"]);
    for invariant in &report.invariants {
        table.row([
            invariant.name.clone(),
            if invariant.passed { "ok".into() } else { "BROKEN".into() },
            invariant.expected.to_string(),
            invariant.found.to_string(),
            invariant.difference.to_string(),
        ]);
    }
    table
}

fn description(invariant: &Invariant) -> String {
    let mut text = format!("{} is broken: {}", invariant.name, invariant.rule);
    if let Some(note) = &invariant.note {
        text.push_str(&format!("\n  {}", printable::line(note)));
    }
    for sample in &invariant.samples {
        text.push_str(&format!("\n  {}", printable::line(sample)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invariant(name: &str, expected: i64, found: i64, samples: &[&str]) -> Invariant {
        Invariant {
            name: name.into(),
            rule: format!("every {name} exists"),
            passed: expected == found,
            expected,
            found,
            difference: found - expected,
            samples: samples.iter().map(ToString::to_string).collect(),
            note: None,
        }
    }

    #[test]
    fn parts_of_a_ledger_are_summed_and_broken_ones_reported() {
        let mut report = AuditReport {
            passed: true,
            live: false,
            invariants: vec![invariant("orders.balance", 3, 3, &[])],
        };
        let many: Vec<String> = (0..SAMPLES_MAX).map(|n| format!("order {n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for part in [
            invariant("ledger", 1_000, 1_000, &[]),
            invariant("ledger", 1_000, 990, &many),
            invariant("ledger", 5, 4, &["x"]),
        ] {
            let passed = part.passed;
            add(&mut report, AuditReport { passed, live: false, invariants: vec![part] });
        }
        assert!(!report.passed);
        insta::assert_snapshot!(format!(
            "{}\n\n{}",
            table(&report),
            description(&report.invariants[1])
        ));
    }

    #[test]
    fn a_ledgers_line_begins_with_an_order() {
        assert_eq!(order(""), Ok(None));
        assert!(order("0192f3c4-5a6b-7c8d-9e0f-112233445566 a-key").unwrap().is_some());
        assert!(order("hello").is_err());
    }
}
