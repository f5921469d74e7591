//! One order, through processes.

use test_support::ProcessCluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_goes_from_the_door_to_the_table_through_processes() {
    let Some(apart) = ProcessCluster::start(1, &[]).await else { return };
    let guest = apart.guest(0);
    guest.furnish().await;
    let order = guest.order("salad").await;
    guest.settle().await;
    let story = guest.story(order).await;
    let told: Vec<&str> = story.events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(
        told,
        [
            "order.placed",
            "ingredients.requested",
            "ingredients.reserved",
            "cooking.started",
            "dish.prepared",
            "order.delivered"
        ]
    );
    guest.audit(&[order]).await;
}
