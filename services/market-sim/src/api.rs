//! The simulated market's routes.

use std::time::{Duration, Instant};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::get,
};
use contracts::{
    Ingredient,
    api::{
        audit::{Facts, FactsQuery, PurchaseFact},
        market_sim::{self, ChangeMarketSim, Sale},
    },
};
use serde::Deserialize;
use service::{
    facts_page,
    http::{self, Json, Path, Query},
    problem::Problem,
};
use tracing::info;

use crate::{
    ANONYMOUS_SALES_PER_SECOND_MAX, MarketSim,
    commands::{
        change_settings::{change_settings, reset_settings},
        sell::{Answer, Call, KEY_BYTES_MAX, Key},
    },
    queries::{
        find_sale::{Found, find_sale},
        list_sales::list_sales,
        show_market_sim::show_market_sim,
    },
};

/// The header with which a buyer can ask for the same sale again.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

pub(crate) fn router(market_sim: &MarketSim) -> Router {
    let own = Router::new()
        .route("/v1/market", get(settings).put(set).delete(reset))
        .route("/internal/facts/sales", get(sales_facts))
        .with_state(market_sim.clone())
        .merge(stall_routes(market_sim));
    market_sim.service.with_common_routes(own)
}

pub(crate) fn stall(market_sim: &MarketSim) -> Router {
    market_sim.service.counted(stall_routes(market_sim).fallback(http::no_such_route))
}

fn stall_routes(market_sim: &MarketSim) -> Router {
    Router::new()
        .route("/api/farmers-market/buy", get(buy))
        .route("/api/farmers-market/sales/{key}", get(sale))
        .with_state(market_sim.clone())
}

#[derive(Debug, Deserialize)]
struct BuyQuery {
    ingredient: String,
}

async fn buy(
    State(market_sim): State<MarketSim>,
    Query(query): Query<BuyQuery>,
    headers: HeaderMap,
) -> Result<axum::Json<Sale>, Problem> {
    let ingredient: Ingredient = query.ingredient.parse().map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "unknown-ingredient", "The farmers don't grow this")
            .detail(format!("{error}."))
    })?;
    let key = match headers.get(IDEMPOTENCY_KEY) {
        Some(key) => Some(readable_key(key.to_str().unwrap_or_default())?),
        None => None,
    };
    // An anonymous buyer's key is not kept: it could be that of a purchase of the environment, and there is no end of keys.
    let key = if market_sim.is_environment(&headers) {
        key
    } else if market_sim.anonymous.may_buy(Instant::now()) {
        None
    } else {
        return Err(too_many());
    };
    let answer = market_sim.sales.submit(Call { key, ingredient }).await?;
    market_sim.metrics.answered(&answer);
    match answer {
        Answer::Sold(sale, delay) => {
            tokio::time::sleep(delay).await;
            Ok(axum::Json(sale))
        }
        Answer::Failed(delay) => {
            tokio::time::sleep(delay).await;
            Err(Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "told-to-fail",
                "The simulated market fails, as it was told to",
            )
            .detail("Whether anything was sold can be found out by asking again with the same Idempotency-Key."))
        }
        Answer::OtherIngredient(other) => Err(Problem::unprocessable(
            "key-reused",
            "The Idempotency-Key belongs to another sale",
            format!("The sale with this key is one of {other}. Use a new key for a new sale."),
        )),
        Answer::Outage => Err(outage()),
    }
}

async fn sale(
    State(market_sim): State<MarketSim>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Result<axum::Json<Sale>, Problem> {
    let key = readable_key(&key)?;
    if !market_sim.is_environment(&headers) {
        return Err(no_such_sale());
    }
    match market_sim.service.database().read(move |tx| find_sale(tx, &key)).await? {
        Found::Sale(sale) => Ok(axum::Json(sale)),
        Found::NoSale => Err(no_such_sale()),
        Found::Outage => Err(outage()),
    }
}

fn readable_key(text: &str) -> Result<Key, Problem> {
    Key::read(text).ok_or_else(|| {
        Problem::bad_request(format!(
            "An Idempotency-Key has from 1 to {KEY_BYTES_MAX} visible ASCII characters."
        ))
    })
}

fn no_such_sale() -> Problem {
    Problem::not_found("No sale was made with this key.")
}

fn too_many() -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many anonymous buyers")
        .detail(format!(
            "The simulated market makes {ANONYMOUS_SALES_PER_SECOND_MAX} sales a second to buyers without the environment's token. Nothing was sold; try again."
        ))
        .retry_after(Duration::from_secs(1))
}

fn outage() -> Problem {
    Problem::unavailable("The simulated market is set to answer no call.")
}

async fn settings(
    State(market_sim): State<MarketSim>,
) -> Result<axum::Json<market_sim::MarketSim>, Problem> {
    Ok(axum::Json(market_sim.service.database().read(show_market_sim).await?))
}

async fn set(
    State(market_sim): State<MarketSim>,
    Json(change): Json<ChangeMarketSim>,
) -> Result<axum::Json<market_sim::MarketSim>, Problem> {
    let changed =
        market_sim.service.database().write(move |tx| change_settings(tx, &change)).await?;
    let told = changed.map_err(|invalid| {
        Problem::unprocessable("invalid", "The simulated market can't be that", invalid.to_string())
    })?;
    info!("The simulated market is told to be {:?}", told.settings);
    Ok(axum::Json(told))
}

async fn reset(
    State(market_sim): State<MarketSim>,
) -> Result<axum::Json<market_sim::MarketSim>, Problem> {
    let reset = market_sim.service.database().write(reset_settings).await?;
    let told = reset.map_err(|invalid| {
        Problem::unprocessable("invalid", "The simulated market can't be that", invalid.to_string())
    })?;
    info!("The simulated market is reset to {:?}", told.settings);
    Ok(axum::Json(told))
}

async fn sales_facts(
    State(market_sim): State<MarketSim>,
    Query(query): Query<FactsQuery>,
) -> Result<axum::Json<Facts<PurchaseFact>>, Problem> {
    facts_page(&market_sim.service, move |tx| list_sales(tx, &query)).await
}
