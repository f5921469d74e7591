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
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    schema_version: u32,
    name: String,
    runtime: Runtime,
    address: SocketAddr,
    plaza_address: Option<SocketAddr>,
    pid: u32,
    version: String,
    started_at: Timestamp,
    ready: bool,
    quiet: bool,
    services: BTreeMap<String, ServiceStatus>,
    orders: Option<Summary>,
    stock: Vec<Shelf>,
}

impl Report {
    fn new(
        environment: &Environment,
        record: HouseRecord,
        status: Status,
        stock: Vec<Shelf>,
    ) -> Self {
        Self {
            schema_version: 1,
            name: environment.name().to_string(),
            runtime: record.settings.runtime,
            address: record.address,
            plaza_address: record.plaza_address,
            pid: record.pid,
            version: record.version,
            started_at: record.started_at,
            ready: status.ready,
            quiet: status.quiet,
            services: status.services,
            orders: status.summary,
            stock,
        }
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
    let mut drawn_lines = 0;
    loop {
        let report = look(environment).await?;
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

async fn look(environment: &Environment) -> Result<Report> {
    let record = environment.running()?;
    let client = connect(environment)?.waiting(STATUS_WAIT_MAX);
    let status: Status = client.get("/v1/status").await?;
    // A house whose inventory is not ready still has a status.
    let stock = client.get::<Stock>("/v1/stock").await.map(|stock| stock.stock).unwrap_or_default();
    Ok(Report::new(environment, record, status, stock))
}

fn for_people(report: &Report, output: &Output) -> String {
    let up = report.started_at;
    let up_for = Duration::from_secs(Timestamp::now().since(up).as_secs());
    let mut text = format!(
        "{} {} at http://{}, version {}, up for {}, {}\n\n",
        output.style(Style::Bold, &report.name),
        if report.ready { "is ready" } else { "is not ready" },
        report.address,
        report.version,
        humantime::format_duration(up_for),
        if report.quiet { "quiet" } else { "at work" }
    );
    // Writing to a string can't fail.
    let _written = writeln!(text, "{}\n", services_table(report));
    if let Some(orders) = &report.orders {
        let _written = writeln!(text, "{}\n", orders_table(orders));
    }
    if !report.stock.is_empty() {
        let _written = writeln!(text, "{}\n", stock_table(&report.stock));
    }
    text.trim_end().to_owned()
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
