//! An environment that is closed at each step of an order, and opened again.

use crate::evening::{Evening, TestStore};

const STEPS: [&str; 6] = [
    "order.placed",
    "ingredients.requested",
    "ingredients.awaited",
    "ingredients.reserved",
    "cooking.started",
    "dish.prepared",
];

#[tokio::test]
async fn an_order_goes_on_where_the_environment_was_closed() {
    for ground in TestStore::all() {
        let mut evening = Evening::first(ground.config()).await;
        let mut all = Vec::new();
        for step in STEPS {
            let orders = evening.guests_order(&[None; 40]).await;
            evening
                .until("some order has come to this step", async || {
                    for order in &orders {
                        if evening.events_of(*order).await.iter().any(|event| event == step) {
                            return true;
                        }
                    }
                    evening.status_of(orders[39]).await == "delivered"
                })
                .await;
            let history = evening.close().await;
            all.extend(orders);
            evening = Evening::open_again(ground.config(), history).await;
        }
        evening.settle().await;
        for order in all {
            assert_eq!(evening.status_of(order).await, "delivered");
        }
        evening.audit().await;
        evening.close().await;
    }
}
