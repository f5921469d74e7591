//! Buying where all is well.

use contracts::{Ingredient, PurchaseId};
use market::{Config, Market, OpenError};
use serde_json::json;
use tonic::Code;

use crate::parts::{Embedded, Farmers, Told, context_in};

#[tokio::test]
async fn what_the_farmers_sell_is_saved_and_told() {
    let farmers = Farmers::open().await;
    farmers.tell(json!({"zeros": 0, "quantity_min": 4, "quantity_max": 4})).await;
    let environment = Embedded::open(farmers.config()).await;
    let purchase = PurchaseId::new();

    assert_eq!(environment.buy(purchase, Ingredient::Lemon).await.unwrap(), Told::Sold(4));

    let receipts = environment.receipts().await;
    assert_eq!(receipts.len(), 1);
    assert_eq!(receipts[0].purchase, purchase);
    assert_eq!(receipts[0].ingredient, Ingredient::Lemon);
    assert_eq!(environment.receipt().await, ("done".to_owned(), 4));
    assert_eq!(environment.status().await.open, 0);
    assert_eq!(farmers.sold().await, (1, 4));
}

#[tokio::test]
async fn nothing_now_is_an_answer_too() {
    let farmers = Farmers::open().await;
    farmers.tell(json!({"zeros": 1})).await;
    let environment = Embedded::open(farmers.config()).await;
    assert_eq!(environment.buy(PurchaseId::new(), Ingredient::Rice).await.unwrap(), Told::Sold(0));
    assert_eq!(environment.receipt().await, ("done".to_owned(), 0));
}

#[tokio::test]
async fn a_purchase_asked_for_again_is_answered_alike_and_not_made_again() {
    let farmers = Farmers::open().await;
    let environment = Embedded::open(farmers.config()).await;
    let purchase = PurchaseId::new();
    let first = environment.buy(purchase, Ingredient::Meat).await.unwrap();
    farmers.close().await;
    for _ in 0..3 {
        assert_eq!(environment.buy(purchase, Ingredient::Meat).await.unwrap(), first);
    }
    let environment = environment.reopen(farmers.config()).await;
    assert_eq!(environment.buy(purchase, Ingredient::Meat).await.unwrap(), first);
}

#[tokio::test]
async fn nonsense_is_refused_before_anything_is_saved() {
    let farmers = Farmers::open().await;
    let environment = Embedded::open(farmers.config()).await;
    let id = PurchaseId::new().to_string();
    for (purchase, ingredient, word) in [
        ("", "lemon", "purchase"),
        ("seven", "lemon", "purchase"),
        (&id, "", "ingredient"),
        (&id, "truffle", "ingredient"),
        (&id, "lemon&ingredient=rice", "ingredient"),
    ] {
        let status = environment.ask(purchase, ingredient).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().starts_with(word), "{status}");
    }
    assert_eq!(environment.receipts().await, []);
}

#[tokio::test]
async fn a_purchase_is_of_one_ingredient() {
    let farmers = Farmers::open().await;
    let environment = Embedded::open(farmers.config()).await;
    let purchase = PurchaseId::new();
    environment.buy(purchase, Ingredient::Meat).await.unwrap();
    let status = environment.buy(purchase, Ingredient::Rice).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("meat"), "{status}");
    assert_eq!(farmers.sold().await.0, 1);
}

#[tokio::test]
async fn a_url_that_can_not_be_called_keeps_the_market_closed() {
    for url in ["ftp://market.example", "mailto:farmer@market.example"] {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::new(url.parse().unwrap());
        let opened = Market::open(&context_in(folder.path()), config).await;
        assert!(matches!(opened, Err(OpenError::Url { .. })), "{opened:?}");
    }
}
