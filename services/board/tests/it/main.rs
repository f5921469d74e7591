//! The board, as those who look at it see it.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::{
    collections::BTreeMap,
    ops::Range,
    time::{Duration, Instant},
};

use axum::{body::Body, http::Request};
use board::Board;
use contracts::{
    Ingredient, OrderId, PurchaseId, Quantities, Timestamp,
    api::{
        board::Summary,
        live::{
            BoardView, DISHES_SHOWN_MAX, DishFigures, ENDED_SHOWN_MAX, IN_FLIGHT_SHOWN_MAX,
            TicketState,
        },
    },
    events::{
        Envelope, IngredientPurchased, IngredientsAwaited, IngredientsReserved, OrderCancelled,
        OrderDelivered, OrderPlaced,
    },
    services::{INVENTORY, KITCHEN, ORDERS},
};
use events::{Announce as _, Faults, outbox};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use service::{Service, ServiceContext};
use store::{Clock, Durability, Location, Migrations, params};
use test_support::postgres;
use tower::ServiceExt as _;

mod pairs;

const NOTHING: Migrations = Migrations { owner: "twin", steps: &[] };

/// Returns the board's answer.
async fn ask<T: DeserializeOwned>(board: &Board, path: &str) -> T {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let body = board.router().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    serde_json::from_slice(&body.to_bytes()).unwrap()
}

/// What the board shows: the totals, the figures of each dish, and the state of each order by its number.
type Shown = (Summary, BTreeMap<String, DishFigures>, Vec<(i64, TicketState)>);

/// Lets the services tell of a small evening, and returns what the board shows in the end.
async fn evening(location: Location, faults: Faults) -> Shown {
    let context = ServiceContext::new(location, events::in_process_with(faults), Clock::System);
    let board = Board::open(&context).await.unwrap();
    let orders = context.open(ORDERS, NOTHING).await.unwrap();
    let inventory = context.open(INVENTORY, NOTHING).await.unwrap();
    let mut kitchen = context.open(KITCHEN, NOTHING).await.unwrap();
    kitchen.consume(|_, _, _| Ok(()));

    let guests: Vec<OrderId> = (0..30).map(|_| OrderId::new()).collect();
    let placed_at = Timestamp::from_micros(1_000_000);
    for (number, order) in (1..).zip(guests.clone()) {
        orders
            .database()
            .write(move |tx| {
                tx.announce(&OrderPlaced { order, number, dish: None, placed_at });
                Ok(())
            })
            .await
            .unwrap();
    }
    let waiting = guests.clone();
    inventory
        .database()
        .write(move |tx| {
            tx.announce_all(
                waiting[..4]
                    .iter()
                    .map(|order| IngredientsAwaited { order: *order, missing: Quantities::new() }),
            );
            let (purchase, ingredient) = (PurchaseId::new(), Ingredient::Lemon);
            tx.announce(&IngredientPurchased { purchase, ingredient, quantity: 7 });
            tx.announce_all(waiting[..3].iter().map(|order| IngredientsReserved {
                order: *order,
                reserved: Quantities::new(),
                waited: true,
            }));
            Ok(())
        })
        .await
        .unwrap();
    orders
        .database()
        .write(move |tx| {
            let delivered_at = placed_at.plus(Duration::from_millis(3));
            tx.announce_all((0..).zip(&guests[..20]).map(|(at, order)| OrderDelivered {
                order: *order,
                dish: if at < 15 { "salad" } else { "pizza" }.into(),
                placed_at,
                delivered_at: if at < 15 {
                    delivered_at
                } else {
                    placed_at.plus(Duration::from_secs(at))
                },
            }));
            tx.announce(&OrderCancelled { order: guests[20] });
            Ok(())
        })
        .await
        .unwrap();

    let started = Instant::now();
    for service in [&orders, &inventory] {
        while service.database().read(outbox::count_unpublished).await.unwrap() > 0 {
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "the board did not hear everything"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let summary: Summary = ask(&board, "/v1/summary").await;
    let view: BoardView = ask(&board, "/internal/live").await;
    assert_eq!(view.summary, summary);
    assert!(view.orders.iter().all(|order| order.placed_at == placed_at));
    let twin = context.open("board", NOTHING).await.unwrap();
    twin.database()
        .read(move |tx| {
            board::STATEMENTS.iter().try_for_each(|sql| tx.prepare(sql))?;
            tx.prepare_all(&board::MANY)
        })
        .await
        .unwrap();
    context.close().await;
    let orders = view.orders.iter().map(|order| (order.number, order.state)).collect();
    (summary, view.dishes, orders)
}

/// Opens the board, and orders that never end by themselves.
async fn board_and_orders(location: Location) -> (ServiceContext, Board, Service) {
    let context = ServiceContext::new(location, events::in_process(), Clock::System);
    let board = Board::open(&context).await.unwrap();
    let orders = context.open(ORDERS, NOTHING).await.unwrap();
    let mut kitchen = context.open(KITCHEN, NOTHING).await.unwrap();
    kitchen.consume(|_, _, _| Ok(()));
    (context, board, orders)
}

/// Places orders with these numbers, and delivers them if that is said. Returns when all of it was told.
async fn place(orders: &Service, numbers: Range<i64>, delivers: bool) {
    let placed_at = Timestamp::now();
    let dinners: Vec<(i64, OrderId)> = numbers.map(|number| (number, OrderId::new())).collect();
    let told = orders.database().write(move |tx| {
        tx.announce_all(dinners.iter().map(|(number, order)| OrderPlaced {
            order: *order,
            number: *number,
            dish: None,
            placed_at,
        }));
        if delivers {
            tx.announce_all(dinners.iter().map(|(number, order)| OrderDelivered {
                order: *order,
                dish: format!("dish {:02}", number % 70),
                placed_at,
                delivered_at: placed_at.plus(Duration::from_millis(number.unsigned_abs())),
            }));
        }
        Ok(())
    });
    told.await.unwrap();
}

async fn what_is_shown_is_bounded_and_news_are_waited_for(location: Location) {
    let (context, board, orders) = board_and_orders(location).await;
    place(&orders, 1..200, true).await;
    place(&orders, 200..400, false).await;
    let mut view = BoardView::default();
    let started = Instant::now();
    while view.summary.placed < 399 || view.summary.delivered < 199 {
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", view.summary);
        view = ask(&board, &format!("/internal/live?after={}", view.revision)).await;
    }
    let shown: Vec<i64> = view.orders.iter().map(|order| order.number).collect();
    let (in_flight, ended) = (IN_FLIGHT_SHOWN_MAX as i64, ENDED_SHOWN_MAX as i64);
    assert_eq!(shown, (200 - ended..200 + in_flight).collect::<Vec<_>>());
    let dishes: Vec<String> = view.dishes.keys().cloned().collect();
    let first = (0..DISHES_SHOWN_MAX).map(|number| format!("dish {number:02}"));
    assert_eq!(dishes, first.collect::<Vec<_>>());
    assert_eq!(view.dishes["dish 01"], DishFigures { delivered: 3, p50_ms: 72, p95_ms: 143 });

    let asked_at = Instant::now();
    let unchanged: BoardView =
        ask(&board, &format!("/internal/live?after={}", view.revision)).await;
    assert_eq!(unchanged, view);
    assert!(asked_at.elapsed() >= Duration::from_secs(1), "it waits for news");
    context.close().await;
}

#[tokio::test]
async fn viewers_see_a_part_and_wait_for_news() {
    let folder = tempfile::tempdir().unwrap();
    what_is_shown_is_bounded_and_news_are_waited_for(in_folder(&folder)).await;
    if let Some(database) = postgres() {
        what_is_shown_is_bounded_and_news_are_waited_for(database.location()).await;
    }
}

/// Delivers an order whose `order.placed` the board has set aside; returns the id of that event.
async fn deliver_with_a_dead_letter(board: &Service, orders: &Service) -> String {
    let (order, placed_at) = (OrderId::new(), Timestamp::now());
    let placed = OrderPlaced { order, number: 100_000, dish: None, placed_at };
    let placed = Envelope::new(ORDERS, &placed, placed_at, None);
    let id = placed.id.to_string();
    let set_aside = board.database().write(move |tx| {
        let text = serde_json::to_string(&placed).unwrap_or_default();
        tx.execute(
            "INSERT INTO dead_letters (id, kind, subject, event, error, attempts, failed_at) VALUES (?1, ?2, ?3, ?4, 'poison', 3, ?5)",
            &params![placed.id, placed.kind, placed.subject, text, placed_at],
        )
    });
    set_aside.await.unwrap();
    let delivered =
        OrderDelivered { order, dish: "salad".into(), placed_at, delivered_at: placed_at };
    let told = orders.database().write(move |tx| {
        tx.announce(&delivered);
        Ok(())
    });
    told.await.unwrap();
    id
}

#[tokio::test]
async fn orders_that_ended_long_ago_are_forgotten_but_those_with_a_dead_letter() {
    const KEPT: i64 = 1_000;
    let folder = tempfile::tempdir().unwrap();
    let (context, board, orders) = board_and_orders(in_folder(&folder)).await;
    let twin = context.open("board", NOTHING).await.unwrap();
    let letter = deliver_with_a_dead_letter(&twin, &orders).await;
    let count = || {
        twin.database().read(|tx| {
            let counted =
                tx.query_one("SELECT CAST(COUNT(*) AS BIGINT) FROM tickets", &[], |row| {
                    row.get(0)
                })?;
            Ok::<i64, _>(counted.unwrap_or_default())
        })
    };
    // Each commit is waited for, so that there are enough of them for old orders to be forgotten.
    let (mut view, mut placed, mut forgot) = (BoardView::default(), 0, false);
    while !forgot || view.revision < 64 {
        place(&orders, placed + 1..placed + 41, true).await;
        placed += 40;
        while view.summary.delivered <= placed {
            view = ask(&board, &format!("/internal/live?after={}", view.revision)).await;
        }
        forgot = count().await.unwrap() < placed;
        assert!(placed < 40_000, "nothing is ever forgotten");
    }
    assert!(count().await.unwrap() >= KEPT.min(placed));

    let replay = Request::post(format!("/internal/dead-letters/{letter}/replay"));
    let replayed = board.router().oneshot(replay.body(Body::empty()).unwrap()).await.unwrap();
    assert!(replayed.status().is_success(), "{replayed:?}");
    let view: BoardView = ask(&board, "/internal/live").await;
    assert_eq!(view.summary.placed, placed + 1);
    assert!(view.orders.iter().all(|order| order.state.is_end()), "one has begun anew");
    context.close().await;
}

fn in_folder(folder: &tempfile::TempDir) -> Location {
    Location::Folder { folder: folder.path().to_owned(), durability: Durability::Process }
}

#[tokio::test]
async fn the_summary_counts_what_happened() {
    let folder = tempfile::tempdir().unwrap();
    let (summary, dishes, orders) = evening(in_folder(&folder), Faults::default()).await;
    assert_eq!(
        (summary.placed, summary.delivered, summary.cancelled, summary.in_flight),
        (30, 20, 1, 9)
    );
    assert_eq!((summary.waiting_for_ingredients, summary.bought[&Ingredient::Lemon]), (1, 7));
    assert_eq!((summary.dishes["salad"], summary.delivery.p50_ms), (15, 3));
    let figures = |delivered, p50_ms, p95_ms| DishFigures { delivered, p50_ms, p95_ms };
    let expected = [("pizza", figures(5, 17_302, 19_399)), ("salad", figures(15, 3, 3))];
    assert_eq!(dishes, expected.map(|(dish, figures)| (dish.to_owned(), figures)).into());
    let state = |number| match number {
        1..=20 => TicketState::Delivered,
        21 => TicketState::Cancelled,
        _ => TicketState::Placed,
    };
    assert_eq!(orders, (1..=30).map(|number| (number, state(number))).collect::<Vec<_>>());
}

#[tokio::test]
async fn in_whatever_order_and_however_often_events_come_the_board_is_the_same() {
    let folders: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let straight = evening(in_folder(&folders[0]), Faults::default()).await;
    for (seed, folder) in (1..).zip(&folders[1..]) {
        let shuffled =
            evening(in_folder(folder), Faults { twice: true, shuffle: Some(seed) }).await;
        assert_eq!(shuffled, straight, "seed {seed}");
    }
}

#[tokio::test]
async fn postgresql_counts_alike() {
    let Some(database) = postgres() else { return };
    let folder = tempfile::tempdir().unwrap();
    let straight = evening(in_folder(&folder), Faults::default()).await;
    assert_eq!(
        evening(database.location(), Faults { twice: true, shuffle: Some(9) }).await,
        straight
    );
}

/// The board as it was when its buckets doubled.
const BEFORE: Migrations = Migrations {
    owner: "board",
    steps: &[
        (1, "counters", include_str!("../../migrations/V1__counters.sql")),
        (2, "turn", include_str!("../../migrations/V2__turn.sql")),
    ],
};

async fn keeps_its_deliveries_when_the_buckets_become_finer(location: Location) {
    let context = ServiceContext::new(location.clone(), events::in_process(), Clock::System);
    let before = context.open("board", BEFORE).await.unwrap();
    let counted = before.database().write(|tx| {
        tx.execute(
            "INSERT INTO counters (name, value) VALUES ('order.delivered', 100), ('delivery:sum_ms', 220000),
                 ('delivery:0', 1), ('delivery:12', 97), ('delivery:31', 2)",
            &[],
        )
    });
    counted.await.unwrap();
    context.close().await;

    let context = ServiceContext::new(location, events::in_process(), Clock::System);
    let board = Board::open(&context).await.unwrap();
    let Summary { delivery, .. } = ask(&board, "/v1/summary").await;
    assert_eq!((delivery.count, delivery.mean_ms), (100, 2_200));
    assert!((2_048..4_096).contains(&delivery.p50_ms), "{delivery:?}");
    assert!((1 << 30..1 << 31).contains(&delivery.p99_ms), "{delivery:?}");
    context.close().await;
}

#[tokio::test]
async fn a_board_keeps_its_deliveries_when_the_buckets_become_finer() {
    let folder = tempfile::tempdir().unwrap();
    keeps_its_deliveries_when_the_buckets_become_finer(in_folder(&folder)).await;
    if let Some(database) = postgres() {
        keeps_its_deliveries_when_the_buckets_become_finer(database.location()).await;
    }
}
