use std::{collections::BTreeMap, time::Duration};

use contracts::{
    Ingredient, OrderId, PurchaseId, Timestamp,
    api::{
        board::{Latency, Summary},
        inventory::{Purchase, PurchaseStatus, Shelf},
        live::{DishFigures, Pace, Ticket, TicketState, View},
        service::{ServiceStatus, Waiting},
    },
    services,
};
use jiff::tz::TimeZone;
use ratatui::{
    Terminal,
    backend::TestBackend,
    buffer::Buffer,
    crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    style::{Color, Modifier},
};

use crate::{Action, Options, Stale, State, draw, on_key};

fn second(second: u64) -> Timestamp {
    let begin: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
    begin.plus(Duration::from_secs(second))
}

fn order(number: i64) -> OrderId {
    format!("01a22892-26c8-761f-a8ff-{number:012}").parse().unwrap()
}

fn ticket(number: i64, dish: &str, state: TicketState) -> Ticket {
    let placed_at = second(u64::try_from(number).unwrap());
    Ticket {
        id: order(number),
        number,
        dish: (!dish.is_empty()).then(|| dish.into()),
        state,
        placed_at,
        changed_at: placed_at.plus(Duration::from_millis(1_840)),
        stove: (state == TicketState::Cooking).then_some(number % 8),
        missing: match state {
            TicketState::Waiting => [(Ingredient::Lemon, 2), (Ingredient::Tomato, 1)].into(),
            _ => BTreeMap::new(),
        },
    }
}

fn shelf(ingredient: Ingredient, on_hand: i64, missing: i64) -> Shelf {
    Shelf {
        ingredient,
        on_hand,
        opening: 5,
        adjustments: 0,
        bought: on_hand,
        reserved: 5,
        released: 1,
        missing,
        next_attempt_at: (missing > 1).then(|| second(105)),
    }
}

fn purchase(number: i64, status: PurchaseStatus, quantity: i64) -> Purchase {
    let asked_at = second(99);
    Purchase {
        id: format!("01a22892-26c8-761f-a8fe-{number:012}").parse::<PurchaseId>().unwrap(),
        ingredient: Ingredient::Lemon,
        status,
        quantity,
        asked_at,
        answered_at: (status == PurchaseStatus::Done)
            .then(|| asked_at.plus(Duration::from_millis(20))),
    }
}

fn view() -> View {
    use TicketState::{
        Cancelled, Cooking, Delivered, Placed, Ready, Rejected, Requested, Reserved,
        Waiting as Short,
    };
    let orders = [
        (31, "salad", Delivered),
        (32, "rice with chicken", Cancelled),
        (33, "burger", Rejected),
        (34, "pizza", Delivered),
        (35, "salad", Short),
        (36, "pizza", Cooking),
        (37, "rice with meat", Cooking),
        (38, "french fries", Reserved),
        (39, "burger", Ready),
        (40, "pizza", Requested),
        (41, "", Placed),
    ];
    let orders = orders.map(|(number, dish, state)| ticket(number, dish, state)).to_vec();
    let ready = ServiceStatus {
        ready: true,
        starts: 1,
        started_at: Some(second(12)),
        ..ServiceStatus::default()
    };
    let mut services: BTreeMap<String, ServiceStatus> =
        services::ALL.into_iter().map(|name| (name.to_owned(), ready.clone())).collect();
    let inventory = services.get_mut(services::INVENTORY).unwrap();
    (inventory.open, inventory.queued) = (1, 2);
    let short = Waiting::some("orders", 1, Some(second(36)), "2 lemon, 1 tomato");
    inventory.waiting.extend(short);
    let kitchen = services.get_mut(services::KITCHEN).unwrap();
    (kitchen.places, kitchen.starts, kitchen.started_at) = (Some(8), 2, Some(second(97)));
    View {
        at: second(100),
        summary: Summary {
            placed: 1041,
            delivered: 1_000,
            cancelled: 3,
            rejected: 1,
            in_flight: 37,
            waiting_for_ingredients: 1,
            cooking: 2,
            dishes: [("pizza", 500), ("salad", 250), ("burger", 250)]
                .map(|(dish, count)| (dish.to_owned(), count))
                .into(),
            bought: BTreeMap::new(),
            delivery: Latency { mean_ms: 812, p50_ms: 790, p99_ms: 1_411, ..Latency::default() },
        },
        // The first pizza is late, the other is not; of salads too few were delivered.
        dishes: [("pizza", 500, 64_500), ("salad", 19, 1_000)]
            .map(|(dish, delivered, p95_ms)| {
                (dish.to_owned(), DishFigures { delivered, p50_ms: 790, p95_ms })
            })
            .into(),
        orders,
        stock: vec![
            shelf(Ingredient::Cheese, 12, 0),
            shelf(Ingredient::Lemon, 0, 2),
            shelf(Ingredient::Tomato, 3, 1),
        ],
        purchases: vec![
            purchase(4, PurchaseStatus::Open, 0),
            purchase(3, PurchaseStatus::Done, 0),
            purchase(2, PurchaseStatus::Done, 3),
            purchase(1, PurchaseStatus::Unknown, 0),
        ],
        services,
        away: BTreeMap::new(),
        pace: Pace { changes_per_second_max: 10, viewers: 1 },
    }
}

fn state_of(view: View) -> State {
    let options = Options {
        name: "chefcito".into(),
        address: "127.0.0.1:7373".into(),
        zone: TimeZone::UTC,
        colors: true,
    };
    State::new(options, view, second(100))
}

fn typed(state: &mut State, keys: &str) -> Option<Action> {
    keys.chars().map(|letter| pressed(state, KeyCode::Char(letter))).last().flatten()
}

fn pressed(state: &mut State, key: KeyCode) -> Option<Action> {
    on_key(state, key.into())
}

fn drawn(state: &State, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state, second(101))).unwrap();
    terminal.backend().buffer().clone()
}

fn shown(state: &State, width: u16, height: u16) -> String {
    let buffer = drawn(state, width, height);
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(|y| row(y).trim_end().to_owned() + "\n").collect()
}

/// Returns what is shown with a number for each tab.
fn tab(state: &mut State, digit: char) -> String {
    typed(state, &digit.to_string());
    shown(state, 80, 24)
}

#[test]
fn each_tab_fits_a_usual_terminal() {
    let mut state = state_of(view());
    for (digit, name) in ('1'..).zip(["kitchen", "stock", "history", "services", "totals"]) {
        insta::assert_snapshot!(name, tab(&mut state, digit));
    }
}

#[test]
fn a_large_terminal_shows_more_and_a_small_one_the_first() {
    let mut view = view();
    view.orders.extend((42..90).map(|number| ticket(number, "pizza", TicketState::Reserved)));
    let state = state_of(view);
    insta::assert_snapshot!("large", shown(&state, 120, 40));
    insta::assert_snapshot!("small", shown(&state, 40, 12));
    assert_eq!(shown(&state, 39, 12).trim(), "too small: 40x10 is needed");
}

#[test]
fn every_size_and_every_tab_can_be_drawn() {
    let mut without_anything = state_of(View::default());
    let mut state = state_of(view());
    state.set_stale(Some(Stale { since: second(5), why: "nothing listens".into() }));
    for state in [&mut state, &mut without_anything] {
        let draw_all = |state: &State| {
            for (width, height) in [(1, 1), (40, 10), (41, 11), (80, 13), (300, 100)] {
                drawn(state, width, height);
            }
        };
        for keys in ["1", "2", "3", "4", "5", "?", "x", "/pizza"] {
            typed(state, keys);
            draw_all(state);
        }
        // The filter ends, and the story of what it left opens.
        for _ in 0..2 {
            pressed(state, KeyCode::Enter);
            draw_all(state);
        }
    }
}

#[test]
fn old_news_and_services_that_are_away_are_loud() {
    let mut view = view();
    view.away.insert("kitchen".into(), second(90));
    let mut state = state_of(view);
    let why = "nothing is running as `chefcito`".into();
    state.set_stale(Some(Stale { since: second(184), why }));
    let top = |state: &State| shown(state, 80, 24).lines().take(6).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(top(&state), @r"
     chefcito  not ready: kitchen  http://127.0.0.1:7373
     37 in flight  1000 delivered  0.0/s  1 short of ingredients
     no answer from kitchen (11s): shown as it was before
     no news since 12:03:04, reconnecting
     nothing is running as `chefcito`
     1 Kitchen  2 Stock  3 History  4 Services  5 Totals
    ");
    let buffer = drawn(&state, 80, 24);
    assert!([2, 3].iter().all(|y| buffer[(5, *y)].modifier.contains(Modifier::REVERSED)));

    state.set_stale(None);
    state.show(self::view(), second(200));
    insta::assert_snapshot!(top(&state), @r"
     chefcito  ready, at work  http://127.0.0.1:7373
     37 in flight  1000 delivered  0.0/s  1 short of ingredients
     1 Kitchen  2 Stock  3 History  4 Services  5 Totals
    ─ In flight 7 of 37 ────────────────────────────────────────────────────────────
      number  dish                state          age  waits for
    ›     35  salad               waiting      1m05s  2 lemon, 1 tomato
    ");
}

#[test]
fn an_order_is_late_by_what_its_dish_usually_takes() {
    let color_of = |state: &State, order: &str| {
        let text = shown(state, 80, 24);
        let y = text.lines().position(|line| line.contains(order)).unwrap();
        drawn(state, 80, 24)[(46, u16::try_from(y).unwrap())].fg
    };
    let mut view = view();
    let state = state_of(view.clone());
    assert!(shown(&state, 80, 24).contains("!1m05s"));
    assert_eq!(color_of(&state, "36  pizza"), Color::Yellow);
    for on_time in ["35  salad", "37  rice", "40  pizza", "41   "] {
        assert_eq!(color_of(&state, on_time), Color::Reset, "{on_time}");
    }
    view.dishes.get_mut("salad").unwrap().delivered += 1;
    assert_eq!(color_of(&state_of(view), "35  salad"), Color::Yellow);
}

#[test]
fn a_selection_stays_with_its_order() {
    let mut state = state_of(view());
    assert_eq!(pressed(&mut state, KeyCode::Enter), Some(Action::Story(order(35))));
    typed(&mut state, "q");
    typed(&mut state, "j");
    let mut next = view();
    next.orders.retain(|ticket| ticket.number != 35);
    next.orders[4].state = TicketState::Delivered;
    state.show(next, second(101));
    assert_eq!(pressed(&mut state, KeyCode::Enter), Some(Action::Story(order(36))));
    typed(&mut state, "q");
    typed(&mut state, "G");
    assert_eq!(pressed(&mut state, KeyCode::Enter), Some(Action::Story(order(31))));
    typed(&mut state, "q");
    typed(&mut state, "g");
    assert_eq!(pressed(&mut state, KeyCode::Enter), Some(Action::Story(order(37))));
}

#[test]
fn a_filter_looks_at_dishes_numbers_states_and_the_beginning_of_ids() {
    let orders = |filter: &str| {
        let mut state = state_of(view());
        typed(&mut state, "3/");
        typed(&mut state, filter);
        pressed(&mut state, KeyCode::Enter);
        let text = shown(&state, 80, 24);
        let rows = text.lines().filter(|line| line.contains("01a22892"));
        rows.map(|row| row.replace('›', " ")[12..18].trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(orders("salad"), ["31"]);
    assert_eq!(orders("RICE"), ["32"]);
    assert_eq!(orders("33"), ["33"]);
    assert_eq!(orders("cancel"), ["32"]);
    assert_eq!(orders("01A22892"), ["34", "33", "32", "31"]);
    assert_eq!(orders("pie"), [""; 0]);
}

#[test]
fn a_filter_is_written_kept_and_removed() {
    let mut state = state_of(view());
    typed(&mut state, "/piz");
    pressed(&mut state, KeyCode::Backspace);
    typed(&mut state, "z1");
    let footer = |state: &State| shown(state, 80, 24).lines().last().unwrap().to_owned();
    assert_eq!(footer(&state), " /piz1▏ Enter keep  Esc remove");
    pressed(&mut state, KeyCode::Backspace);
    pressed(&mut state, KeyCode::Enter);
    assert_eq!(footer(&state), " filter: piz  Esc  remove   /  change   q  quit   ?  help");
    assert_eq!(pressed(&mut state, KeyCode::Esc), None);
    assert!(footer(&state).contains("/  filter"));
    assert_eq!(pressed(&mut state, KeyCode::Esc), Some(Action::Quit));
    typed(&mut state, "/");
    typed(&mut state, &"x".repeat(1_000));
    assert!(footer(&state).matches('x').count() <= 64);
}

#[test]
fn keys_of_tabs_go_around() {
    let mut state = state_of(view());
    let title = |state: &State| shown(state, 80, 24).lines().nth(3).unwrap().to_owned();
    pressed(&mut state, KeyCode::BackTab);
    assert!(title(&state).contains("Orders"), "{}", title(&state));
    typed(&mut state, "l");
    assert!(title(&state).contains("In flight"));
    typed(&mut state, "9l");
    assert!(title(&state).contains("Stock"));
}

#[test]
fn keys_end_it_or_are_passed_over() {
    let mut state = state_of(view());
    let control = |letter| KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL);
    let released = KeyEventKind::Release;
    let released = KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, released);
    assert_eq!(on_key(&mut state, released), None);
    assert_eq!(on_key(&mut state, control('q')), None);
    for keys in ["", "/", "?"] {
        typed(&mut state, keys);
        assert_eq!(on_key(&mut state, control('c')), Some(Action::Interrupt));
        pressed(&mut state, KeyCode::Esc);
    }
    assert_eq!(typed(&mut state, "?q"), None, "a key leaves the help");
    assert_eq!(typed(&mut state, "/q"), None, "a letter belongs to the filter");
    pressed(&mut state, KeyCode::Esc);
    assert_eq!(typed(&mut state, "q"), Some(Action::Quit));
}

#[test]
fn a_story_is_opened_moved_and_closed() {
    let mut state = state_of(view());
    pressed(&mut state, KeyCode::Enter);
    assert!(shown(&state, 80, 24).contains("Asking for it"));
    state.show_story(order(36), Ok(vec!["of another order".into()]));
    let lines = (0..40).map(|line| format!("{line:<90}end of line {line}")).collect();
    state.show_story(order(35), Ok(lines));
    typed(&mut state, "jjl");
    let text = shown(&state, 80, 24);
    assert!(text.contains("Story of #35 salad 01a22892") && !text.contains("another"), "{text}");
    typed(&mut state, "llGk");
    assert!(shown(&state, 80, 24).contains("end of line 38"));
    assert_eq!(pressed(&mut state, KeyCode::Enter), Some(Action::Story(order(35))));
    state.show_story(order(35), Err("the environment\nhung up".into()));
    assert!(shown(&state, 80, 24).contains(r"the environment\nhung up"));
    assert_eq!(pressed(&mut state, KeyCode::Esc), None);
    assert!(shown(&state, 80, 24).contains("In flight"));
    state.show_story(order(35), Ok(vec!["too late".into()]));
    assert!(!shown(&state, 80, 24).contains("too late"));
}

#[test]
fn the_help_names_the_keys() {
    let mut state = state_of(view());
    typed(&mut state, "?");
    insta::assert_snapshot!("help", shown(&state, 80, 24));
}

#[test]
fn text_from_outside_controls_nothing() {
    const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\tgnp.exe\n";
    let mut view = view();
    view.orders.iter_mut().for_each(|ticket| ticket.dish = Some(HOSTILE.into()));
    view.summary.dishes = [(HOSTILE.to_owned(), 1)].into();
    let hostile = ServiceStatus {
        reason: Some(HOSTILE.into()),
        waiting: Waiting::some(HOSTILE, 1, None, HOSTILE).into_iter().collect(),
        ..ServiceStatus::default()
    };
    view.services.insert(HOSTILE.into(), hostile);
    view.away.insert(HOSTILE.into(), second(1));
    let mut state = state_of(view);
    state.set_stale(Some(Stale { since: second(1), why: HOSTILE.into() }));
    let is_harmless = |state: &State| {
        let text = shown(state, 200, 50);
        let controls =
            |letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}';
        assert!(!text.contains(controls), "{text:?}");
        assert!(text.contains("gnp.exe"), "{text}");
    };
    for keys in ["1", "2", "3", "4", "5", "1"] {
        typed(&mut state, keys);
        is_harmless(&state);
    }
    let Some(Action::Story(order)) = pressed(&mut state, KeyCode::Enter) else {
        panic!("no story opens")
    };
    state.show_story(order, Ok(vec![HOSTILE.into()]));
    is_harmless(&state);
}

#[test]
fn without_colours_states_are_told_apart_by_words_and_weight() {
    let mut state = state_of(view());
    state.options.colors = false;
    for digit in '1'..='5' {
        typed(&mut state, &digit.to_string());
        let buffer = drawn(&state, 80, 24);
        assert!(
            buffer.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
        );
    }
    state.options.colors = true;
    assert!(drawn(&state, 80, 24).content().iter().any(|cell| cell.fg == Color::Green));
}
