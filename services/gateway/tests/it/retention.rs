//! An audit of an environment that no longer keeps its old events.

use backends::Backend;
use contracts::{
    Ingredient, OrderId,
    api::{gateway::Story, orders::OrderStatus},
    events::{DishPrepared, Envelope},
    services::{BOARD, INVENTORY, KITCHEN, ORDERS},
};

use crate::{
    audit::{audit, broken, stage_of},
    stage::{Stage, echoes},
    story::tells,
    world::World,
};

/// Returns an environment that has forgotten its first evening and is in its second.
fn second_evening() -> World {
    let mut world = World::busy_day(3);
    world.forget();
    world.tell(KITCHEN, "menu.changed", "menu");
    for _ in 0..2 {
        world.deliver(true);
        world.cancel("released");
        world.reject();
        world.buy(Ingredient::Tomato, 3);
    }
    world
}

#[tokio::test]
async fn an_environment_whose_old_events_are_gone_passes() {
    let mut all_gone = World::busy_day(2);
    all_gone.forget();
    let mut half_gone = World::busy_day(4);
    half_gone.forget_half();
    for world in [all_gone, half_gone, second_evening()] {
        let (stage, _) = stage_of(world).await;
        for live in [false, true] {
            let report = audit(&stage, live).await;
            assert_eq!(broken(&report), Vec::<&str>::new(), "{report:#?}");
            let note = |name: &str| {
                let found = report.invariants.iter().find(|invariant| invariant.name == name);
                found.unwrap().note.clone().unwrap_or_default()
            };
            assert!(note("events.inbox").ends_with("are no longer kept, only counted"));
            assert!(note("events.outbox").contains("not all events are kept"));
        }
        stage.close().await;
    }
}

#[tokio::test]
async fn each_count_that_is_off_by_one_turns_exactly_one_invariant_red() {
    let mut tried = 0;
    for name in ["order.placed", "order.delivered", "ingredient.purchased", "dish.cancelled"] {
        for by in [-1, 1] {
            for service in [ORDERS, KITCHEN, INVENTORY, BOARD] {
                for is_outbox in [true, false] {
                    let mut world = second_evening();
                    let sides = if is_outbox { &mut world.gone_out } else { &mut world.gone_in };
                    let Some(count) =
                        sides.get_mut(service).and_then(|side| side.removed.get_mut(name))
                    else {
                        continue;
                    };
                    *count += by;
                    tried += 1;
                    let (stage, _) = stage_of(world).await;
                    let report = audit(&stage, false).await;
                    assert_eq!(broken(&report), ["events.inbox"], "{service} {name}: {report:#?}");
                    let report = audit(&stage, true).await;
                    assert_eq!(broken(&report), ["events.inbox"], "{service} {name}: {report:#?}");
                    stage.close().await;
                }
            }
        }
    }
    // Four outboxes and the inboxes of one to three readers each, twice.
    assert_eq!(tried, 2 * (4 + 2 + 1 + 1 + 3));
}

#[tokio::test]
async fn what_is_broken_beyond_the_horizon_and_what_counts_can_tell_is_still_seen() {
    type Mutation = (&'static str, fn(&mut World));
    let mutations: [Mutation; 6] = [
        ("events.inbox", |world| {
            world.inboxes.get_mut(KITCHEN).unwrap().pop();
        }),
        ("events.outbox", |world| {
            let order = world.deliver(false).to_string();
            world.tell(KITCHEN, "cooking.started", &order);
        }),
        ("dishes.once", |world| {
            let first = world.orders[0].order.to_string();
            for _ in 0..2 {
                world.tell(KITCHEN, "dish.prepared", &first);
            }
        }),
        ("board.aggregates", |world| {
            *world.counters.get_mut("order.placed").unwrap() -= 1;
        }),
        ("orders.balance", |world| {
            // Nothing is left of it but that it was once accepted.
            for side in world.gone_out.values_mut().chain(world.gone_in.values_mut()) {
                if let Some(count) = side.removed.get_mut("order.placed") {
                    *count += 1;
                }
            }
            *world.counters.get_mut("order.placed").unwrap() += 1;
        }),
        ("orders.tickets", |world| {
            let old = world.orders[0].order;
            assert_eq!(world.orders[0].status, OrderStatus::Delivered);
            world.tickets.retain(|fact| fact.order != old);
        }),
    ];
    for (breaks, mutate) in mutations {
        let mut world = second_evening();
        mutate(&mut world);
        let (stage, _) = stage_of(world).await;
        let report = audit(&stage, false).await;
        assert_eq!(broken(&report), [breaks], "{report:#?}");
        stage.close().await;
    }
}

#[tokio::test]
async fn events_that_go_while_the_audit_reads_break_nothing() {
    let mut world = World::busy_day(20);
    world.step = Some(|world| {
        // One batch, in the middle of the first attempt.
        if world.steps == 12 {
            world.forget_half();
        }
    });
    let (stage, world) = stage_of(world).await;
    let report = audit(&stage, false).await;
    assert_eq!(broken(&report), Vec::<&str>::new(), "{report:#?}");
    assert!(crate::world::lock(&world).steps > 12);
    stage.close().await;
}

#[tokio::test]
async fn a_story_without_its_beginning_says_so() {
    let order = OrderId::new();
    let prepared = Envelope::new(
        KITCHEN,
        &DishPrepared { order, dish: "pizza".into() },
        contracts::Timestamp::now(),
        None,
    );
    let backends = echoes()
        .with(ORDERS, Backend::in_process(tells(Vec::new())))
        .with(KITCHEN, Backend::in_process(tells(vec![prepared])))
        .with(INVENTORY, Backend::in_process(tells(Vec::new())));
    let stage = Stage::with(backends).await;
    let story: Story = stage.get(&format!("/v1/orders/{order}/story")).await.json();
    assert!(!story.complete && story.events.len() == 1);
    stage.close().await;
}
