//! The market service is called over gRPC, here in process.

use contracts::{
    Ingredient, PurchaseId,
    market::{
        BuyRequest, BuyResponse,
        buy_response::Outcome,
        market_server::{Market as MarketService, MarketServer},
    },
};
use inventory::{Answer, GrpcMarket, Market, MarketError};
use tonic::{Request, Response, Status};

/// Sells 3 lemons, does not know about rice, and has no other word for anything.
struct Farmer;

#[tonic::async_trait]
impl MarketService for Farmer {
    async fn buy(&self, request: Request<BuyRequest>) -> Result<Response<BuyResponse>, Status> {
        let BuyRequest { purchase, ingredient } = request.into_inner();
        assert!(purchase.parse::<PurchaseId>().is_ok());
        let answer = |outcome: Outcome, quantity_sold| {
            Ok(Response::new(BuyResponse { outcome: outcome.into(), quantity_sold }))
        };
        match ingredient.as_str() {
            "lemon" => answer(Outcome::Sold, 3),
            "rice" => answer(Outcome::Unknown, 0),
            "meat" => answer(Outcome::Unspecified, 0),
            _ => Err(Status::unavailable("the farmers are asleep")),
        }
    }
}

#[tokio::test]
async fn what_the_market_service_says_is_what_the_buyer_hears() {
    let market = GrpcMarket::new(MarketServer::new(Farmer));
    let buy = async |ingredient| market.buy(PurchaseId::new(), ingredient).await;
    assert_eq!(buy(Ingredient::Lemon).await.unwrap(), Answer::Sold(3));
    assert_eq!(buy(Ingredient::Rice).await.unwrap(), Answer::Unknown);
    assert!(matches!(buy(Ingredient::Meat).await, Err(MarketError::Failed { .. })));
    let asleep = buy(Ingredient::Onion).await.unwrap_err().to_string();
    assert!(asleep.contains("the farmers are asleep"), "{asleep}");
}

#[tokio::test]
async fn a_market_that_is_not_there_is_an_error_and_not_a_hang() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let market = GrpcMarket::at(format!("http://{nobody}")).unwrap();
    assert!(market.buy(PurchaseId::new(), Ingredient::Lemon).await.is_err());
    assert!(GrpcMarket::at("not an address".into()).is_err());
}
