//! The market's doors: gRPC for the inventory, HTTP for the gateway.

use axum::{Router, extract::State, routing::get};
use contracts::{
    Ingredient, PurchaseId,
    api::audit::{Facts, FactsQuery, PurchaseFact},
    market::{BuyRequest, BuyResponse, buy_response::Outcome, market_server},
};
use service::{facts_page, http::Query, problem::Problem, token::ServiceToken};
use tonic::{Request, Response, Status};

use crate::{
    Market, buyer::Refusal, commands::save_intents::Intent, domain::Bought,
    queries::list_receipts::list_receipts,
};

pub(crate) fn router(market: &Market) -> Router {
    let own =
        Router::new().route("/internal/facts/receipts", get(receipts)).with_state(market.clone());
    market.buyer.service.with_common_routes(own)
}

async fn receipts(
    State(market): State<Market>,
    Query(query): Query<FactsQuery>,
) -> Result<axum::Json<Facts<PurchaseFact>>, Problem> {
    facts_page(&market.buyer.service, move |tx| list_receipts(tx, &query)).await
}

#[tonic::async_trait]
impl market_server::Market for Market {
    async fn buy(&self, request: Request<BuyRequest>) -> Result<Response<BuyResponse>, Status> {
        let intent = read_intent(&request.into_inner())?;
        let bought = self.buyer.buy(intent).await.map_err(status_of)?;
        Ok(Response::new(response_of(bought)))
    }
}

/// Lets a request in, if it shows the service token.
pub(crate) fn let_in(
    token: Option<&ServiceToken>,
    request: Request<()>,
) -> Result<Request<()>, Status> {
    match token {
        Some(token) if !token.is_shown_by(request.metadata().as_ref()) => {
            Err(Status::unauthenticated(
                "only services of this environment may ask, by its service token",
            ))
        }
        _ => Ok(request),
    }
}

fn read_intent(request: &BuyRequest) -> Result<Intent, Status> {
    let purchase: PurchaseId = request
        .purchase
        .parse()
        .map_err(|error| Status::invalid_argument(format!("purchase: {error}")))?;
    let ingredient: Ingredient = request
        .ingredient
        .parse()
        .map_err(|error| Status::invalid_argument(format!("ingredient: {error}")))?;
    Ok(Intent { purchase, ingredient })
}

fn response_of(bought: Bought) -> BuyResponse {
    let (outcome, quantity) = match bought {
        Bought::Sold(quantity) => (Outcome::Sold, quantity),
        Bought::Unknown => (Outcome::Unknown, 0),
    };
    // What was saved is in the bounds of the proto.
    BuyResponse { outcome: outcome.into(), quantity_sold: u32::try_from(quantity).unwrap_or(0) }
}

fn status_of(refusal: Refusal) -> Status {
    let words = refusal.to_string();
    match refusal {
        Refusal::OtherIngredient(_) => Status::invalid_argument(words),
        Refusal::Refused(_) => Status::failed_precondition(words),
        Refusal::Away(_) | Refusal::Busy | Refusal::Unsaved | Refusal::Stopping => {
            Status::unavailable(words)
        }
        Refusal::Internal => Status::internal(words),
    }
}
