//! Every statement, on both engines; and a purchase on PostgreSQL.

use contracts::{
    PurchaseId,
    market::{BuyRequest, market_client::MarketClient, market_server::MarketServer},
};
use market::{MANY, Market, STATEMENTS};
use serde_json::json;
use service::ServiceContext;
use store::{Clock, Durability, Location, Migrations};

use crate::parts::{Farmers, Told, context_in, told};

#[tokio::test]
async fn sqlite_understands_every_statement() {
    let farmers = Farmers::open().await;
    let folder = tempfile::tempdir().unwrap();
    let context = context_in(folder.path());
    Market::open(&context, farmers.config()).await.unwrap();
    let folder = folder.path().to_owned();
    prepare_all(Location::Folder { folder, durability: Durability::Process }).await;
    context.close().await;
}

#[tokio::test]
async fn postgresql_understands_every_statement_and_buys() {
    let Some(database) = test_support::postgres() else { return };
    let farmers = Farmers::open().await;
    farmers.tell(json!({"zeros": 0, "quantity_min": 3, "quantity_max": 3, "errors": 0.3})).await;
    let context = ServiceContext::new(database.location(), events::in_process(), Clock::System);
    let market = Market::open(&context, farmers.config()).await.unwrap();
    prepare_all(database.location()).await;

    let mut client = MarketClient::new(MarketServer::new(market));
    for purchase in (0..10).map(|_| PurchaseId::new().to_string()) {
        let request = BuyRequest { purchase, ingredient: "lemon".into() };
        for _ in 0..2 {
            let response = loop {
                if let Ok(response) = client.buy(request.clone()).await {
                    break response.into_inner();
                }
            };
            assert_eq!(told(response), Told::Sold(3));
        }
    }
    assert_eq!(farmers.sold().await, (10, 30));
    context.close().await;
}

/// Prepares every statement in a database that a market has opened before.
async fn prepare_all(location: Location) {
    let context = ServiceContext::new(location, events::in_process(), Clock::System);
    let none = Migrations { owner: "market_statements", steps: &[] };
    let service = context.open("market", none).await.unwrap();
    let prepared = service.database().write(|tx| {
        STATEMENTS.iter().try_for_each(|sql| tx.prepare(sql))?;
        tx.prepare_all(&MANY)
    });
    prepared.await.unwrap();
    context.close().await;
}
