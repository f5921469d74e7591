//! The live view in a terminal.

mod gateway;
mod pty;

use std::{
    thread,
    time::{Duration, Instant},
};

use contracts::{
    OrderId, Timestamp,
    api::{
        board::Summary,
        live::{Change, Pace, Ticket, TicketState, View},
        service::ServiceStatus,
    },
};
use serde_json::{Value, json};

use self::{gateway::Gateway, pty::Pty};
use crate::chefcito::Home;

const TERMINAL: (u16, u16) = (80, 24);
/// How often the screen is drawn at most, and what that takes at most where a few rows change.
const FRAMES_A_SECOND_MAX: usize = 10;
const BYTES_A_FRAME_MAX: usize = 500;

fn order(number: i64) -> OrderId {
    format!("01a22892-26c8-761f-a8ff-{number:012}").parse().unwrap()
}

fn ticket(number: i64, dish: &str, state: TicketState) -> Ticket {
    Ticket {
        id: order(number),
        number,
        dish: Some(dish.into()),
        state,
        placed_at: Timestamp::now(),
        changed_at: Timestamp::now(),
        stove: None,
        missing: std::collections::BTreeMap::new(),
    }
}

fn view() -> View {
    let ready = ServiceStatus { ready: true, ..ServiceStatus::default() };
    View {
        at: Timestamp::now(),
        summary: Summary { placed: 1, in_flight: 1, ..Summary::default() },
        orders: vec![ticket(1, "salad", TicketState::Reserved)],
        services: [("kitchen".to_owned(), ready)].into(),
        pace: Pace { changes_per_second_max: 10, viewers: 1 },
        ..View::default()
    }
}

fn changed(tickets: Vec<Ticket>) -> Change {
    Change { at: Timestamp::now(), orders: tickets, ..Change::default() }
}

#[test]
fn a_board_shows_what_happens_and_survives_its_gateway() {
    let home = Home::new();
    let gateway = Gateway::start(&home, view());
    let mut board = Pty::run(&home, &["board"], TERMINAL);
    board.wait_for("salad");
    assert!(board.text().contains("ready, at work"), "{}", board.text());

    gateway.change(changed(vec![ticket(2, "pizza", TicketState::Cooking)]));
    board.wait_for("pizza");
    board.resize(120, 40);
    board.wait_until("the footer is in the last line", |shown| {
        shown.lines().nth(39).is_some_and(|line| line.contains("q  quit"))
    });

    gateway.kill();
    board.wait_for("no news since");
    gateway.change(changed(vec![ticket(3, "burger", TicketState::Placed)]));
    gateway.revive();
    board.wait_for("burger");
    board.wait_until("the news are new", |shown| !shown.contains("no news since"));

    board.type_keys("q");
    assert_eq!(board.ended(), 0);
}

#[test]
fn a_story_is_read_on_the_board() {
    let home = Home::new();
    let gateway = Gateway::start(&home, view());
    gateway.tell(json!({
        "order": order(1), "missing": ["market"], "events": [{
            "time": "2026-01-31T12:00:00Z", "service": "orders", "event": "order.placed", "version": 1,
            "id": order(1), "data": {"dish": "salad\u{1b}[2J"},
        }],
    }));
    let mut board = Pty::run(&home, &["board"], TERMINAL);
    board.wait_for("salad");
    board.type_keys("\r");
    board.wait_for("order.placed");
    let shown = board.text();
    assert!(
        shown.contains(r"salad\u{1b}[2J") && shown.contains("market did not answer"),
        "{shown}"
    );
    board.type_keys("\u{1b}");
    board.wait_for("In flight");
    board.type_keys("/nothing\r");
    board.wait_for("no order is in flight");
    board.type_keys("\u{3}");
    assert_eq!(board.ended(), 130);
}

#[test]
fn a_signal_restores_the_screen() {
    let home = Home::new();
    let _gateway = Gateway::start(&home, view());
    for (signal, code) in [("-TERM", 143), ("-INT", 130), ("-HUP", 129)] {
        let mut board = Pty::run(&home, &["board"], TERMINAL);
        board.wait_for("salad");
        board.signal(signal);
        assert_eq!(board.ended(), code);
    }
}

#[test]
fn colours_of_the_board_are_left_out_where_they_are_not_wanted() {
    let home = Home::new();
    let _gateway = Gateway::start(&home, view());
    for (args, variables, expected) in [
        (&["board"][..], &[][..], true),
        (&["board"], &[("NO_COLOR", "1")], false),
        (&["board", "--color", "never"], &[], false),
        (&["board", "--color", "always"], &[("NO_COLOR", "1")], true),
    ] {
        let mut board = Pty::run_with(&home, args, variables, TERMINAL);
        board.wait_for("salad");
        board.type_keys("q");
        assert_eq!(board.ended(), 0);
        let bytes = board.bytes();
        let has_colors = bytes.windows(5).any(|bytes| bytes == b"[38;5");
        assert_eq!(has_colors, expected, "{args:?} {variables:?}");
    }
}

#[test]
fn a_terminal_gets_few_bytes_however_much_happens() {
    let home = Home::new();
    let gateway = Gateway::start(&home, view());
    let mut board = Pty::run(&home, &["board"], TERMINAL);
    board.wait_for("salad");
    let (since, before) = (Instant::now(), board.bytes().len());
    for number in 30..230 {
        let gone = number - 20;
        let mut change = changed(vec![
            ticket(number, "rice with chicken", TicketState::Placed),
            ticket(number - 5, "rice with chicken", TicketState::Cooking),
            ticket(number - 10, "rice with chicken", TicketState::Delivered),
        ]);
        change.gone.push(order(gone));
        gateway.change(change);
        // The pace of a burst, not a wait for a state.
        thread::sleep(Duration::from_millis(15));
    }
    board.wait_for("219");
    let bytes = board.bytes().len() - before;
    let ms = usize::try_from(since.elapsed().as_millis()).unwrap();
    eprintln!("a board at 80x24 gets {} bytes a second", bytes * 1_000 / ms);
    let frames_max = ms * FRAMES_A_SECOND_MAX / 1_000 + 2;
    assert!(bytes < frames_max * BYTES_A_FRAME_MAX, "{bytes} bytes in {ms} ms");
    board.type_keys("q");
    assert_eq!(board.ended(), 0);
}

#[test]
fn without_a_terminal_there_is_one_view_in_json() {
    let home = Home::new();
    for args in [&["board", "--json"][..], &["board"]] {
        let code = home.run(args).code;
        assert_eq!(code, if args.len() == 1 { Some(1) } else { Some(3) }, "{args:?}");
    }
    let _gateway = Gateway::start(&home, view());
    let ran = home.run(&["board"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    insta::assert_snapshot!(ran.stderr, @r"
    error: the board needs a terminal to draw on
    hint: `chefcito board --web` prints a link for a browser, `chefcito board --json` what there is now, and `--snapshot FILE` writes that as a page
    ");
    let document: Value = serde_json::from_str(&home.must(&["board", "--json"]).stdout).unwrap();
    assert_eq!(document["schema_version"], 1);
    assert_eq!(document["orders"][0]["dish"], "salad");
    assert_eq!(document["summary"]["in_flight"], 1);
}

#[test]
fn the_board_of_a_running_environment_has_its_orders() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--cooking-time", "0s", "--orders", "2"]);
    home.wait_for_orders(&[], "delivered", 2);
    let view: Value = serde_json::from_str(&home.must(&["board", "--json"]).stdout).unwrap();
    assert_eq!(view["summary"]["delivered"], 2);
    let states: Vec<&Value> =
        view["orders"].as_array().unwrap().iter().map(|order| &order["state"]).collect();
    assert_eq!(states, ["delivered", "delivered"]);
    let mut board = Pty::run(&home, &["board"], TERMINAL);
    board.wait_for("2 delivered");
    home.must(&["down"]);
    board.wait_for("reconnecting");
    board.type_keys("q");
    assert_eq!(board.ended(), 0);
}

#[test]
fn a_first_connection_that_fails_is_an_error() {
    let home = Home::new();
    let gateway = Gateway::start(&home, view());
    gateway.kill();
    let ran = home.run(&["board", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("does not answer"), "{ran}");
    let mut board = Pty::run(&home, &["board"], TERMINAL);
    board.wait_for("does not answer");
    assert_eq!(board.ended(), 1);
}
