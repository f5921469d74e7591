//! HTTP in, a command or a query out.

use axum::{
    Router,
    extract::State,
    response::{IntoResponse as _, Response},
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
    },
};
use events::facts;
use service::idempotency::Keyed;
use service::{
    facts_page,
    http::{Json, Query},
    problem::Problem,
};
use tracing::info;

use crate::{
    Inventory,
    commands::{adjusted, opened},
    domain::out_of_bounds,
    queries::{LIMIT_MAX, list_purchases, show_stock},
    store,
};

pub(crate) fn router(inventory: &Inventory) -> Router {
    let own = Router::new()
        .route("/v1/stock", get(stock).put(open))
        .route("/v1/stock/adjustments", post(adjust))
        .route("/v1/purchases", get(purchases))
        .route("/internal/facts/stock", get(stock))
        .route("/internal/facts/reservations", get(reservation_facts))
        .route("/internal/facts/purchases", get(purchase_facts))
        .with_state(inventory.clone());
    inventory.service.with_common_routes(own)
}

async fn stock(State(inventory): State<Inventory>) -> Result<axum::Json<Stock>, Problem> {
    let mut stock = inventory.service.database().read(show_stock).await?;
    inventory.attempts.note_on(&mut stock.stock, inventory.service.context().clock.now());
    Ok(axum::Json(stock))
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
    request: Keyed<AdjustStock>,
) -> Result<Response, Problem> {
    let request = request.and_then(|command| check_quantities(&command.set).map(|()| command));
    if options.dry_run == Some(true) {
        let AdjustStock { set } = request.without_key()?;
        let changes = inventory
            .service
            .database()
            .read(move |tx| Ok(adjusted(store::read_shelves(tx)?.on_hand(), &set)));
        return Ok(axum::Json(changes.await?).into_response());
    }
    let answer = inventory.adjustments.submit(request).await?;
    if let Some(changes) = &answer.done {
        info!("Adjusted the stock by {}", in_words(&changes.booked));
    }
    Ok(answer.into_response())
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
