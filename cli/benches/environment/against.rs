//! The same load on this revision and on another, alternately, so that both meet the same machine.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use load::{Model, Plan, Report};
use test_support::POSTGRES;

use crate::{
    figures::{Figures, Goal, median},
    options::Options,
    process::{micros_each, number},
    scenes::{closed, count, millis, note_trouble},
    stage::Environment,
};

/// How often each load runs on each revision: a single disturbed run does not change the median of five.
const RUNS: usize = 5;
/// How long orders are placed at each rate.
const OFFERED: Duration = Duration::from_secs(10);
/// How many orders run if everything has to be bought.
const BOUGHT: u64 = 2_000;

/// The loads.
#[derive(Clone, Copy, Debug)]
enum Load {
    /// Orders per second.
    Offered(f64),
    /// As many as 64 connections get delivered.
    Saturated,
    /// The same on PostgreSQL.
    Postgres,
    /// With the stock that `up` seeds: everything has to be bought.
    Bought,
}

/// The result of a run.
struct Run {
    cpu_us: f64,
    delivered_per_s: f64,
    accepted_p99_ms: f64,
    delivery_p50_ms: f64,
    delivery_p99_ms: f64,
}

impl Load {
    const ALL: [Self; 6] = [
        Self::Offered(50.0),
        Self::Offered(200.0),
        Self::Offered(1_000.0),
        Self::Saturated,
        Self::Postgres,
        Self::Bought,
    ];

    fn name(self) -> String {
        match self {
            Self::Offered(rate) => format!("{rate} orders/s offered"),
            Self::Saturated => "saturated".into(),
            Self::Postgres => "saturated, PostgreSQL".into(),
            Self::Bought => "everything bought".into(),
        }
    }

    /// Returns the goal for the processor time of an order, as a share of the other revision's.
    const fn cpu_goal(self) -> Goal {
        match self {
            Self::Offered(_) => Goal::at_most(0.5, 0.25),
            Self::Saturated => Goal::at_most(1.05, 0.8),
            Self::Postgres | Self::Bought => Goal::at_most(1.0, 0.6),
        }
    }
}

/// Runs each load on both revisions; returns the results.
pub(crate) async fn play(revision: &str, options: &Options) -> Result<Figures> {
    let other = build(revision)?;
    let mut figures = Figures::default();
    for load in Load::ALL {
        let url = std::env::var(POSTGRES).ok();
        if matches!(load, Load::Postgres) && url.is_none() {
            figures.note(format!("{}: not measured, {POSTGRES} is not set", load.name()), "", 0.0);
            continue;
        }
        let (mut before, mut now) = (Vec::new(), Vec::new());
        for _ in 0..if options.quick { 1 } else { RUNS } {
            let environments = [(Some(other.as_path()), &mut before), (None, &mut now)];
            for (binary, runs) in environments {
                runs.push(run(load, binary, url.as_deref(), options, &mut figures).await?);
            }
        }
        compare(load, &before, &now, &mut figures);
    }
    Ok(figures)
}

fn compare(load: Load, before: &[Run], now: &[Run], figures: &mut Figures) {
    let name = load.name();
    let of = |runs: &[Run], what: fn(&Run) -> f64| median(runs.iter().map(what).collect());
    let mut both = |what: &str, unit: &'static str, read: fn(&Run) -> f64| {
        figures.note(format!("{name}: {what}, before"), unit, of(before, read));
        figures.note(format!("{name}: {what}, now"), unit, of(now, read));
    };
    both("CPU per order", "µs", |run| run.cpu_us);
    both("delivered", "orders/s", |run| run.delivered_per_s);
    both("accepted p99", "ms", |run| run.accepted_p99_ms);
    both("placed to delivered p50", "ms", |run| run.delivery_p50_ms);
    both("placed to delivered p99", "ms", |run| run.delivery_p99_ms);
    let ratio = of(now, |run| run.cpu_us) / of(before, |run| run.cpu_us);
    figures.judge(format!("{name}: CPU per order, now/before"), "", ratio, load.cpu_goal());
    if !matches!(load, Load::Offered(_)) {
        let ratio = of(now, |run| run.delivered_per_s) / of(before, |run| run.delivered_per_s);
        let goal = Goal::at_least(if matches!(load, Load::Saturated) { 0.95 } else { 1.0 }, 1.5);
        figures.judge(format!("{name}: delivered/s, now/before"), "", ratio, goal);
    }
}

async fn run(
    load: Load,
    binary: Option<&Path>,
    url: Option<&str>,
    options: &Options,
    figures: &mut Figures,
) -> Result<Run> {
    let mut flags = Vec::new();
    if let (Load::Postgres, Some(url)) = (load, url) {
        flags.extend(["--database-url", url]);
    }
    let environment = Environment::prepare_with(binary)?;
    environment.start(&flags).await?;
    if !matches!(load, Load::Bought) {
        environment.fill().await?;
    }
    environment.rest().await?;
    let plan = match load {
        Load::Offered(rate) => Plan { model: Model::Open { rate }, ..closed(OFFERED) },
        Load::Saturated | Load::Postgres => closed(options.duration() / 3),
        Load::Bought => count(BOUGHT),
    };
    let process = environment.process().await?;
    let before = process.cpu()?;
    let report = environment.order(Plan { ledger: Some(environment.ledger(0)), ..plan }).await?;
    environment.rest().await?;
    let cpu = process.cpu()? - before;
    note_faults(&report, figures);
    environment.audit(1, figures).await?;
    let delivered_per_s = match load {
        Load::Bought => report.delivered_rate(),
        _ => number(report.delivered_while_placing) / report.placing.as_secs_f64(),
    };
    Ok(Run {
        cpu_us: micros_each(cpu, report.delivered),
        delivered_per_s,
        accepted_p99_ms: millis(report.accepting.quantile(0.99)),
        delivery_p50_ms: millis(report.delivery.quantile(0.5)),
        delivery_p99_ms: millis(report.delivery.quantile(0.99)),
    })
}

/// Records failures only: how often a request was sent again is not compared.
fn note_faults(report: &Report, figures: &mut Figures) {
    let mut trouble = Figures::default();
    note_trouble(report, &mut trouble);
    for fault in trouble.faults() {
        figures.fault(fault.clone());
    }
}

/// Builds another revision of this checkout, with the profile of this benchmark; returns its program.
fn build(revision: &str) -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let git = |args: &[&str]| -> Result<String> {
        let ran = Command::new("git").arg("-C").arg(&root).args(args).output()?;
        let words = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
        ensure!(ran.status.success(), "`git {}`: {words}", args.join(" "));
        Ok(String::from_utf8(ran.stdout)?.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--verify", &format!("{revision}^{{commit}}")])
        .with_context(|| format!("`{revision}` is no revision of this checkout"))?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("against");
    let sources = folder.join(&commit);
    if !sources.join("Cargo.toml").is_file() {
        std::fs::create_dir_all(&sources)?;
        let archive = folder.join(format!("{commit}.tar"));
        let to = archive.to_string_lossy();
        git(&["archive", "--format=tar", "--output", &to, &commit])?;
        let unpacked =
            Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&sources).status()?;
        ensure!(unpacked.success(), "`tar` could not unpack {}", archive.display());
        std::fs::remove_file(&archive)?;
    }
    let target = folder.join("target");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(&sources)
        .args(["build", "--release", "--locked", "--package", "chefcito"])
        .env("CARGO_TARGET_DIR", &target)
        // As this benchmark's profile: how crates are optimized across each other is not compared.
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .stdin(Stdio::null())
        .status()?;
    ensure!(built.success(), "revision {commit} can't be built");
    // The other revision is built in the same folder: the program has its commit in its name.
    let program = folder.join(format!("chefcito-{commit}"));
    std::fs::copy(target.join("release/chefcito"), &program)?;
    Ok(program)
}
