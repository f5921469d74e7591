//! One purchase, asked for by many at once.

use contracts::{Ingredient, PurchaseId};
use futures_util::future::join_all;
use serde_json::json;
use tonic::Code;

use crate::parts::{Embedded, Farmers, Stranger, Told, sell};

#[tokio::test]
async fn one_call_answers_all_who_ask_for_the_same_purchase() {
    let stranger = Stranger::open(|call, stream| sell(stream, 7 + call as i64)).await;
    let environment = Embedded::open(stranger.config()).await;
    let purchase = PurchaseId::new();
    let asked = (0..32).map(|_| environment.buy(purchase, Ingredient::Cheese));
    for told in join_all(asked).await {
        assert_eq!(told.unwrap(), Told::Sold(7));
    }
    assert_eq!(stranger.calls(), 1);
}

#[tokio::test]
async fn who_asks_for_another_ingredient_meanwhile_is_refused() {
    let stranger = Stranger::open(|_, stream| sell(stream, 7)).await;
    let environment = Embedded::open(stranger.config()).await;
    let purchase = PurchaseId::new();
    let (cheese, rice) = tokio::join!(
        environment.buy(purchase, Ingredient::Cheese),
        environment.buy(purchase, Ingredient::Rice)
    );
    assert_eq!(cheese.unwrap(), Told::Sold(7));
    assert_eq!(rice.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn hundreds_at_once_are_each_bought_once() {
    let farmers = Farmers::open().await;
    farmers.tell(json!({"delay_ms": 2, "zeros": 0.3})).await;
    let environment = Embedded::open(farmers.config()).await;
    let purchases: Vec<PurchaseId> = (0..400).map(|_| PurchaseId::new()).collect();
    let asked = purchases
        .iter()
        .enumerate()
        .map(|(number, id)| environment.buy(*id, Ingredient::ALL[number % Ingredient::ALL.len()]));
    let bought: i64 = join_all(asked)
        .await
        .into_iter()
        .map(|told| match told.unwrap() {
            Told::Sold(quantity) => i64::from(quantity),
            Told::Unknown => panic!("a simulated market can always be asked again"),
        })
        .sum();
    assert_eq!(farmers.sold().await, (400, bought));
}
