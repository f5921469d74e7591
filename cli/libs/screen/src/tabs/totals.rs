//! All orders so far.

use std::cmp::Reverse;

use contracts::{Timestamp, api::live::DishFigures};

use crate::{
    panes::{Body, Cell, Column, Pane, Row},
    state::State,
    theme::Tone,
    words::safe,
};

const ORDERS: &[Column] = &[
    Column::number("placed", 6),
    Column::number("in flight", 9),
    Column::number("waiting", 7),
    Column::number("cooking", 7),
    Column::number("delivered", 9),
    Column::number("cancelled", 9),
    Column::number("rejected", 8),
];
const DELIVERIES: &[Column] = &[
    Column::number("each second", 11),
    Column::number("mean", 8),
    Column::number("p50", 8),
    Column::number("p99", 8),
];
const DISHES: &[Column] = &[
    Column::words("dish", 18, 40),
    Column::number("delivered", 9),
    Column::number("share", 6),
    Column::number("p50", 8),
    Column::number("p95", 8),
];

pub(super) fn panes(state: &State, now: Timestamp) -> Vec<Pane> {
    let summary = &state.view.summary;
    let orders = vec![
        summary.placed.into(),
        summary.in_flight.into(),
        Cell::figure(summary.waiting_for_ingredients, Tone::Warning),
        Cell::figure(summary.cooking, Tone::Busy),
        Cell::toned(summary.delivered, Tone::Good),
        Cell::figure(summary.cancelled, Tone::Plain),
        Cell::figure(summary.rejected, Tone::Bad),
    ];
    let delivery = &summary.delivery;
    let pace = format!("{:.1}", state.deliveries.per_second(state.gateway_time(now)));
    let deliveries =
        vec![pace.into(), ms(delivery.mean_ms), ms(delivery.p50_ms), ms(delivery.p99_ms)];
    let mut dishes: Vec<(&String, i64)> =
        summary.dishes.iter().map(|(dish, count)| (dish, *count)).collect();
    dishes.sort_by_key(|(_, count)| Reverse(*count));
    let all: i64 = dishes.iter().map(|(_, count)| count).sum();
    let table = |title: &str, columns, rows| Pane {
        title: title.into(),
        body: Body::Table { columns, rows },
        empty: "no dish was delivered yet",
    };
    vec![
        table("Orders", ORDERS, vec![row("orders", orders)]),
        table("Deliveries, placed to delivered", DELIVERIES, vec![row("deliveries", deliveries)]),
        table(
            "Dishes",
            DISHES,
            dishes
                .iter()
                .map(|(dish, count)| row_dish(dish, *count, all, state.view.dishes.get(*dish)))
                .collect(),
        ),
        Pane {
            title: "This view".into(),
            body: Body::List(vec![
                format!("≤ {} changes a second", state.view.pace.changes_per_second_max),
                match state.view.pace.viewers {
                    1 => "1 viewer".into(),
                    viewers => format!("{viewers} viewers"),
                },
            ]),
            empty: "",
        },
    ]
}

fn row(key: &str, cells: Vec<Cell>) -> Row {
    Row { key: key.into(), names: vec![key.into()], order: None, cells }
}

fn row_dish(dish: &str, count: i64, all: i64, figures: Option<&DishFigures>) -> Row {
    let percent = (count * 100).checked_div(all).unwrap_or(0);
    let mut cells = vec![safe(dish).into(), count.into(), format!("{percent} %").into()];
    cells.extend(figures.into_iter().flat_map(|figures| [ms(figures.p50_ms), ms(figures.p95_ms)]));
    row(dish, cells)
}

fn ms(ms: i64) -> Cell {
    format!("{ms} ms").into()
}
