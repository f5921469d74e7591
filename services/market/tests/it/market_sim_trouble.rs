//! A simulated market that makes trouble: nothing is lost, nothing is doubled.

use std::time::Duration;

use contracts::{Ingredient, PurchaseId};
use futures_util::future::join_all;
use market::Config;
use serde_json::json;
use tonic::Code;

use crate::parts::{Embedded, Farmers, Told};

#[tokio::test]
async fn errors_before_and_after_the_sale_neither_lose_nor_double_it() {
    let farmers = Farmers::open().await;
    farmers.tell(json!({"errors": 0.6, "zeros": 0.2, "seed": 11})).await;
    let environment = Embedded::open(farmers.config()).await;

    let purchases: Vec<PurchaseId> = (0..60).map(|_| PurchaseId::new()).collect();
    let told =
        join_all(purchases.iter().map(|id| environment.buy_at_last(*id, Ingredient::Onion))).await;

    let bought: i64 = told
        .iter()
        .map(|told| match told {
            Told::Sold(quantity) => i64::from(*quantity),
            Told::Unknown => panic!("a simulated market can always be asked again"),
        })
        .sum();
    let receipts = environment.receipts().await;
    assert!(receipts.iter().all(|receipt| receipt.status == "done"));
    assert_eq!(receipts.iter().map(|receipt| receipt.quantity).sum::<i64>(), bought);
    assert_eq!(farmers.sold().await, (60, bought));
}

#[tokio::test]
async fn a_sale_whose_every_answer_is_lost_is_found_by_its_key() {
    let farmers = Farmers::open().await;
    farmers.tell(json!({"errors": 1, "zeros": 0, "seed": 2})).await;
    let environment = Embedded::open(farmers.config()).await;
    let purchase = PurchaseId::new();
    while farmers.sold().await.0 == 0 {
        let status = environment.buy(purchase, Ingredient::Onion).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.message(), "the farmers' market is away: it answers 500");
    }
    assert_eq!(environment.receipt().await, ("open".to_owned(), 0));
    assert_eq!(environment.status().await.open, 1);

    farmers.tell(json!({"errors": 0})).await;
    let told = environment.buy(purchase, Ingredient::Onion).await.unwrap();
    let (sales, sold) = farmers.sold().await;
    assert_eq!((sales, told), (1, Told::Sold(u32::try_from(sold).unwrap())));
}

#[tokio::test]
async fn a_market_sim_that_sells_too_slowly_is_asked_again() {
    let farmers = Farmers::open().await;
    farmers.tell(json!({"delay_ms": 2_000, "zeros": 0})).await;
    let config = Config { call_max: Duration::from_millis(150), ..farmers.config() };
    let environment = Embedded::open(config).await;
    let purchase = PurchaseId::new();
    let status = environment.buy(purchase, Ingredient::Rice).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "the farmers' market is away: it does not answer in time");
    let degraded = environment.status().await.reason;
    assert_eq!(degraded.as_deref(), Some(status.message()));

    farmers.tell(json!({"delay_ms": 0})).await;
    let told = environment.buy(purchase, Ingredient::Rice).await.unwrap();
    let (sales, sold) = farmers.sold().await;
    assert_eq!((sales, told), (1, Told::Sold(u32::try_from(sold).unwrap())));
    assert_eq!(environment.status().await.reason, None);
}

#[tokio::test]
async fn a_purchase_ends_in_time_however_slow_all_is() {
    let farmers = Farmers::open().await;
    farmers.tell(json!({"delay_ms": 5_000})).await;
    let config =
        Config { purchase_max: Duration::from_millis(300), calls_max: 1, ..farmers.config() };
    let environment = Embedded::open(config).await;
    let started = tokio::time::Instant::now();
    let asked = (0..4).map(|_| environment.buy(PurchaseId::new(), Ingredient::Rice));
    for refused in join_all(asked).await {
        assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
    }
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    // Those that never had a turn were never under way.
    assert!(environment.receipts().await.len() < 4);
}

#[tokio::test]
async fn an_outage_is_away_and_its_end_is_seen() {
    let farmers = Farmers::open().await;
    farmers.tell(json!({"outage": true})).await;
    let environment = Embedded::open(farmers.config()).await;
    let purchase = PurchaseId::new();
    let status = environment.buy(purchase, Ingredient::Rice).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    farmers.tell(json!({"outage": false})).await;
    assert!(matches!(environment.buy(purchase, Ingredient::Rice).await.unwrap(), Told::Sold(_)));
}

#[tokio::test]
async fn nobody_home_is_away() {
    let farmers = Farmers::open().await;
    let config = farmers.config();
    farmers.close().await;
    let environment = Embedded::open(config).await;
    let status = environment.buy(PurchaseId::new(), Ingredient::Rice).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "the farmers' market is away: it can't be reached");
}
