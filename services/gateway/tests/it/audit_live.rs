//! An audit while the environment works: what is in flight breaks nothing, what is impossible still does.

use contracts::{
    Ingredient,
    api::orders::OrderStatus,
    services::{KITCHEN, ORDERS},
};

use crate::{
    audit::{audit, broken, stage_of},
    world::{World, lock},
};

#[tokio::test]
async fn orders_at_every_step_are_allowed_while_the_environment_works() {
    type Steps = fn(&mut World);
    let stages: [Steps; 9] = [
        |world| {
            world.place();
        },
        |world| {
            let order = world.place();
            world.open_ticket(order);
        },
        |world| {
            let order = world.place();
            world.open_ticket(order);
            world.wait(order);
        },
        |world| {
            let order = world.place();
            world.open_ticket(order);
            world.reserve(order);
        },
        |world| {
            let order = world.place();
            world.open_ticket(order);
            world.reserve(order);
            world.set_ticket(order, "reserved");
            world.cook(order);
            world.order(order).status = OrderStatus::Cooking;
        },
        |world| {
            let order = world.place();
            world.open_ticket(order);
            world.reserve(order);
            world.cook(order);
            world.prepare(order);
        },
        |world| {
            let order = world.place();
            world.order(order).status = OrderStatus::Cancelling;
            world.tell(ORDERS, "order.cancellation_requested", &order.to_string());
        },
        |world| {
            let order = world.place();
            world.open_ticket(order);
            world.wait(order);
            world.order(order).status = OrderStatus::Cancelling;
            world.tell(ORDERS, "order.cancellation_requested", &order.to_string());
            world.set_ticket(order, "cancelled");
            world.tell(KITCHEN, "dish.cancelled", &order.to_string());
        },
        |world| {
            // Announced, and nobody has heard of it yet.
            let order = world.place();
            world.open_ticket(order);
            world.announce(ORDERS, "order.cancellation_requested", &order.to_string());
        },
    ];
    for (number, steps) in stages.into_iter().enumerate() {
        let mut world = World::busy_day(1);
        steps(&mut world);
        let (stage, _) = stage_of(world).await;
        let report = audit(&stage, true).await;
        assert_eq!(broken(&report), Vec::<&str>::new(), "step {number}: {report:#?}");
        stage.close().await;
    }
}

/// Lets the environment do some work: new orders come, and those that are there go on by a step.
fn work(world: &mut World) {
    for _ in 0..2 {
        world.place();
    }
    if world.steps.is_multiple_of(3) {
        world.buy(Ingredient::Onion, 2);
    }
    let open: Vec<_> =
        world.orders.iter().filter(|fact| !fact.status.is_end()).map(|fact| fact.order).collect();
    // Not all of them, and not always the same ones.
    for order in open.into_iter().skip(world.steps % 2).step_by(2) {
        let ticket = world.tickets.iter().find(|fact| fact.order == order);
        let ticket = ticket.map(|fact| fact.status.clone());
        let reserved = world.reservations.iter().any(|fact| fact.order == order);
        match ticket.as_deref() {
            None => world.open_ticket(order),
            Some("requested") if !reserved => world.reserve(order),
            Some("requested") => world.set_ticket(order, "reserved"),
            Some("reserved") => world.cook(order),
            Some("cooking") => {
                world.order(order).status = OrderStatus::Cooking;
                world.prepare(order);
            }
            _ => world.serve(order),
        }
    }
}

#[tokio::test]
async fn work_that_goes_on_under_the_audit_s_eyes_breaks_nothing() {
    let mut world = World::busy_day(20);
    world.step = Some(work);
    let (stage, world) = stage_of(world).await;
    for _ in 0..3 {
        let report = audit(&stage, true).await;
        assert_eq!(broken(&report), Vec::<&str>::new(), "{report:#?}");
    }
    assert!(lock(&world).steps > 50);
    stage.close().await;
}

#[tokio::test]
async fn an_order_that_is_lost_while_the_environment_works_is_found() {
    let mut world = World::busy_day(20);
    world.step = Some(work);
    let lost = world.orders.remove(51).order;
    let (stage, _) = stage_of(world).await;
    let report = audit(&stage, true).await;
    assert_eq!(broken(&report), ["orders.balance"], "{report:#?}");
    assert_eq!(report.invariants[0].samples, [format!("{lost} was accepted, and is lost")]);
    stage.close().await;
}
