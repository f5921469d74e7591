//! HTTP in, a command or a query out.

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use contracts::{
    QUANTITY_MAX, Quantities,
    api::{
        audit::{Facts, FactsQuery, PurchaseFact, ReservationFact},
        inventory::{
            AdjustStock, BookingOptions, ListPurchases, OpenStock, PurchasePage, Stock,
            StockChanges,
        },
        orders::IDEMPOTENCY_KEY_BYTES_MAX,
    },
};
use events::facts;
use service::{
    facts_page,
    http::{Json, Query, no_such_route},
    problem::Problem,
};
use tracing::info;

use crate::{
    Inventory,
    commands::{Adjustment, KeyReused, adjusted, opened},
    domain::out_of_bounds,
    queries::{LIMIT_MAX, list_purchases, show_stock},
    store,
};

pub(crate) fn router(inventory: &Inventory) -> Router {
    Router::new()
        .route("/v1/stock", get(stock).put(open))
        .route("/v1/stock/adjustments", post(adjust))
        .route("/v1/purchases", get(purchases))
        .route("/internal/facts/stock", get(stock))
        .route("/internal/facts/reservations", get(reservation_facts))
        .route("/internal/facts/purchases", get(purchase_facts))
        .with_state(inventory.clone())
        .merge(inventory.service.router())
        .fallback(no_such_route)
}

async fn stock(State(inventory): State<Inventory>) -> Result<axum::Json<Stock>, Problem> {
    Ok(axum::Json(inventory.service.database().read(show_stock).await?))
}

async fn open(
    State(inventory): State<Inventory>,
    Query(options): Query<BookingOptions>,
    Json(command): Json<OpenStock>,
) -> Result<axum::Json<StockChanges>, Problem> {
    check_quantities(&command.opening)?;
    if options.dry_run == Some(true) {
        let changes =
            inventory.service.database().read(move |tx| Ok(opened(&store::opened(tx)?, &command)));
        return Ok(axum::Json(changes.await?));
    }
    let changes = inventory.openings.submit(command).await?;
    info!("Opened the stock with {}", in_words(&changes.booked));
    Ok(axum::Json(changes))
}

async fn adjust(
    State(inventory): State<Inventory>,
    Query(options): Query<BookingOptions>,
    headers: HeaderMap,
    Json(command): Json<AdjustStock>,
) -> Result<axum::Json<StockChanges>, Problem> {
    check_quantities(&command.set)?;
    let key = idempotency_key(&headers)?;
    if options.dry_run == Some(true) {
        let changes = inventory
            .service
            .database()
            .read(move |tx| Ok(adjusted(store::read_shelves(tx)?.on_hand(), &command.set)));
        return Ok(axum::Json(changes.await?));
    }
    match inventory.adjustments.submit(Adjustment { key, command }).await? {
        Ok(changes) => {
            info!("Adjusted the stock by {}", in_words(&changes.booked));
            Ok(axum::Json(changes))
        }
        Err(KeyReused) => Err(Problem::unprocessable(
            "idempotency-key-reused",
            "The Idempotency-Key was used for another request",
            "Send a new key with a new adjustment, or the same adjustment again.",
        )),
    }
}

async fn purchases(
    State(inventory): State<Inventory>,
    Query(query): Query<ListPurchases>,
) -> Result<axum::Json<PurchasePage>, Problem> {
    if query.limit.is_some_and(|limit| !(1..=LIMIT_MAX).contains(&limit)) {
        return Err(Problem::unprocessable(
            "invalid",
            "The request asks for what can't be",
            format!("`limit` should be from 1 to {LIMIT_MAX}."),
        ));
    }
    let page = inventory.service.database().read(move |tx| list_purchases(tx, &query));
    Ok(axum::Json(page.await?))
}

async fn reservation_facts(
    State(inventory): State<Inventory>,
    Query(query): Query<FactsQuery>,
) -> Result<axum::Json<Facts<ReservationFact>>, Problem> {
    facts_page(&inventory.service, move |tx| {
        let (after, limit) = facts::page(&query);
        store::reservation_facts(tx, &after, limit)
    })
    .await
}

async fn purchase_facts(
    State(inventory): State<Inventory>,
    Query(query): Query<FactsQuery>,
) -> Result<axum::Json<Facts<PurchaseFact>>, Problem> {
    facts_page(&inventory.service, move |tx| {
        let (after, limit) = facts::page(&query);
        store::purchase_facts(tx, &after, limit)
    })
    .await
}

fn in_words(quantities: &Quantities) -> String {
    if quantities.is_empty() {
        return "nothing new".to_owned();
    }
    let words: Vec<String> = quantities
        .iter()
        .map(|(ingredient, quantity)| format!("{quantity} {ingredient}"))
        .collect();
    words.join(", ")
}

fn check_quantities(quantities: &Quantities) -> Result<(), Problem> {
    match out_of_bounds(quantities) {
        None => Ok(()),
        Some((ingredient, quantity)) => Err(Problem::unprocessable(
            "invalid-quantity",
            "A quantity can't be",
            format!(
                "The quantity of {ingredient} is {quantity}; it should be from 0 to {QUANTITY_MAX}."
            ),
        )),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    match key.to_str() {
        Ok(key) if (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed",
            "The Idempotency-Key can't be used",
        )
        .detail(format!(
            "It should be 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters."
        ))),
    }
}
