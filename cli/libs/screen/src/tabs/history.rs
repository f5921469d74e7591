//! The orders at their end.

use contracts::api::live::{Ticket, View};
use jiff::tz::TimeZone;

use super::{counted, dish, ended};
use crate::{
    panes::{Body, Cell, Column, Pane, Row},
    theme::Tone,
    words::{between, time_of_day},
};

const COLUMNS: &[Column] = &[
    Column::words("ended", 8, 8),
    Column::number("number", 6),
    Column::words("dish", 18, 30),
    Column::words("end", 9, 9),
    Column::number("took", 7),
    Column::words("order", 36, 36),
];

pub(super) fn panes(view: &View, zone: &TimeZone) -> Vec<Pane> {
    let ended = ended(&view.orders);
    let summary = &view.summary;
    let all = summary.delivered + summary.cancelled + summary.rejected;
    vec![Pane {
        title: format!("Ended {}, the newest first", counted(ended.len(), all)),
        body: Body::Table {
            columns: COLUMNS,
            rows: ended.iter().map(|ticket| row(ticket, zone)).collect(),
        },
        empty: "no order has ended yet",
    }]
}

fn row(ticket: &Ticket, zone: &TimeZone) -> Row {
    let [number, dish, id] = [ticket.number.to_string(), dish(ticket), ticket.id.to_string()];
    Row {
        names: vec![number.clone(), dish.clone(), ticket.state.name().into()],
        order: Some(ticket.id),
        cells: vec![
            time_of_day(ticket.changed_at, zone).into(),
            number.into(),
            dish.into(),
            Cell::toned(ticket.state.name(), Tone::of(ticket.state)),
            between(ticket.placed_at, ticket.changed_at).into(),
            Cell::toned(&id, Tone::Dim),
        ],
        key: id,
    }
}
