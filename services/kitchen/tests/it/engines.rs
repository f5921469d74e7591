use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use contracts::{
    OrderId,
    events::{CookingStarted, DishPrepared},
};
use kitchen::Config;
use store::Clock;

use crate::stage::{Plan, Stage, until};

const STOVES: u32 = 3;
// A round holds the lock of the rail until its commit, so that `seq` in the outbox is in the order of the rounds.
const COOKED: &str = "SELECT kind, data FROM outbox
     WHERE kind IN ('chefcito.cooking.started.v1', 'chefcito.dish.prepared.v1') ORDER BY seq";

#[tokio::test]
async fn postgresql_tells_the_same_story() {
    let Some(database) = test_support::postgres() else { return };
    let config = Config { stoves: 1, ..Config::default() };
    let stage =
        Stage::with(Plan { config, location: Some(database.location()), ..Plan::default() }).await;
    let (cooks, waits) = (stage.order("pizza").await, stage.order("salad").await);
    let unknown = stage.order("sushi").await;
    stage.until(cooks, "cooking.started").await;
    stage.settle().await;
    stage.cancel(waits).await;
    stage.cancel(cooks).await;
    stage.until(waits, "dish.cancelled").await;
    stage.until(cooks, "cancellation.refused").await;
    stage.context.clock.advance(Duration::from_secs(1));
    stage.until(cooks, "dish.prepared").await;
    stage.settle().await;
    let early = OrderId::new();
    stage.cancel(early).await;
    stage.until(early, "dish.cancelled").await;

    insta::assert_snapshot!(stage.story(cooks).await, @r#"
    ingredients.requested pizza 1 {"cheese":2,"tomato":3}
    cooking.started pizza 1
    cancellation.refused the dish is on the stove already
    dish.prepared pizza
    "#);
    insta::assert_snapshot!(stage.story(waits).await, @r#"
    ingredients.requested salad 1 {"lemon":1,"lettuce":2,"onion":1,"tomato":2}
    dish.cancelled
    "#);
    insta::assert_snapshot!(stage.story(unknown).await, @"dish.refused `sushi` is no longer on the menu");
    stage.close().await;
}

/// Two processes that share a database: two writers, each with orders of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_kitchens_that_share_a_schema_never_use_more_stoves_than_there_are() {
    let Some(database) = test_support::postgres() else { return };
    for (cooking_time, tickets_in_all) in [(Duration::ZERO, 400), (Duration::from_millis(2), 800)] {
        let plan = || Plan {
            config: Config {
                stoves: STOVES,
                cooking_time: Some(cooking_time),
                ..Config::default()
            },
            clock: Clock::System,
            location: Some(database.location()),
            ..Plan::default()
        };
        let (first, second) = (Stage::with(plan()).await, Stage::with(plan()).await);
        for _ in 0..10 {
            let (some, others) = tokio::join!(first.orders(20, None), second.orders(20, None));
            // Some are cancelled, in time or not.
            first.cancel(some[7]).await;
            second.cancel(others[13]).await;
        }
        until("every ticket to end", async || {
            let tickets = first.tickets().await;
            tickets.iter().all(|ticket| ["prepared", "cancelled"].contains(&ticket.status.as_str()))
                && tickets.len() == tickets_in_all
        })
        .await;
        first.settle().await;
        first.close().await;
        second.close().await;
    }

    // On the same clock: on a later one the events would be old, and no longer kept.
    let plan =
        Plan { clock: Clock::System, location: Some(database.location()), ..Plan::default() };
    let stage = Stage::with(plan).await;
    let cooked = stage
        .kitchen
        .service()
        .database()
        .read(|tx| tx.query(COOKED, &[], |row| Ok((row.get(0)?, row.get(1)?))));
    let cooked: Vec<(String, String)> = cooked.await.unwrap();
    let mut on_stove: HashMap<i64, OrderId> = HashMap::new();
    let mut prepared: HashSet<OrderId> = HashSet::new();
    for (kind, data) in &cooked {
        if kind.contains("started") {
            let started: CookingStarted = serde_json::from_str(data).unwrap();
            assert!((1..=i64::from(STOVES)).contains(&started.stove));
            assert_eq!(
                on_stove.insert(started.stove, started.order),
                None,
                "two dishes on one stove"
            );
        } else {
            let done: DishPrepared = serde_json::from_str(data).unwrap();
            on_stove.retain(|_, order| *order != done.order);
            assert!(prepared.insert(done.order), "{} was prepared twice", done.order);
        }
    }
    assert_eq!(on_stove, HashMap::new());
    let tickets = stage.tickets().await;
    let ended: HashSet<OrderId> = tickets
        .into_iter()
        .filter(|ticket| ticket.status == "prepared")
        .map(|ticket| ticket.order)
        .collect();
    assert_eq!(prepared, ended);
    stage.close().await;
}
