use contracts::{OrderId, Timestamp, events::OrderPlaced};
use kitchen::Config;

use crate::stage::{MENU, Plan, Stage};

#[tokio::test]
async fn a_ticket_asks_for_what_the_recipe_takes() {
    let stage = Stage::open().await;
    stage.shelves_are_empty();
    let order = stage.order("salad").await;
    stage.until(order, "ingredients.requested").await;

    insta::assert_snapshot!(
        stage.story(order).await,
        @r#"ingredients.requested salad 1 {"lemon":1,"lettuce":2,"onion":1,"tomato":2}"#
    );
    assert_eq!(stage.status_of(order).await, "requested");
    let status: contracts::api::service::ServiceStatus = stage.get("/internal/status").await;
    assert_eq!((status.open, status.ready), (1, true));
    stage.close().await;
}

#[tokio::test]
async fn a_guest_who_names_no_dish_gets_the_same_one_by_the_same_seed_and_number() {
    let mut menus = Vec::new();
    for seed in [7, 7, 8] {
        let config = Config { seed, ..Config::default() };
        let stage = Stage::with(Plan { config, ..Plan::default() }).await;
        stage.shelves_are_empty();
        let orders = stage.orders(30, None).await;
        stage.until(orders[29], "ingredients.requested").await;
        stage.settle().await;
        let tickets = stage.tickets().await;
        menus.push(tickets.into_iter().map(|ticket| ticket.dish).collect::<Vec<_>>());
        stage.close().await;
    }
    assert_eq!(menus[0].len(), 30);
    assert_eq!(menus[0], menus[1]);
    assert_ne!(menus[0], menus[2]);
    for dish in ["burger", "pizza", "salad"] {
        assert!(menus[0].iter().any(|other| other == dish), "{dish} is never picked");
    }
}

#[tokio::test]
async fn an_order_that_is_told_again_has_one_ticket() {
    let stage = Stage::open().await;
    stage.shelves_are_empty();
    let placed = OrderPlaced {
        order: OrderId::new(),
        number: 1,
        dish: None,
        placed_at: Timestamp::default(),
    };
    stage.place(placed.clone()).await;
    stage.until(placed.order, "ingredients.requested").await;
    let before = stage.story(placed.order).await;

    // Another event with the same order: the inbox does not know it, the ticket does.
    stage.put("/v1/recipes?replace_all=true", &MENU.replace("burger", "club sandwich")).await;
    stage.place(placed.clone()).await;
    stage.settle().await;
    assert_eq!(stage.story(placed.order).await, before);
    assert_eq!(stage.tickets().await.len(), 1);
    stage.close().await;
}

#[tokio::test]
async fn what_is_not_on_the_menu_is_refused() {
    let stage = Stage::open().await;
    let sushi = stage.order("sushi").await;
    stage.until(sushi, "dish.refused").await;
    insta::assert_snapshot!(stage.story(sushi).await, @"dish.refused `sushi` is no longer on the menu");

    stage.put("/v1/recipes?replace_all=true", r#"{"recipes": []}"#).await;
    let anything = stage.orders(1, None).await[0];
    stage.until(anything, "dish.refused").await;
    insta::assert_snapshot!(stage.story(anything).await, @"dish.refused there is nothing on the menu");

    let tickets = stage.tickets().await;
    assert!(
        tickets.iter().all(|ticket| ticket.status == "refused" && ticket.dish.is_empty()),
        "{tickets:?}"
    );
    stage.cancel(sushi).await;
    stage.settle().await;
    assert_eq!(stage.events(&sushi.to_string()).await.len(), 1, "its end was told");
    stage.close().await;
}
