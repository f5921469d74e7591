//! How the services are, and what waits in them.

use contracts::{
    Timestamp,
    api::{
        live::View,
        service::{ServiceStatus, Waiting},
    },
    services,
};

use crate::{
    panes::{Body, Cell, Column, Pane, Row},
    theme::Tone,
    words::{age, safe},
};

const SERVICES: &[Column] = &[
    Column::words("service", 10, 20),
    Column::words("state", 11, 14),
    Column::number("queued", 6),
    Column::number("open", 5),
    Column::number("unpublished", 11),
    Column::number("unhandled", 9),
    Column::number("dead", 4),
    Column::number("starts", 6),
];
const WAITING: &[Column] = &[
    Column::words("waiting", 12, 20),
    Column::number("number", 6),
    Column::number("since", 6),
    Column::words("for", 18, 40),
    Column::words("in", 9, 20),
];
const REASONS: &[Column] =
    &[Column::words("service", 10, 20), Column::words("reason", 20, u16::MAX)];

pub(super) fn panes(view: &View, now: Timestamp) -> Vec<Pane> {
    let known = services::ALL.into_iter().filter_map(|name| view.services.get_key_value(name));
    let others = view.services.iter().filter(|(name, _)| !services::ALL.contains(&name.as_str()));
    let reported: Vec<_> = known.chain(others).collect();
    let mut waiting: Vec<(&String, &Waiting)> = reported
        .iter()
        .flat_map(|(name, service)| service.waiting.iter().map(move |waiting| (*name, waiting)))
        .collect();
    waiting.sort_by_key(|(_, waiting)| waiting.since.unwrap_or(Timestamp::MAX));
    let reasons = reported
        .iter()
        .filter_map(|(name, service)| Some(row_reason(name, service.reason.as_ref()?)));
    let mut panes = vec![
        Pane {
            title: "Services".into(),
            body: Body::Table {
                columns: SERVICES,
                rows: reported.iter().map(|(name, one)| row(name, one, view, now)).collect(),
            },
            empty: "no service is known",
        },
        Pane {
            title: "Waiting, the longest first".into(),
            body: Body::Table {
                columns: WAITING,
                rows: waiting.iter().map(|(name, one)| row_waiting(name, one, now)).collect(),
            },
            empty: "nothing waits",
        },
    ];
    let reasons: Vec<Row> = reasons.collect();
    if !reasons.is_empty() {
        panes.push(Pane {
            title: "Reasons".into(),
            body: Body::Table { columns: REASONS, rows: reasons },
            empty: "",
        });
    }
    panes
}

fn row(name: &str, service: &ServiceStatus, view: &View, now: Timestamp) -> Row {
    let state = match (view.away.get(name), service.ready) {
        (Some(since), _) => Cell::toned(format!("away {}", age(now.since(*since))), Tone::Bad),
        (None, true) => {
            let running = service.started_at.map(|at| format!(" {}", age(now.since(at))));
            Cell::toned(format!("ready{}", running.unwrap_or_default()), Tone::Good)
        }
        (None, false) => Cell::toned("not ready", Tone::Bad),
    };
    Row {
        key: name.to_owned(),
        names: vec![name.to_owned()],
        order: None,
        cells: vec![
            safe(name).into(),
            state,
            Cell::figure(service.queued, Tone::Plain),
            Cell::figure(service.open, Tone::Plain),
            Cell::figure(service.unpublished, Tone::Plain),
            Cell::figure(service.unhandled, Tone::Plain),
            Cell::figure(service.dead_letters, Tone::Bad),
            Cell::figure(service.starts, Tone::Plain),
        ],
    }
}

fn row_waiting(name: &str, waiting: &Waiting, now: Timestamp) -> Row {
    let since = waiting.since.map(|since| age(now.since(since)));
    Row {
        key: format!("{name} {} {}", waiting.what, waiting.awaits),
        names: vec![waiting.what.clone(), waiting.awaits.clone()],
        order: None,
        cells: vec![
            safe(&waiting.what).into(),
            waiting.count.into(),
            since.unwrap_or_default().into(),
            safe(&waiting.awaits).into(),
            safe(name).into(),
        ],
    }
}

fn row_reason(name: &str, reason: &str) -> Row {
    Row {
        key: format!("{name} reason"),
        names: vec![name.to_owned(), reason.to_owned()],
        order: None,
        cells: vec![safe(name).into(), Cell::toned(safe(reason), Tone::Warning)],
    }
}
