//! The market alone, over HTTP/2.

use contracts::{
    PurchaseId,
    market::{BuyRequest, market_client::MarketClient},
};
use serde_json::json;
use service::token::ServiceToken;
use tonic::{Code, Request, transport::Endpoint};

use crate::parts::{Embedded, Farmers, Told, told};

#[tokio::test]
async fn it_sells_over_the_network_as_in_process() {
    let farmers = Farmers::open().await;
    farmers.tell(json!({"zeros": 0, "quantity_min": 2, "quantity_max": 2})).await;
    let environment = Embedded::open(farmers.config()).await;
    let address = environment.market.serve_grpc(([127, 0, 0, 1], 0).into(), None).await.unwrap();
    let channel = Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut client = MarketClient::new(channel);

    let purchase = PurchaseId::new().to_string();
    let request = BuyRequest { purchase: purchase.clone(), ingredient: "lemon".into() };
    let response = client.buy(request).await.unwrap().into_inner();
    assert_eq!(told(response), Told::Sold(2));

    let nonsense = BuyRequest { purchase, ingredient: "gold".into() };
    assert_eq!(client.buy(nonsense).await.unwrap_err().code(), Code::InvalidArgument);
    let large = BuyRequest { purchase: "x".repeat(100_000), ingredient: "lemon".into() };
    assert_eq!(client.buy(large).await.unwrap_err().code(), Code::OutOfRange);
    environment.context.close().await;
}

#[tokio::test]
async fn where_there_is_a_token_only_who_shows_it_buys() {
    let farmers = Farmers::open().await;
    farmers.tell(json!({"zeros": 0, "quantity_min": 2, "quantity_max": 2})).await;
    let environment = Embedded::open(farmers.config()).await;
    let token = ServiceToken::parse("a-token-for-tests").unwrap();
    let anywhere = ([127, 0, 0, 1], 0).into();
    let address = environment.market.serve_grpc(anywhere, Some(token)).await.unwrap();
    let channel = Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut client = MarketClient::new(channel);
    let mut buy = async |shown: Option<&'static str>| {
        let purchase = PurchaseId::new().to_string();
        let mut request = Request::new(BuyRequest { purchase, ingredient: "lemon".into() });
        if let Some(shown) = shown {
            request.metadata_mut().insert("x-chefcito-service-token", shown.parse().unwrap());
        }
        client.buy(request).await.map(|response| told(response.into_inner()))
    };
    assert_eq!(buy(None).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(buy(Some("a-token-for-testS")).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(buy(Some("a-token-for-tests")).await.unwrap(), Told::Sold(2));
    environment.context.close().await;
}
