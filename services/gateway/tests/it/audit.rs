//! What must always hold, and that the audit sees each thing that does not.

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use backends::Backend;
use contracts::{
    Ingredient, OrderId, PurchaseId,
    api::{
        audit::{AuditReport, InboxFact, PurchaseFact, TicketFact},
        live::{Ticket, TicketState},
        orders::OrderStatus,
    },
    services::{BOARD, INVENTORY, KITCHEN, MARKET, MARKET_SIM, ORDERS},
};
use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    stage::Stage,
    world::{Shared, World, lock, services},
};

pub(crate) async fn audit(stage: &Stage, live: bool) -> AuditReport {
    let got = stage.get(&format!("/v1/audit?live={live}")).await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.text());
    got.json()
}

pub(crate) fn broken(report: &AuditReport) -> Vec<&str> {
    assert_eq!(report.passed, report.invariants.iter().all(|invariant| invariant.passed));
    let broken = report.invariants.iter().filter(|invariant| !invariant.passed);
    broken.map(|invariant| invariant.name.as_str()).collect()
}

pub(crate) async fn stage_of(world: World) -> (Stage, Shared) {
    let world = Shared::new(world.into());
    (Stage::with(services(&world)).await, world)
}

#[tokio::test]
async fn an_environment_in_order_passes_with_its_figures() {
    let (stage, _) = stage_of(World::busy_day(3)).await;
    for live in [false, true] {
        let report = audit(&stage, live).await;
        assert_eq!(broken(&report), Vec::<&str>::new(), "{report:#?}");
        assert!(report.invariants.iter().all(|invariant| invariant.difference == 0), "{report:#?}");
    }
    let report = audit(&stage, false).await;
    let lines: Vec<String> = report
        .invariants
        .iter()
        .map(|invariant| {
            let note = invariant.note.as_deref().unwrap_or_default();
            format!("{:<20} {:>9} {note}", invariant.name, invariant.found).trim_end().to_owned()
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
    stage.close().await;
}

#[tokio::test]
async fn an_environment_in_which_nothing_happened_passes() {
    let (stage, _) = stage_of(World::open()).await;
    assert!(audit(&stage, false).await.passed);
    assert!(audit(&stage, true).await.passed);
    stage.close().await;
}

#[tokio::test]
async fn many_pages_are_merged_as_one() {
    let (stage, world) = stage_of(World::busy_day(320)).await;
    assert!(lock(&world).orders.len() > 2_000);
    for live in [false, true] {
        let report = audit(&stage, live).await;
        assert_eq!(broken(&report), Vec::<&str>::new(), "{report:#?}");
        assert_eq!(report.invariants[0].found, 2_240);
    }
    // One order in the middle of it all is found.
    let lost = lock(&world).orders[1_700].order;
    lock(&world).orders.retain(|fact| fact.order != lost);
    let report = audit(&stage, false).await;
    assert!(broken(&report).contains(&"orders.balance"));
    assert_eq!(report.invariants[0].samples, [format!("{lost} was accepted, and is lost")]);
    stage.close().await;
}

/// A way to break the environment.
struct Mutation {
    breaks: &'static str,
    what: &'static str,
    /// Whether it is impossible even while the environment works.
    always: bool,
    mutate: fn(&mut World),
}

const fn always(breaks: &'static str, what: &'static str, mutate: fn(&mut World)) -> Mutation {
    Mutation { breaks, what, always: true, mutate }
}

const fn when_quiet(breaks: &'static str, what: &'static str, mutate: fn(&mut World)) -> Mutation {
    Mutation { breaks, what, always: false, mutate }
}

fn first(world: &World, status: OrderStatus) -> OrderId {
    world.orders.iter().find(|fact| fact.status == status).unwrap().order
}

fn is_of(fact: &TicketFact, order: OrderId) -> bool {
    fact.order == order
}

fn extra(world: &mut World, writer: &'static str, name: &str, status: OrderStatus) {
    let subject = first(world, status).to_string();
    world.tell(writer, name, &subject);
}

/// Returns what the board shows of the first order of this status.
fn shown(world: &mut World, status: OrderStatus) -> &mut Ticket {
    let order = first(world, status);
    world.board.get_mut(&order).unwrap()
}

/// Places an order that waits for ingredients.
fn place_waiting(world: &mut World) -> OrderId {
    let order = world.place();
    world.open_ticket(order);
    world.wait(order);
    order
}

const MUTATIONS: [Mutation; 48] = [
    always("orders.balance", "an accepted order is lost", |world| {
        let lost = world.place();
        world.orders.retain(|fact| fact.order != lost);
    }),
    always("orders.balance", "an order is delivered and cancelled", |world| {
        extra(world, ORDERS, "order.cancelled", OrderStatus::Delivered);
    }),
    always("orders.balance", "an order is rejected and delivered", |world| {
        extra(world, ORDERS, "order.rejected", OrderStatus::Delivered);
    }),
    always("orders.tickets", "a delivered order has no ticket", |world| {
        let order = first(world, OrderStatus::Delivered);
        world.tickets.retain(|fact| !is_of(fact, order));
    }),
    always("orders.tickets", "a dish is made that nobody ordered", |world| {
        let order = OrderId::from(Uuid::from_u128(world.orders[0].order.uuid().as_u128() - 1));
        world.open_ticket(order);
    }),
    always("orders.tickets", "a rejected order has a ticket that is cancelled", |world| {
        let order = first(world, OrderStatus::Cancelled);
        world.order(order).status = OrderStatus::Rejected;
        world.board.get_mut(&order).unwrap().state = TicketState::Rejected;
        for fact in world.outboxes.get_mut(ORDERS).unwrap() {
            if fact.subject == order.to_string() && fact.name == "order.cancelled" {
                fact.name = "order.rejected".into();
                let id = fact.id;
                for heard in world.inboxes.values_mut().flatten().filter(|fact| fact.id == id) {
                    heard.name = "order.rejected".into();
                }
            }
        }
        *world.counters.get_mut("order.cancelled").unwrap() -= 1;
        *world.counters.get_mut("order.rejected").unwrap() += 1;
    }),
    when_quiet("orders.tickets", "an order is forgotten by the kitchen", |world| {
        world.place();
    }),
    when_quiet("orders.tickets", "a dish is ready and its order does not know", |world| {
        let order = world.place();
        world.open_ticket(order);
        world.reserve(order);
        world.cook(order);
        world.prepare(order);
    }),
    always("dishes.once", "a dish is prepared twice", |world| {
        extra(world, KITCHEN, "dish.prepared", OrderStatus::Delivered);
    }),
    always("dishes.once", "an order is delivered twice", |world| {
        let order = first(world, OrderStatus::Delivered).to_string();
        world.tell(ORDERS, "order.delivered", &order);
        // The board counts dishes by the orders.
        *world.counters.get_mut("dish:pizza").unwrap() -= 1;
    }),
    always("dishes.once", "another dish is served than was cooked", |world| {
        let order = first(world, OrderStatus::Delivered);
        world.order(order).dish = Some("salad".into());
        *world.counters.get_mut("dish:pizza").unwrap() -= 1;
        world.counters.insert("dish:salad".into(), 1);
    }),
    always("stock.conservation", "something left the shelf by itself", |world| {
        world.shelf(Ingredient::Lemon).on_hand -= 1;
    }),
    always("stock.conservation", "something came to the shelf by itself", |world| {
        world.shelf(Ingredient::Lemon).on_hand += 1;
    }),
    always("stock.conservation", "more is taken than there was", |world| {
        let shelf = world.shelf(Ingredient::Lemon);
        shelf.adjustments -= shelf.on_hand + 1;
        shelf.on_hand = -1;
    }),
    always("stock.conservation", "the shelf has more reserved than the orders", |world| {
        let shelf = world.shelf(Ingredient::Tomato);
        shelf.reserved += 1;
        shelf.on_hand -= 1;
    }),
    when_quiet("stock.conservation", "the orders have more than left the shelf", |world| {
        let shelf = world.shelf(Ingredient::Tomato);
        shelf.reserved -= 1;
        shelf.on_hand += 1;
    }),
    when_quiet("stock.conservation", "what was released did not come back", |world| {
        let shelf = world.shelf(Ingredient::Tomato);
        shelf.released -= 1;
        shelf.on_hand -= 1;
    }),
    always("stock.used", "an order got less than its ticket says", |world| {
        let order = first(world, OrderStatus::Delivered);
        let ticket = world.tickets.iter_mut().find(|fact| fact.order == order).unwrap();
        *ticket.needs.get_mut(&Ingredient::Tomato).unwrap() += 1;
    }),
    always("stock.used", "a dish is made of nothing", |world| {
        let order = first(world, OrderStatus::Delivered);
        world.reservations.retain(|fact| fact.order != order);
        for ingredient in [(Ingredient::Cheese, 2), (Ingredient::Tomato, 3)] {
            let shelf = world.shelf(ingredient.0);
            shelf.reserved -= ingredient.1;
            shelf.on_hand += ingredient.1;
        }
    }),
    when_quiet("stock.used", "a cancelled order keeps what it had", |world| {
        let reservation =
            world.reservations.iter_mut().find(|fact| fact.status == "released").unwrap();
        reservation.status = "reserved".into();
        let order = reservation.order.to_string();
        for (ingredient, pieces) in [(Ingredient::Cheese, 2), (Ingredient::Tomato, 3)] {
            let shelf = world.shelf(ingredient);
            shelf.released -= pieces;
            shelf.on_hand -= pieces;
        }
        let outbox = world.outboxes.get_mut(INVENTORY).unwrap();
        let place = outbox
            .iter()
            .position(|fact| fact.subject == order && fact.name == "ingredients.released")
            .unwrap();
        let id = outbox.remove(place).id;
        world.inboxes.values_mut().for_each(|inbox| inbox.retain(|fact| fact.id != id));
        *world.counters.get_mut("ingredients.released").unwrap() -= 1;
    }),
    always("purchases.receipts", "a purchase has no receipt", |world| {
        let purchase =
            PurchaseId::from(Uuid::from_u128(world.purchases[0].purchase.uuid().as_u128() - 1));
        let (ingredient, status) = (Ingredient::Rice, "done".to_owned());
        world.purchases.push(PurchaseFact { purchase, ingredient, status, quantity: 0 });
    }),
    always("purchases.receipts", "a receipt has no purchase", |world| {
        let purchase =
            PurchaseId::from(Uuid::from_u128(world.purchases[0].purchase.uuid().as_u128() - 1));
        let (ingredient, status) = (Ingredient::Rice, "done".to_owned());
        world.receipts.push(PurchaseFact { purchase, ingredient, status, quantity: 0 });
    }),
    always("purchases.receipts", "a purchase is of more than its receipt", |world| {
        world.purchases[0].quantity += 1;
        let shelf = world.shelf(Ingredient::Tomato);
        shelf.bought += 1;
        shelf.on_hand += 1;
        *world.counters.get_mut("bought:tomato").unwrap() += 1;
    }),
    always("purchases.receipts", "a purchase is of another thing than its receipt", |world| {
        let zero = |fact: &&mut PurchaseFact| fact.quantity == 0 && fact.status == "done";
        world.purchases.iter_mut().find(zero).unwrap().ingredient = Ingredient::Onion;
    }),
    always("purchases.receipts", "the shelf has more bought than was bought", |world| {
        let shelf = world.shelf(Ingredient::Potato);
        shelf.bought += 1;
        shelf.on_hand += 1;
    }),
    always("receipts.sold", "more is sold than there are receipts for", |world| {
        world.sales[0].quantity += 1;
    }),
    always("receipts.sold", "a receipt is of what was never sold", |world| {
        world.sales.remove(0);
    }),
    always("receipts.sold", "what the market gave up for unknown was sold", |world| {
        let unknown = |fact: &&PurchaseFact| fact.status == "unknown";
        let mut sale = world.receipts.iter().find(unknown).unwrap().clone();
        (sale.status, sale.quantity) = ("done".into(), 3);
        world.sales.push(sale);
    }),
    when_quiet("receipts.sold", "something is sold to nobody", |world| {
        let (purchase, ingredient) = (PurchaseId::new(), Ingredient::Rice);
        let status = "done".to_owned();
        world.sales.push(PurchaseFact { purchase, ingredient, status, quantity: 1 });
    }),
    always("events.outbox", "an order was placed in silence", |world| {
        world.untell("order.placed");
    }),
    always("events.outbox", "an order was delivered in silence", |world| {
        world.untell("order.delivered");
        // The board counts dishes by the orders.
    }),
    always("events.outbox", "ingredients were reserved in silence", |world| {
        world.untell("ingredients.reserved");
    }),
    always("events.outbox", "a purchase was booked in silence", |world| {
        world.untell("ingredient.purchased");
    }),
    always("events.outbox", "cooking started twice", |world| {
        extra(world, KITCHEN, "cooking.started", OrderStatus::Delivered);
    }),
    when_quiet("events.outbox", "a dish is told to be cancelled and is not", |world| {
        extra(world, KITCHEN, "dish.cancelled", OrderStatus::Delivered);
    }),
    always("events.inbox", "a reader never heard of a published event", |world| {
        world.inboxes.get_mut(KITCHEN).unwrap().remove(0);
    }),
    always("events.inbox", "somebody acted on an event that nobody wrote", |world| {
        let id = Uuid::from_u128(world.outboxes["orders"][0].id.as_u128() - 1);
        world.inboxes.get_mut(KITCHEN).unwrap().push(InboxFact { id, name: "order.placed".into() });
    }),
    always("events.inbox", "somebody acted on an event that is not theirs", |world| {
        let fact = world.outboxes["orders"].iter().find(|fact| fact.name == "order.delivered");
        let fact = InboxFact { id: fact.unwrap().id, name: "order.delivered".into() };
        world.inboxes.get_mut(KITCHEN).unwrap().push(fact);
    }),
    always("board.aggregates", "the board counted a delivery that was none", |world| {
        *world.counters.get_mut("dish:pizza").unwrap() += 1;
    }),
    when_quiet("board.aggregates", "the board missed an event", |world| {
        *world.counters.get_mut("ingredients.reserved").unwrap() -= 1;
    }),
    always("board.orders", "the board shows another end", |world| {
        shown(world, OrderStatus::Delivered).state = TicketState::Cancelled;
    }),
    always("board.orders", "the board shows an end that is not reached", |world| {
        let order = place_waiting(world);
        world.board.get_mut(&order).unwrap().state = TicketState::Delivered;
    }),
    always("board.orders", "the board shows another dish", |world| {
        shown(world, OrderStatus::Delivered).dish = Some("salad".into());
    }),
    always("board.orders", "the board shows another number", |world| {
        shown(world, OrderStatus::Cancelled).number += 1;
    }),
    always("board.orders", "the board shows an order that nobody placed", |world| {
        let (id, other) = (OrderId::new(), shown(world, OrderStatus::Delivered).clone());
        world.board.insert(id, Ticket { id, ..other });
    }),
    when_quiet("board.orders", "the board missed an end", |world| {
        shown(world, OrderStatus::Delivered).state = TicketState::Ready;
    }),
    when_quiet("board.orders", "the board misses an order in flight", |world| {
        let order = place_waiting(world);
        world.board.remove(&order);
    }),
    always("storage.check", "a page of a database is torn", |world| {
        world.storage.insert(KITCHEN, vec!["page 7 is never used".into()]);
    }),
];

#[tokio::test]
async fn each_breach_turns_exactly_its_invariant_red() {
    for Mutation { breaks, what, always, mutate } in MUTATIONS {
        let mut world = World::busy_day(2);
        mutate(&mut world);
        // What happened an hour before the last order is old, whatever is read first.
        world.deliver(false);
        world.buy(Ingredient::Meat, 1);
        let (stage, _) = stage_of(world).await;
        let report = audit(&stage, false).await;
        assert_eq!(broken(&report), [breaks], "{what}: {report:#?}");
        let invariant = report.invariants.iter().find(|invariant| !invariant.passed).unwrap();
        assert!(!invariant.samples.is_empty(), "{what}");
        let report = audit(&stage, true).await;
        let expected: &[&str] = if always { &[breaks] } else { &[] };
        assert_eq!(broken(&report), expected, "{what}, live: {report:#?}");
        stage.close().await;
    }
}

#[tokio::test]
async fn what_waits_and_what_was_set_aside_is_seen() {
    let (stage, world) = stage_of(World::busy_day(1)).await;
    for service in [ORDERS, BOARD] {
        lock(&world).statuses.get_mut(service).unwrap().unpublished = 1;
        assert_eq!(broken(&audit(&stage, false).await), ["quiet.outboxes"]);
        assert!(audit(&stage, true).await.passed);
        lock(&world).statuses.get_mut(service).unwrap().unpublished = 0;
        lock(&world).statuses.get_mut(service).unwrap().dead_letters = 2;
        for live in [false, true] {
            let report = audit(&stage, live).await;
            assert_eq!(broken(&report), ["dead_letters.empty"]);
        }
        lock(&world).statuses.get_mut(service).unwrap().dead_letters = 0;
    }
    stage.close().await;
}

#[tokio::test]
async fn without_a_market_sim_nobody_is_asked_what_was_sold() {
    let world = Shared::new(World::busy_day(1).into());
    lock(&world).sales.clear();
    let stage = Stage::with(services(&world).without(MARKET_SIM)).await;
    let report = audit(&stage, false).await;
    assert!(report.passed, "{report:#?}");
    let sold =
        report.invariants.iter().find(|invariant| invariant.name == "receipts.sold").unwrap();
    assert_eq!(
        sold.note.as_deref(),
        Some("not checked: there is no simulated market that could be asked")
    );
    stage.close().await;
}

#[tokio::test]
async fn an_audit_that_can_t_be_done_says_who_did_not_answer() {
    let world = Shared::new(World::busy_day(1).into());
    let silent = axum::Router::new().fallback(async || StatusCode::INTERNAL_SERVER_ERROR);
    let market = Backend::in_process(silent);
    let stage = Stage::with(services(&world).with(MARKET, market)).await;
    let got = stage.get("/v1/audit").await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    let detail = got.problem().detail.unwrap();
    assert!(detail.contains("market did not tell its receipts"), "{detail}");
    stage.close().await;

    let silent = axum::Router::new()
        .fallback(async || service::problem::Problem::unavailable("Its disk is full. Wait."));
    let market = Backend::in_process(silent);
    let stage = Stage::with(services(&world).with(MARKET, market)).await;
    let detail = stage.get("/v1/audit").await.problem().detail.unwrap();
    assert_eq!(
        detail,
        "The audit could not be done: market did not tell its receipts: it answered 503 Service Unavailable: \
         Its disk is full. Wait. Ask again when every service is ready."
    );
    stage.close().await;
}

#[tokio::test]
async fn there_is_one_audit_at_a_time() {
    let world = Shared::new(World::busy_day(1).into());
    let gate = Arc::new(Notify::new());
    let closed = Arc::clone(&gate);
    let slow = axum::Router::new().fallback(async move || {
        closed.notified().await;
        StatusCode::INTERNAL_SERVER_ERROR
    });
    let board = Backend::in_process(slow);
    let stage = Stage::with(services(&world).with(BOARD, board)).await;
    let second = async {
        let got = stage.get("/v1/audit").await;
        gate.notify_one();
        got
    };
    let (first, second) = tokio::join!(stage.get("/v1/audit"), second);
    assert_eq!(first.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(second.status, StatusCode::CONFLICT);
    assert_eq!(second.problem().kind, "/problems/audit-runs");
    stage.close().await;
}

#[tokio::test]
async fn a_ledger_finds_the_order_that_a_client_was_promised() {
    let (stage, world) = stage_of(World::busy_day(1)).await;
    let mut ids: Vec<OrderId> = lock(&world).orders.iter().map(|fact| fact.order).collect();
    let ask = async |ids: &[OrderId]| {
        let body = json!({"ids": ids});
        stage.ask(Method::POST, "/v1/audit/ledger", Some(&stage.admin), body).await
    };
    let report: AuditReport = ask(&ids).await.json();
    assert!(report.passed);
    let lost = OrderId::new();
    ids.extend([lost, lost]);
    let report: AuditReport = ask(&ids).await.json();
    assert_eq!(broken(&report), ["ledger.accepted"]);
    assert_eq!(report.invariants[0].difference, -1);
    assert_eq!(report.invariants[0].samples, [lost.to_string()]);
    let many: Vec<OrderId> = (0..1_001).map(|_| lost).collect();
    assert_eq!(ask(&many).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let got = stage.ask(Method::POST, "/v1/audit/ledger", Some(&stage.admin), Value::Null).await;
    assert_eq!(got.status, StatusCode::UNPROCESSABLE_ENTITY);
    stage.close().await;
}
