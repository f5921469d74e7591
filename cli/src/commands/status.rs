mod tables;

use std::{
    collections::BTreeMap,
    fmt::Write,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use clap::Args;
use client::STATUS_WAIT_MAX;
use contracts::{
    Timestamp,
    api::{
        board::Summary,
        gateway::Status,
        inventory::{Shelf, Stock},
        service::ServiceStatus,
    },
};
use serde::Serialize;

use self::tables::{
    containers_table, orders_table, pods_table, services_table, stock_table, waiting_table,
};
use super::connect;
use crate::{
    background,
    config::Runtime,
    error::{CliError, Result},
    output::{Output, Style},
    runtimes::{
        self,
        compose::{self, ContainerStatus, ContainerStatusReader},
        kubernetes::{self, PodStatus, PodStatusReader},
    },
    state::{Environment, EnvironmentRecord},
};

/// How often a watched status is read.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Show the services, their health and queues, the orders by state and the stock
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 1 if a service is not ready, 3 if nothing is running.

Examples:
  chefcito status --watch
  chefcito status --json | jq .orders.in_flight")]
pub(crate) struct StatusArgs {
    /// Repeat it every second, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
    /// As JSON; with `--watch` one document a line
    #[arg(long)]
    json: bool,
    /// Omit the processor and memory of containers and pods, and answer at once
    #[arg(long)]
    no_stats: bool,
}

/// The document of `--json`.
#[derive(Debug, Serialize)]
struct Report {
    schema_version: u32,
    name: String,
    runtime: Runtime,
    address: Option<SocketAddr>,
    market_sim_address: Option<SocketAddr>,
    pid: Option<u32>,
    engine: Option<String>,
    cluster: Option<String>,
    version: Option<String>,
    started_at: Option<Timestamp>,
    ready: bool,
    quiet: bool,
    services: BTreeMap<String, ServiceStatus>,
    containers: Vec<ContainerStatus>,
    pods: Vec<PodStatus>,
    orders: Option<Summary>,
    stock: Vec<Shelf>,
    /// Whether it was not started from here, so that its gateway is not asked.
    #[serde(skip)]
    is_foreign: bool,
}

impl Report {
    fn new(environment: &Environment, runtime: Runtime) -> Self {
        Self {
            schema_version: 1,
            name: environment.name().to_string(),
            runtime,
            address: None,
            market_sim_address: None,
            pid: None,
            engine: None,
            cluster: None,
            version: None,
            started_at: None,
            ready: false,
            quiet: false,
            services: BTreeMap::new(),
            containers: Vec::new(),
            pods: Vec::new(),
            orders: None,
            stock: Vec::new(),
            is_foreign: false,
        }
    }

    fn of_process(environment: &Environment, record: EnvironmentRecord) -> Self {
        Self {
            address: Some(record.address),
            market_sim_address: record.market_sim_address,
            pid: Some(record.pid),
            version: Some(record.version),
            started_at: Some(record.started_at),
            ..Self::new(environment, record.settings.runtime)
        }
    }

    /// Adds the gateway's status.
    async fn ask(&mut self, environment: &Environment) -> Result<()> {
        let client = connect(environment).await?.waiting(STATUS_WAIT_MAX);
        let status: Status = client.get("/v1/status").await?;
        (self.ready, self.quiet) = (status.ready, status.quiet);
        (self.services, self.orders) = (status.services, status.summary);
        // The status does not depend on the inventory, but the stock does.
        let stock = client.get::<Stock>("/v1/stock").await;
        self.stock = stock.map(|stock| stock.stock).unwrap_or_default();
        Ok(())
    }

    /// Returns the services that are not ready, with the state of their containers or pods, which show services that the gateway
    /// does not know. The reasons that services tell are below their table.
    fn unready(&self) -> Vec<String> {
        let states = match self.runtime {
            Runtime::Kubernetes => kubernetes::unready(&self.pods),
            Runtime::Compose => compose::unready(&self.containers),
            Runtime::Embedded => BTreeMap::new(),
        };
        let of_state = |(state, names)| format!("{names} ({})", printable::line(state));
        let mut unready: Vec<String> = by_reason(&states).into_iter().map(of_state).collect();
        let others = self
            .services
            .iter()
            .filter(|(name, service)| !service.ready && !states.contains_key(*name));
        let others: Vec<&str> = others.map(|(name, _)| name.as_str()).collect();
        unready.extend((!others.is_empty()).then(|| others.join(", ")));
        unready
    }
}

/// Returns each reason once, with the names of all that have it.
fn by_reason<'a>(
    reasons: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> BTreeMap<&'a str, String> {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, reason) in reasons {
        by_reason.entry(reason).or_default().push(name);
    }
    by_reason.into_iter().map(|(reason, names)| (reason, names.join(", "))).collect()
}

/// Where the status of an environment comes from.
#[derive(Debug)]
enum StatusSource {
    Process,
    Containers(ContainerStatusReader),
    Pods(PodStatusReader),
}

impl StatusSource {
    async fn of(environment: &Environment, args: &StatusArgs, output: &Output) -> Result<Self> {
        let with_stats = !args.no_stats;
        match runtimes::of(environment).await? {
            Some(Runtime::Compose) => {
                Ok(Self::Containers(ContainerStatusReader::new(environment, with_stats).await?))
            }
            Some(Runtime::Kubernetes) => {
                Ok(Self::Pods(PodStatusReader::new(environment, with_stats, output).await?))
            }
            _ => Ok(Self::Process),
        }
    }

    /// Reads the status. If the gateway does not answer, the report has only the containers or pods, and the error is the second
    /// value.
    async fn read(&mut self, environment: &Environment) -> Result<(Report, Option<CliError>)> {
        match self {
            Self::Process => {
                let mut report = Report::of_process(environment, environment.running()?);
                report.ask(environment).await?;
                Ok((report, None))
            }
            Self::Containers(reader) => container_report(reader, environment).await,
            Self::Pods(reader) => pod_report(reader, environment).await,
        }
    }
}

pub(crate) async fn run(
    args: StatusArgs,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let mut source = StatusSource::of(environment, &args, output).await?;
    if args.watch {
        return watch(&args, &mut source, environment, output).await;
    }
    let (report, failed) = source.read(environment).await?;
    match args.json {
        true => output.json(&report)?,
        false => output.data(for_people(&report, output))?,
    }
    if let Some(failed) = failed {
        return Err(failed);
    }
    let services = report.unready();
    if services.is_empty() { Ok(()) } else { Err(CliError::Unready { services }) }
}

/// Shows the status once, without the processor and memory of containers and pods.
///
/// # Errors
/// As `status`.
pub(crate) async fn once(environment: &Environment, output: &Output) -> Result<()> {
    let args = StatusArgs { watch: false, json: false, no_stats: true };
    run(args, environment, output).await
}

/// Shows the status every second, also while the environment restarts. Fails only if it can't be read at first.
async fn watch(
    args: &StatusArgs,
    source: &mut StatusSource,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let mut drawn_lines = 0;
    let mut last = source.read(environment).await.map(|(report, _)| report)?;
    loop {
        match args.json {
            true => output.json_line(&last)?,
            false => drawn_lines = output.redraw(&for_people(&last, output), drawn_lines)?,
        }
        loop {
            tokio::time::sleep(WATCH_EVERY).await;
            match source.read(environment).await {
                Ok((report, _)) => {
                    last = report;
                    break;
                }
                Err(error) if args.json => output.error(&error),
                Err(error) => {
                    let name = output.style(Style::Bold, environment.name());
                    let text = format!("{name} has no status: {}", background::chain(&error));
                    drawn_lines = output.redraw(&text, drawn_lines)?;
                }
            }
        }
    }
}

async fn container_report(
    reader: &mut ContainerStatusReader,
    environment: &Environment,
) -> Result<(Report, Option<CliError>)> {
    let record = environment.containers()?;
    let mut report = Report {
        address: record.as_ref().and_then(|record| record.address),
        version: record.as_ref().map(|record| record.version.clone()),
        started_at: record.as_ref().map(|record| record.started_at),
        engine: Some(reader.engine().to_owned()),
        ..Report::new(environment, Runtime::Compose)
    };
    let (containers, asked) = tokio::join!(reader.read(), report.ask(environment));
    let containers = containers?;
    if containers.is_empty() {
        return Err(CliError::NotRunning { name: environment.name().clone() });
    }
    report.is_foreign = record.is_none();
    report.containers = containers;
    report.ready &= compose::unready(&report.containers).is_empty();
    Ok((report, asked.err()))
}

async fn pod_report(
    reader: &PodStatusReader,
    environment: &Environment,
) -> Result<(Report, Option<CliError>)> {
    let record = environment.cluster()?;
    let pods = reader.read().await?;
    // A stopped environment has only completed jobs left.
    if pods.iter().all(|pod| pod.ready.is_none()) {
        return Err(CliError::NotRunning { name: environment.name().clone() });
    }
    let mut report = Report {
        address: record.as_ref().map(|record| (Ipv4Addr::LOCALHOST, record.port).into()),
        version: record.as_ref().map(|record| record.version.clone()),
        started_at: record.as_ref().map(|record| record.started_at),
        cluster: Some(reader.context().to_owned()),
        ..Report::new(environment, Runtime::Kubernetes)
    };
    report.pods = pods;
    let unready = kubernetes::unready(&report.pods);
    // Without a ready pod of the gateway, its request would only time out.
    let asked = match kubernetes::has_gateway(&unready) {
        true => report.ask(environment).await,
        false => Ok(()),
    };
    // Some services are unknown to the gateway.
    report.ready &= unready.is_empty();
    Ok((report, asked.err()))
}

fn for_people(report: &Report, output: &Output) -> String {
    let mut text = output.style(Style::Bold, &report.name).to_string();
    text.push_str(match (report.ready, report.is_foreign) {
        (true, _) => " is ready",
        (false, true) => " was not asked whether it is ready",
        (false, false) => " is not ready",
    });
    // Writing to a string can't fail.
    if let Some(address) = report.address {
        let _written = write!(text, " at http://{address}");
    }
    if let Some(version) = &report.version {
        let _written = write!(text, ", version {version}");
    }
    if let Some(started_at) = report.started_at {
        let up_for = Duration::from_secs(Timestamp::now().since(started_at).as_secs());
        let _written = write!(text, ", up for {}", humantime::format_duration(up_for));
    }
    text.push_str(if report.quiet { ", quiet\n\n" } else { ", at work\n\n" });
    if let Some(waiting) = waiting_table(&report.services, Timestamp::now()) {
        let _written = writeln!(text, "{waiting}\n");
    }
    if !report.services.is_empty() {
        let _written = writeln!(text, "{}\n", services_table(&report.services));
    }
    let reasons =
        report.services.iter().filter_map(|(name, one)| Some((name, one.reason.as_ref()?)));
    let reasons = by_reason(reasons);
    for (reason, names) in &reasons {
        let _written = writeln!(text, "{names}: {}", printable::line(reason));
    }
    if !reasons.is_empty() {
        text.push('\n');
    }
    if !report.containers.is_empty() {
        let _written = writeln!(text, "{}\n", containers_table(&report.containers));
    }
    if !report.pods.is_empty() {
        let _written = writeln!(text, "{}\n", pods_table(&report.pods));
    }
    if let Some(orders) = &report.orders {
        let _written = writeln!(text, "{}\n", orders_table(orders));
    }
    if !report.stock.is_empty() {
        let _written = writeln!(text, "{}\n", stock_table(&report.stock));
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Manner;

    #[test]
    fn a_cause_of_several_services_is_told_once() {
        let of = |ready, reason: Option<&str>| ServiceStatus {
            ready,
            reason: reason.map(Into::into),
            ..ServiceStatus::default()
        };
        let full = of(false, Some("the disk is full"));
        let environment = Environment::locate("ci".parse().unwrap()).unwrap();
        let mut report = Report::new(&environment, Runtime::Compose);
        report.services = BTreeMap::from([
            ("board".into(), of(true, Some("it is slow"))),
            ("gateway".into(), of(true, None)),
            ("kitchen".into(), full.clone()),
            ("orders".into(), full),
        ]);
        let mut said = for_people(&report, &Output::new(Manner::quiet()));
        let services = report.unready();
        said.push_str(&format!("\n\nerror: {}", CliError::Unready { services }));
        insta::assert_snapshot!(said, @r"
        ci is not ready, at work

        service  state      store  queued  open  unpublished  unhandled  dead letters
        gateway  ready                  0     0            0          0             0
        orders   not ready              0     0            0          0             0
        kitchen  not ready              0     0            0          0             0
        board    ready                  0     0            0          0             0

        board: it is slow
        kitchen, orders: the disk is full

        error: not ready: kitchen, orders
        ");
    }
}
