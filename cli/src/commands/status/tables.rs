//! The tables that a person is shown.

use contracts::{
    api::{board::Summary, inventory::Shelf, service::ServiceStatus},
    services,
};
use std::collections::BTreeMap;

use crate::{
    output::Table,
    runtimes::{compose::ContainerStatus, kubernetes::PodStatus, short_image},
};

pub(super) fn containers_table(containers: &[ContainerStatus]) -> Table<8> {
    let mut table =
        Table::new(["container", "state", "health", "restarts", "cpu", "memory", "ports", "image"]);
    for container in containers {
        let memory = match (container.memory_bytes, container.memory_limit_bytes) {
            (Some(bytes), Some(limit)) => format!("{} of {} MiB", bytes >> 20, limit >> 20),
            _ => String::new(),
        };
        table.row([
            container.name.clone(),
            state(container.exit_code, container.state),
            container.health.unwrap_or_default().into(),
            container.restarts.to_string(),
            percent(container.cpu_percent),
            memory,
            container.ports.join(", "),
            short_image(&container.image).into(),
        ]);
    }
    table
}

fn state(exit_code: Option<i64>, state: &str) -> String {
    match exit_code {
        Some(0) => "done".into(),
        Some(code) => format!("exited ({code})"),
        None => state.into(),
    }
}

fn percent(percent: Option<f64>) -> String {
    percent.map(|percent| format!("{percent:.1} %")).unwrap_or_default()
}

pub(super) fn pods_table(pods: &[PodStatus]) -> Table<8> {
    let mut table =
        Table::new(["pod", "state", "ready", "restarts", "cpu", "memory", "node", "image"]);
    for pod in pods {
        let ready = match pod.ready {
            Some(true) => "ready",
            Some(false) => "not ready",
            None => "",
        };
        let memory = match (pod.memory_bytes, pod.memory_limit_bytes) {
            (Some(bytes), Some(limit)) => format!("{} of {} MiB", bytes >> 20, limit >> 20),
            (Some(bytes), None) => format!("{} MiB", bytes >> 20),
            (None, Some(limit)) => format!("up to {} MiB", limit >> 20),
            (None, None) => String::new(),
        };
        table.row([
            pod.name.clone(),
            state(pod.exit_code, &pod.state),
            ready.into(),
            pod.restarts.to_string(),
            percent(pod.cpu_percent),
            memory,
            pod.node.clone().unwrap_or_default(),
            short_image(&pod.image).into(),
        ]);
    }
    table
}

pub(super) fn services_table(told: &BTreeMap<String, ServiceStatus>) -> Table<9> {
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
    let known = services::ALL.into_iter().filter_map(|name| told.get_key_value(name));
    let others = told.iter().filter(|(name, _)| !services::ALL.contains(&name.as_str()));
    for (name, service) in known.chain(others) {
        let note = service.reason.clone().unwrap_or_default();
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

pub(super) fn orders_table(orders: &Summary) -> Table<8> {
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

pub(super) fn stock_table(stock: &[Shelf]) -> Table<6> {
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
