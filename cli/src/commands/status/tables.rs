//! The tables for people.

use contracts::{
    Timestamp,
    api::{
        board::Summary,
        inventory::Shelf,
        service::{ServiceStatus, Waiting},
    },
    services,
};
use manifests::quantities::size;
use std::{collections::BTreeMap, time::Duration};

use crate::{
    output::Table,
    runtimes::{compose::ContainerStatus, kubernetes::PodStatus, short_image},
};

pub(super) fn containers_table(containers: &[ContainerStatus]) -> Table<8> {
    let mut table =
        Table::new(["container", "state", "health", "restarts", "cpu", "memory", "ports", "image"]);
    for container in containers {
        let memory = match (container.memory_bytes, container.memory_limit_bytes) {
            (Some(bytes), Some(limit)) => format!("{} of {}", size(bytes), size(limit)),
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
            (Some(bytes), Some(limit)) => format!("{} of {}", size(bytes), size(limit)),
            (Some(bytes), None) => size(bytes),
            (None, Some(limit)) => format!("up to {}", size(limit)),
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

pub(super) fn services_table(reported: &BTreeMap<String, ServiceStatus>) -> Table<8> {
    let mut table = Table::new([
        "service",
        "state",
        "store",
        "queued",
        "open",
        "unpublished",
        "unhandled",
        "dead letters",
    ]);
    let known = services::ALL.into_iter().filter_map(|name| reported.get_key_value(name));
    let others = reported.iter().filter(|(name, _)| !services::ALL.contains(&name.as_str()));
    for (name, service) in known.chain(others) {
        table.row([
            name.clone(),
            if service.ready { "ready".into() } else { "not ready".into() },
            service.engine.clone(),
            service.queued.to_string(),
            service.open.to_string(),
            service.unpublished.to_string(),
            service.unhandled.to_string(),
            service.dead_letters.to_string(),
        ]);
    }
    table
}

/// Returns the table of what waits in all services, the longest first; `None` if nothing does.
pub(super) fn waiting_table(
    reported: &BTreeMap<String, ServiceStatus>,
    now: Timestamp,
) -> Option<Table<5>> {
    let mut all: Vec<(&String, &Waiting)> = reported
        .iter()
        .flat_map(|(name, service)| service.waiting.iter().map(move |waiting| (name, waiting)))
        .collect();
    all.sort_by_key(|(_, waiting)| waiting.since.unwrap_or(Timestamp::MAX));
    let mut table = Table::new(["waiting", "number", "since", "for", "in"]);
    for (name, Waiting { what, count, since, awaits }) in &all {
        let ago = |since| {
            let ago = Duration::from_secs(now.since(since).as_secs());
            format!("{} ago", humantime::format_duration(ago))
        };
        table.row([
            what.clone(),
            count.to_string(),
            since.map(ago).unwrap_or_default(),
            awaits.clone(),
            (*name).clone(),
        ]);
    }
    (!all.is_empty()).then_some(table)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_longest_is_shown_first() {
        let waiting = |what, count, since: Option<i64>, awaits| {
            let since = since.map(|seconds| Timestamp::from_micros(seconds * 1_000_000));
            Waiting::some(what, count, since, awaits).unwrap()
        };
        let of = |waiting| ServiceStatus { waiting, ..ServiceStatus::default() };
        let reported = BTreeMap::from([
            ("board".to_owned(), of(vec![waiting("events", 7, None, "this reader")])),
            (
                "inventory".to_owned(),
                of(vec![
                    waiting("orders", 12, Some(1_000), "3 tomato, 1 lemon"),
                    waiting("purchases", 2, Some(1_175), "the market"),
                ]),
            ),
            ("kitchen".to_owned(), of(Vec::new())),
            ("orders".to_owned(), of(vec![waiting("orders", 40, Some(900), "delivery")])),
        ]);
        let now = Timestamp::from_micros(1_185_000_000);
        insta::assert_snapshot!(waiting_table(&reported, now).unwrap(), @r"
        waiting    number       since  for                in
        orders         40  4m 45s ago  delivery           orders
        orders         12   3m 5s ago  3 tomato, 1 lemon  inventory
        purchases       2     10s ago  the market         inventory
        events          7              this reader        board
        ");
        assert!(waiting_table(&BTreeMap::new(), now).is_none());
    }
}
