//! The process ends between the intent and the receipt.

use std::{future, time::Duration};

use contracts::{Ingredient, PurchaseId};
use market::Config;
use serde_json::json;
use tokio::time::timeout;

use crate::parts::{Embedded, Farmers, Stranger, Told, WAIT_MAX, sell};

#[tokio::test]
async fn after_a_crash_the_market_sim_is_asked_again_by_the_same_key() {
    let farmers = Farmers::open().await;
    farmers.tell(json!({"delay_ms": 10_000, "zeros": 0})).await;
    let environment = Embedded::open(farmers.config()).await;
    let purchase = PurchaseId::new();
    let crashed = {
        let buying = environment.buy(purchase, Ingredient::Tomato);
        let sold = async {
            while farmers.sold().await.0 == 0 {
                tokio::task::yield_now().await;
            }
            environment.reopen_after_crash(farmers.config()).await
        };
        tokio::select! {
            _ = buying => panic!("the simulated market is slow"),
            crashed = timeout(WAIT_MAX, sold) => crashed.unwrap(),
        }
    };
    assert_eq!(crashed.receipt().await, ("open".to_owned(), 0));

    farmers.tell(json!({"delay_ms": 0})).await;
    let told = crashed.buy(purchase, Ingredient::Tomato).await.unwrap();
    let (sales, sold) = farmers.sold().await;
    assert_eq!((sales, told), (1, Told::Sold(u32::try_from(sold).unwrap())));
    assert_eq!(crashed.receipt().await, ("done".to_owned(), sold));
}

#[tokio::test]
async fn after_a_crash_a_strangers_sale_is_unknown_and_another_id_buys() {
    let stranger = Stranger::open(|call, stream| async move {
        if call == 0 {
            future::pending::<()>().await;
        }
        sell(stream, 6).await
    })
    .await;
    let patient = Config { call_max: Duration::from_secs(10), ..stranger.config() };
    let environment = Embedded::open(patient.clone()).await;
    let purchase = PurchaseId::new();
    let crashed = {
        let buying = environment.buy(purchase, Ingredient::Tomato);
        let called = async {
            stranger.called(1).await;
            environment.reopen_after_crash(patient.clone()).await
        };
        tokio::select! {
            _ = buying => panic!("the stranger says nothing"),
            crashed = called => crashed,
        }
    };

    assert_eq!(crashed.buy(purchase, Ingredient::Tomato).await.unwrap(), Told::Unknown);
    assert_eq!(crashed.receipt().await, ("unknown".to_owned(), 0));
    assert_eq!(stranger.calls(), 1);
    let another = crashed.buy(PurchaseId::new(), Ingredient::Tomato).await.unwrap();
    assert_eq!(another, Told::Sold(6));
}

#[tokio::test]
async fn a_buyer_who_stops_waiting_does_not_stop_the_purchase() {
    let farmers = Farmers::open().await;
    farmers.tell(json!({"delay_ms": 200, "zeros": 0})).await;
    let environment = Embedded::open(farmers.config()).await;
    let purchase = PurchaseId::new();
    let asked =
        timeout(Duration::from_millis(20), environment.buy(purchase, Ingredient::Rice)).await;
    assert!(asked.is_err(), "the simulated market is slow");
    let saved = async {
        while environment.status().await.open > 0 || environment.receipts().await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(WAIT_MAX, saved).await.unwrap();
    assert_eq!(environment.receipt().await.0, "done");
}

#[tokio::test]
async fn closing_lets_a_call_end_but_does_not_wait_for_long() {
    let stranger = Stranger::open(|_, stream| async move {
        future::pending::<()>().await;
        sell(stream, 1).await
    })
    .await;
    let patient = Config { call_max: Duration::from_secs(60), ..stranger.config() };
    let environment = Embedded::open(patient).await;
    let purchase = PurchaseId::new();
    tokio::select! {
        _ = environment.buy(purchase, Ingredient::Rice) => panic!("the stranger says nothing"),
        () = stranger.called(1) => {}
    }
    let environment =
        timeout(Duration::from_secs(10), environment.reopen(stranger.config())).await.unwrap();
    assert_eq!(environment.buy(purchase, Ingredient::Rice).await.unwrap(), Told::Unknown);
}
