//! Many guests at once.

use std::collections::BTreeSet;

use serde_json::json;

use crate::evening::{Evening, TestStore};

#[tokio::test]
async fn two_hundred_guests_at_once_are_all_served() {
    for ground in TestStore::all() {
        let evening = Evening::first(ground.config()).await;
        let guests = (0..200).map(|_| evening.guests_order(&[None]));
        let mut placed = BTreeSet::new();
        for orders in futures_join(guests).await {
            placed.insert(orders[0]);
        }
        assert_eq!(placed.len(), 200);
        evening.settle().await;
        let summary = evening.ok("GET", "/v1/summary", json!(null)).await;
        assert_eq!((&summary["placed"], &summary["delivered"]), (&json!(200), &json!(200)));
        evening.audit().await;
        evening.close().await;
    }
}

/// Waits for all at once.
async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    use std::{pin::Pin, task::Poll};
    let mut waiting: Vec<Pin<Box<F>>> = futures.map(Box::pin).collect();
    let mut answers = Vec::new();
    std::future::poll_fn(|context| {
        waiting.retain_mut(|future| match future.as_mut().poll(context) {
            Poll::Ready(answer) => {
                answers.push(answer);
                false
            }
            Poll::Pending => true,
        });
        if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers
}

#[tokio::test]
async fn the_same_seed_gives_the_same_dishes() {
    let mut evenings = Vec::new();
    for _ in 0..2 {
        let ground = TestStore::sqlite();
        let evening = Evening::first(ground.config()).await;
        evening.guests_order(&[None; 40]).await;
        evening.settle().await;
        evenings.push(evening.ok("GET", "/v1/summary", json!(null)).await["dishes"].clone());
        evening.close().await;
    }
    assert_eq!(evenings[0], evenings[1]);
}

#[tokio::test]
async fn eight_stoves_are_never_nine() {
    let ground = TestStore::sqlite();
    let evening = Evening::first(embedded::EmbeddedConfig { stoves: 2, ..ground.config() }).await;
    evening.fill_shelves(1_000).await;
    let orders = evening.guests_order(&[Some("pizza"); 30]).await;
    evening.settle().await;
    for order in orders {
        let story = evening.story_of(order).await;
        let stove = story.events.iter().find_map(|event| event.data["stove"].as_i64()).unwrap();
        assert!((1..=2).contains(&stove));
    }
    evening.audit().await;
    evening.close().await;
}
