//! What viewers see of the environment as it changes.

use contracts::api::{
    inventory::PurchaseStatus,
    live::{Change, TicketState, View},
};
use serde_json::{Value, json};

use crate::evening::{Evening, TestStore, Viewer};

/// Reads events until the view is as the story says.
async fn until(viewer: &mut Viewer, what: &str, is_so: impl Fn(&View) -> bool) {
    while !is_so(&viewer.view) {
        viewer.next(what).await;
    }
}

fn states(view: &View) -> Vec<TicketState> {
    view.orders.iter().map(|order| order.state).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_see_an_order_wait_and_come_to_the_table() {
    for ground in TestStore::all() {
        let evening = Evening::first(ground.config()).await;
        evening.market_sim(json!({"outage": true})).await;
        let mut viewer = evening.watch(None).await;
        let mut other = evening.watch(None).await;
        let all_is_well = |view: &View| {
            let is_ready = view.services.values().all(|service| service.ready);
            !view.stock.is_empty() && view.away.is_empty() && is_ready
        };
        until(&mut viewer, "all is well", all_is_well).await;
        assert!(viewer.view.orders.is_empty());

        let dinners = evening.guests_order(&[Some("pizza"); 8]).await;
        let waiting = |view: &View| states(view).contains(&TicketState::Waiting);
        until(&mut viewer, "an order waits for ingredients", waiting).await;
        let order = viewer.view.orders.iter().find(|order| order.state == TicketState::Waiting);
        let order = order.unwrap();
        assert_eq!(order.dish.as_deref(), Some("pizza"));
        assert!(dinners.contains(&order.id) && !order.missing.is_empty(), "{order:?}");

        evening.market_sim(json!({"outage": false})).await;
        let served = |view: &View| {
            view.summary.delivered == 8 && states(view) == [TicketState::Delivered; 8]
        };
        until(&mut viewer, "all are delivered", served).await;
        let bought = |view: &View| {
            view.purchases
                .iter()
                .any(|purchase| purchase.status == PurchaseStatus::Done && purchase.quantity > 0)
        };
        until(&mut viewer, "what was bought is shown", bought).await;

        evening.settle().await;
        // Both viewers, one that reads only now, and who asks for each part see the same in the end.
        let stock = evening.ok("GET", "/v1/stock", Value::Null).await["stock"].clone();
        let same =
            |view: &View| served(view) && serde_json::to_value(&view.stock).unwrap() == stock;
        until(&mut viewer, "the stock is as it is", same).await;
        until(&mut other, "the stock is as it is", same).await;
        assert_eq!(viewer.view.orders, other.view.orders);
        evening.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_goes_on_where_they_were() {
    let ground = TestStore::sqlite();
    let evening = Evening::first(ground.config()).await;
    let mut viewer = evening.watch(None).await;
    until(&mut viewer, "the first view", |view| !view.stock.is_empty()).await;
    let id = viewer.id.clone();
    let before = viewer.view.clone();
    drop(viewer);
    evening.guests_order(&[Some("salad"); 2]).await;
    let mut back = evening.watch(Some(&id)).await;
    back.view = before;
    until(&mut back, "both are delivered", |view| view.summary.delivered == 2).await;
    assert_eq!(back.snapshots, 0, "changes were enough");

    let mut stranger = evening.watch(Some("another-7")).await;
    stranger.next("a whole view").await;
    assert_eq!(stranger.snapshots, 1);
    assert_eq!(stranger.view.summary.delivered, 2);
    evening.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_environment_ends_the_views() {
    let ground = TestStore::sqlite();
    let evening = Evening::first(ground.config()).await;
    let mut viewer = evening.watch(None).await;
    viewer.next("the first view").await;
    let watching = tokio::spawn(async move { while viewer.try_next().await.is_some() {} });
    evening.close().await;
    watching.await.unwrap();
}

#[test]
fn a_change_that_says_nothing_leaves_all_as_it_was() {
    let change: Change = serde_json::from_value(json!({"at": "2026-11-28T12:00:00Z"})).unwrap();
    let mut view = View::default();
    let before = View { at: change.at, ..View::default() };
    live::apply(&mut view, change);
    assert_eq!(view, before);
}
