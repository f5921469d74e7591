//! What is cooked, and what waits for it.

use std::{collections::BTreeMap, time::Duration};

use contracts::{
    Timestamp,
    api::live::{DishFigures, Ticket, TicketState, View},
    services::KITCHEN,
};

use super::{counted, dish, ended};
use crate::{
    panes::{Body, Cell, Column, Pane, Row},
    theme::Tone,
    words::{age, between, quantities},
};

/// From how many deliveries on the figures of a dish tell what is late.
const DELIVERED_MIN: i64 = 20;
const IN_FLIGHT: &[Column] = &[
    Column::number("number", 6),
    Column::words("dish", 18, 30),
    Column::words("state", 9, 9),
    Column::number("age", 7),
    Column::words("waits for", 9, 60),
];
const ENDED: &[Column] = &[
    Column::number("number", 6),
    Column::words("dish", 18, 30),
    Column::words("end", 9, 9),
    Column::number("ago", 6),
    Column::number("took", 7),
];

pub(super) fn panes(view: &View, now: Timestamp) -> Vec<Pane> {
    let in_flight: Vec<&Ticket> =
        view.orders.iter().filter(|ticket| !ticket.state.is_end()).collect();
    let cooking = in_flight.iter().filter(|ticket| ticket.state == TicketState::Cooking);
    let mut stoves: Vec<(i64, String)> =
        cooking.filter_map(|ticket| Some((ticket.stove?, on_stove(ticket)))).collect();
    stoves.sort();
    let stoves: Vec<String> = stoves.into_iter().map(|(_, text)| text).collect();
    let places = view.services.get(KITCHEN).and_then(|kitchen| kitchen.places);
    let ended = ended(&view.orders);
    vec![
        Pane {
            title: format!("In flight {}", counted(in_flight.len(), view.summary.in_flight)),
            body: Body::Table {
                columns: IN_FLIGHT,
                rows: in_flight
                    .iter()
                    .map(|ticket| row_in_flight(ticket, &view.dishes, now))
                    .collect(),
            },
            empty: "no order is in flight",
        },
        Pane {
            title: match places {
                Some(places) => format!("Stoves {} of {places}", view.summary.cooking),
                None => format!("Stoves {}", counted(stoves.len(), view.summary.cooking)),
            },
            body: Body::List(stoves),
            empty: "no stove is on",
        },
        Pane {
            title: "Ended".into(),
            body: Body::Table {
                columns: ENDED,
                rows: ended.iter().map(|ticket| row_ended(ticket, now)).collect(),
            },
            empty: "no order has ended yet",
        },
    ]
}

fn on_stove(ticket: &Ticket) -> String {
    let stove = ticket.stove.unwrap_or_default();
    format!("{stove}: #{} {}", ticket.number, dish(ticket))
}

fn row_in_flight(ticket: &Ticket, dishes: &BTreeMap<String, DishFigures>, now: Timestamp) -> Row {
    let since_placed = now.since(ticket.placed_at);
    let age = match is_late(ticket, dishes, since_placed) {
        true => Cell::toned(format!("!{}", age(since_placed)), Tone::Warning),
        false => age(since_placed).into(),
    };
    row(ticket, [age, waits_for(ticket).into()])
}

/// Returns whether an order takes longer than 95 of 100 of its dish.
fn is_late(ticket: &Ticket, dishes: &BTreeMap<String, DishFigures>, age: Duration) -> bool {
    let figures = ticket.dish.as_ref().and_then(|dish| dishes.get(dish));
    figures.is_some_and(|figures| {
        let p95 = Duration::from_millis(figures.p95_ms.unsigned_abs());
        figures.delivered >= DELIVERED_MIN && age > p95
    })
}

fn row_ended(ticket: &Ticket, now: Timestamp) -> Row {
    let took = between(ticket.placed_at, ticket.changed_at);
    row(ticket, [age(now.since(ticket.changed_at)).into(), took.into()])
}

fn row(ticket: &Ticket, rest: [Cell; 2]) -> Row {
    let [number, dish] = [ticket.number.to_string(), dish(ticket)];
    let state = Cell::toned(ticket.state.name(), Tone::of(ticket.state));
    let [first, second] = rest;
    Row {
        key: ticket.id.to_string(),
        names: vec![number.clone(), dish.clone(), ticket.state.name().into()],
        order: Some(ticket.id),
        cells: vec![number.into(), dish.into(), state, first, second],
    }
}

/// Returns what an order needs to go on.
fn waits_for(ticket: &Ticket) -> String {
    match ticket.state {
        TicketState::Placed => "the kitchen".into(),
        TicketState::Requested => "the inventory".into(),
        TicketState::Waiting => quantities(&ticket.missing),
        TicketState::Reserved => "a stove".into(),
        TicketState::Cooking => match ticket.stove {
            Some(stove) => format!("stove {stove}"),
            None => "its stove".into(),
        },
        TicketState::Ready => "delivery".into(),
        TicketState::Delivered | TicketState::Cancelled | TicketState::Rejected => String::new(),
    }
}
