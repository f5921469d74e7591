//! The stock is opened and counted.

use axum::http::StatusCode;
use contracts::{
    Ingredient::{Lemon, Rice},
    QUANTITY_MAX,
    api::inventory::{PurchasePage, StockChanges},
};
use serde_json::{Value, json};

use crate::pantry::{Line, Pantry, Place, Stall, on_both_engines};

on_both_engines!(
    opening_is_booked_once_an_ingredient,
    an_adjustment_sets_what_is_on_hand_and_a_repeat_changes_nothing,
    a_dry_run_changes_nothing,
    each_caller_has_keys_of_its_own,
    a_known_key_is_answered_before_the_rest_is_checked,
    what_cannot_be_is_refused,
    purchases_are_listed_page_by_page,
);

const ADJUSTMENTS: &str = "/v1/stock/adjustments";

fn changes(answer: (StatusCode, Value)) -> StockChanges {
    assert_eq!(answer.0, StatusCode::OK, "{}", answer.1);
    serde_json::from_value(answer.1).unwrap()
}

async fn opening_is_booked_once_an_ingredient(place: Place) {
    let pantry = Pantry::open(&place, &Stall::empty()).await;
    assert!(pantry.stock().await.stock.is_empty());
    let first = changes(
        pantry.send("PUT", "/v1/stock", None, json!({"opening": {"rice": 5, "lemon": 0}})).await,
    );
    assert_eq!((first.booked, first.unchanged), ([(Rice, 5)].into(), vec![Lemon]));
    let body = json!({"opening": {"rice": 9, "lemon": 9, "onion": 1}});
    let second = changes(pantry.send("PUT", "/v1/stock", None, body).await);
    assert_eq!(second.booked.len(), 1);
    assert_eq!(second.unchanged, [Lemon, Rice]);
    assert_eq!(pantry.shelf(Rice).await.on_hand, 5);
    assert_eq!(pantry.stock().await.stock.len(), 3);
    pantry.check_balance().await;
    pantry.close().await;
}

async fn an_adjustment_sets_what_is_on_hand_and_a_repeat_changes_nothing(place: Place) {
    let pantry = Pantry::open(&place, &Stall::empty()).await;
    pantry.open_stock(&[(Rice, 5)]).await;
    let set = json!({"set": {"rice": 2, "lemon": 4}});
    let first = changes(pantry.send("POST", ADJUSTMENTS, Some("count-1"), set.clone()).await);
    assert_eq!(first.booked, [(Rice, -3), (Lemon, 4)].into());
    changes(pantry.send("POST", ADJUSTMENTS, Some("count-2"), json!({"set": {"rice": 7}})).await);

    let again = changes(pantry.send("POST", ADJUSTMENTS, Some("count-1"), set).await);
    assert_eq!(again, first, "a repeat is answered like the first time");
    let rice = pantry.shelf(Rice).await;
    assert_eq!((rice.opening, rice.adjustments, rice.on_hand), (5, 2, 7));

    let (status, problem) =
        pantry.send("POST", ADJUSTMENTS, Some("count-1"), json!({"set": {"rice": 1}})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem["type"], "/problems/key-reused");
    pantry.check_balance().await;
    pantry.close().await;
}

async fn each_caller_has_keys_of_its_own(place: Place) {
    let pantry = Pantry::open(&place, &Stall::empty()).await;
    pantry.open_stock(&[(Rice, 5)]).await;
    let set = |quantity: i64| json!({"set": {"rice": quantity}});
    let alice = pantry.send_as("alice", ADJUSTMENTS, "count-1", &set(2)).await;
    let bob = pantry.send_as("bob", ADJUSTMENTS, "count-1", &set(9)).await;
    assert_eq!((alice.0, bob.0), (StatusCode::OK, StatusCode::OK), "{}", bob.1);
    assert_eq!(pantry.shelf(Rice).await.on_hand, 9, "what bob counted is booked");
    let again = pantry.send_as("alice", ADJUSTMENTS, "count-1", &set(2)).await;
    assert_eq!(again, alice);
    assert_eq!(pantry.shelf(Rice).await.on_hand, 9);
    pantry.check_balance().await;
    pantry.close().await;
}

async fn a_known_key_is_answered_before_the_rest_is_checked(place: Place) {
    let pantry = Pantry::open(&place, &Stall::empty()).await;
    changes(pantry.send("POST", ADJUSTMENTS, Some("k"), json!({"set": {"rice": 2}})).await);
    for other in [json!({"set": {"rice": -1}}), json!({"set": {"sand": 1}}), json!([])] {
        let (status, problem) = pantry.send("POST", ADJUSTMENTS, Some("k"), &other).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(problem["type"], "/problems/key-reused", "{other}");
    }
    pantry.close().await;
}

async fn a_dry_run_changes_nothing(place: Place) {
    let pantry = Pantry::open(&place, &Stall::empty()).await;
    let opening = json!({"opening": {"rice": 5}});
    let told = changes(pantry.send("PUT", "/v1/stock?dry_run=true", None, opening.clone()).await);
    assert_eq!(told.booked, [(Rice, 5)].into());
    assert!(pantry.stock().await.stock.is_empty());
    pantry.send("PUT", "/v1/stock?dry_run=false", None, opening).await;
    let path = format!("{ADJUSTMENTS}?dry_run=true");
    let told =
        changes(pantry.send("POST", &path, Some("count-1"), json!({"set": {"rice": 1}})).await);
    assert_eq!(told.booked, [(Rice, -4)].into());
    assert_eq!(pantry.shelf(Rice).await.on_hand, 5);
    pantry.close().await;
}

async fn what_cannot_be_is_refused(place: Place) {
    let pantry = Pantry::open(&place, &Stall::empty()).await;
    let unprocessable = [
        ("PUT", "/v1/stock", json!({"opening": {"rice": -1}})),
        ("PUT", "/v1/stock", json!({"opening": {"rice": QUANTITY_MAX + 1}})),
        ("PUT", "/v1/stock", json!({"opening": {"sand": 1}})),
        ("PUT", "/v1/stock", json!({"opening": {}, "more": 1})),
        ("PUT", "/v1/stock", json!({})),
        ("POST", ADJUSTMENTS, json!({"set": {"rice": -1}})),
        ("POST", ADJUSTMENTS, json!({"set": {"rice": 1.5}})),
    ];
    for (method, path, body) in unprocessable {
        let (status, problem) = pantry.send(method, path, None, &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert!(problem["detail"].is_string(), "{problem}");
    }
    let long = "k".repeat(129);
    let (status, _) =
        pantry.send("POST", ADJUSTMENTS, Some(&long), json!({"set": {"rice": 1}})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, _) = pantry.send("GET", "/v1/purchases?limit=0", None, ()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, _) = pantry.send("GET", "/v1/purchases?ingredient=sand", None, ()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, _) = pantry.send("GET", "/v1/nothing", None, ()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(pantry.stock().await.stock.is_empty());
    pantry.close().await;
}

async fn purchases_are_listed_page_by_page(place: Place) {
    let market = Stall::new(|_, _| Line::Sells(1));
    let pantry = Pantry::open(&place, &market).await;
    pantry.request(1, &[(Rice, 7), (Lemon, 3)]).await;
    pantry.settle().await;
    let mut listed = Vec::new();
    let mut path = "/v1/purchases?limit=4".to_owned();
    loop {
        let page: PurchasePage = pantry.get(&path).await;
        assert!(page.purchases.len() <= 4);
        listed.extend(page.purchases);
        let Some(before) = page.next_before else { break };
        path = format!("/v1/purchases?limit=4&before={before}");
    }
    assert_eq!(listed.len(), pantry.purchases().await.len());
    assert!(listed.is_sorted_by(|newer, older| newer.id > older.id));
    assert!(listed.iter().all(|purchase| purchase.answered_at.is_some()));
    let lemons: PurchasePage = pantry.get("/v1/purchases?ingredient=lemon").await;
    assert_eq!(lemons.purchases.iter().map(|purchase| purchase.quantity).sum::<i64>(), 3);
    pantry.close().await;
}
