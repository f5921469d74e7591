use std::{collections::BTreeMap, fmt::Write, net::SocketAddr, time::Duration};

use clap::Args;
use contracts::{
    Timestamp,
    api::{
        board::Summary,
        gateway::Status,
        inventory::{Shelf, Stock},
        service::ServiceStatus,
    },
    services,
};
use serde::Serialize;

use super::connect;
use crate::{
    client::STATUS_WAIT_MAX,
    config::Runtime,
    error::{CliError, Result},
    output::{Output, Style, Table},
    runtimes::{
        self,
        compose::{ContainerStatus, Looker},
    },
    state::{Environment, HouseRecord},
};

/// How often a watched status is asked for.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Show the services, their health and queues, the orders by state and the stock
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 1 if a service is not ready, 3 if nothing is running.

Examples:
  chefcito status --watch
  chefcito status --json | jq .orders.in_flight")]
pub(crate) struct StatusArgs {
    /// Show it again every second, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
    /// As JSON; with `--watch` one document a line
    #[arg(long)]
    json: bool,
    /// Answer at once, without what each container takes of the processor and the memory
    #[arg(long)]
    no_stats: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    schema_version: u32,
    name: String,
    runtime: Runtime,
    address: Option<SocketAddr>,
    plaza_address: Option<SocketAddr>,
    pid: Option<u32>,
    engine: Option<String>,
    version: Option<String>,
    started_at: Option<Timestamp>,
    ready: bool,
    quiet: bool,
    services: BTreeMap<String, ServiceStatus>,
    containers: Vec<ContainerStatus>,
    orders: Option<Summary>,
    stock: Vec<Shelf>,
}

impl Report {
    fn new(environment: &Environment, runtime: Runtime) -> Self {
        Self {
            schema_version: 1,
            name: environment.name().to_string(),
            runtime,
            address: None,
            plaza_address: None,
            pid: None,
            engine: None,
            version: None,
            started_at: None,
            ready: false,
            quiet: false,
            services: BTreeMap::new(),
            containers: Vec::new(),
            orders: None,
            stock: Vec::new(),
        }
    }

    fn of_house(environment: &Environment, record: HouseRecord) -> Self {
        Self {
            address: Some(record.address),
            plaza_address: record.plaza_address,
            pid: Some(record.pid),
            version: Some(record.version),
            started_at: Some(record.started_at),
            ..Self::new(environment, record.settings.runtime)
        }
    }

    /// Adds what the house itself says.
    async fn ask(&mut self, environment: &Environment) -> Result<()> {
        let client = connect(environment)?.waiting(STATUS_WAIT_MAX);
        let status: Status = client.get("/v1/status").await?;
        (self.ready, self.quiet) = (status.ready, status.quiet);
        (self.services, self.orders) = (status.services, status.summary);
        // A house whose inventory is not ready still has a status.
        let stock = client.get::<Stock>("/v1/stock").await;
        self.stock = stock.map(|stock| stock.stock).unwrap_or_default();
        Ok(())
    }

    fn unready(&self) -> Vec<String> {
        let told = |(name, service): (&String, &ServiceStatus)| match &service.reason {
            Some(reason) => format!("{name} ({reason})"),
            None => name.clone(),
        };
        self.services.iter().filter(|(_, service)| !service.ready).map(told).collect()
    }
}

pub(crate) async fn run(
    args: StatusArgs,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let mut looker = match runtimes::of(environment).await? {
        Some(Runtime::Compose) => Some(Looker::new(environment, !args.no_stats).await?),
        _ => None,
    };
    let mut drawn_lines = 0;
    loop {
        let (report, failed) = look(environment, looker.as_mut()).await?;
        match (args.json, args.watch) {
            (true, true) => output.json_line(&report)?,
            (true, false) => output.json(&report)?,
            (false, watch) => {
                let text = for_people(&report, output);
                let back = if watch && output.stdout_is_drawable() {
                    redraw(drawn_lines)
                } else {
                    String::new()
                };
                drawn_lines = text.lines().count();
                output.data(format_args!("{back}{text}"))?;
            }
        }
        if !args.watch {
            if let Some(failed) = failed {
                return Err(failed);
            }
            let services = report.unready();
            return if services.is_empty() { Ok(()) } else { Err(CliError::Unready { services }) };
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

/// Returns what takes a terminal back up over what was drawn, and clears it.
fn redraw(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\x1b[J") }
}

/// Looks at the house; and at its containers, which are shown even if the house does not answer: then that is the second
/// that is returned.
async fn look(
    environment: &Environment,
    looker: Option<&mut Looker>,
) -> Result<(Report, Option<CliError>)> {
    let Some(looker) = looker else {
        let mut report = Report::of_house(environment, environment.running()?);
        report.ask(environment).await?;
        return Ok((report, None));
    };
    let record = environment.containers()?;
    let mut report = Report {
        address: record.as_ref().and_then(|record| record.address),
        version: record.as_ref().map(|record| record.version.clone()),
        started_at: record.as_ref().map(|record| record.started_at),
        engine: Some(looker.engine().to_owned()),
        ..Report::new(environment, Runtime::Compose)
    };
    let (containers, asked) = tokio::join!(looker.look(), report.ask(environment));
    let containers = containers?;
    if containers.is_empty() {
        return Err(CliError::NotRunning { name: environment.name().clone() });
    }
    report.containers = containers;
    Ok((report, asked.err()))
}

fn for_people(report: &Report, output: &Output) -> String {
    let mut text = output.style(Style::Bold, &report.name).to_string();
    text.push_str(if report.ready { " is ready" } else { " is not ready" });
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
    if !report.services.is_empty() {
        let _written = writeln!(text, "{}\n", services_table(report));
    }
    if !report.containers.is_empty() {
        let _written = writeln!(text, "{}\n", containers_table(&report.containers));
    }
    if let Some(orders) = &report.orders {
        let _written = writeln!(text, "{}\n", orders_table(orders));
    }
    if !report.stock.is_empty() {
        let _written = writeln!(text, "{}\n", stock_table(&report.stock));
    }
    text.trim_end().to_owned()
}

fn containers_table(containers: &[ContainerStatus]) -> Table<8> {
    let mut table =
        Table::new(["container", "state", "health", "restarts", "cpu", "memory", "ports", "image"]);
    for container in containers {
        let state = match container.exit_code {
            Some(0) => "done".into(),
            Some(code) => format!("exited ({code})"),
            None => container.state.into(),
        };
        let memory = match (container.memory_bytes, container.memory_limit_bytes) {
            (Some(bytes), Some(limit)) => format!("{} of {} MiB", bytes >> 20, limit >> 20),
            _ => String::new(),
        };
        table.row([
            container.name.clone(),
            state,
            container.health.unwrap_or_default().into(),
            container.restarts.to_string(),
            container.cpu_percent.map(|percent| format!("{percent:.1} %")).unwrap_or_default(),
            memory,
            container.ports.join(", "),
            container.tag().into(),
        ]);
    }
    table
}

fn services_table(report: &Report) -> Table<9> {
    let mut table = Table::new([
        "service",
        "state",
        "store",
        "queued",
        "open",
        "unpublished",
        "unhandled",
        "dead letters",
        "note",
    ]);
    let known = services::ALL.into_iter().filter_map(|name| report.services.get_key_value(name));
    let others = report.services.iter().filter(|(name, _)| !services::ALL.contains(&name.as_str()));
    for (name, service) in known.chain(others) {
        let note = [&service.reason, &service.address]
            .into_iter()
            .flatten()
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        table.row([
            name.clone(),
            if service.ready { "ready".into() } else { "not ready".into() },
            service.engine.clone(),
            service.queued.to_string(),
            service.open.to_string(),
            service.unpublished.to_string(),
            service.unhandled.to_string(),
            service.dead_letters.to_string(),
            note,
        ]);
    }
    table
}

fn orders_table(orders: &Summary) -> Table<8> {
    let mut table = Table::new([
        "placed",
        "in flight",
        "waiting",
        "cooking",
        "delivered",
        "cancelled",
        "rejected",
        "delivery p50/p99",
    ]);
    let figures = [
        orders.placed,
        orders.in_flight,
        orders.waiting_for_ingredients,
        orders.cooking,
        orders.delivered,
        orders.cancelled,
        orders.rejected,
    ];
    let [placed, in_flight, waiting, cooking, delivered, cancelled, rejected] =
        figures.map(|figure| figure.to_string());
    let latency = format!("{}/{} ms", orders.delivery.p50_ms, orders.delivery.p99_ms);
    table.row([placed, in_flight, waiting, cooking, delivered, cancelled, rejected, latency]);
    table
}

fn stock_table(stock: &[Shelf]) -> Table<6> {
    let mut table =
        Table::new(["ingredient", "on hand", "missing", "bought", "reserved", "released"]);
    for shelf in stock {
        table.row([
            shelf.ingredient.to_string(),
            shelf.on_hand.to_string(),
            shelf.missing.to_string(),
            shelf.bought.to_string(),
            shelf.reserved.to_string(),
            shelf.released.to_string(),
        ]);
    }
    table
}
