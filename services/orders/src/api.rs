//! HTTP in, a command or a query out.

use ::store::{LOOK_UP_ROWS_MAX, Tx};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use contracts::{
    OrderId,
    api::{
        audit::{Facts, FactsQuery, OrderFact},
        orders::{
            AskStates, DISH_BYTES_MAX, ListOrders, ORDERS_PER_REQUEST_MAX, Order, OrderPage,
            OrderStates, PlaceOrders,
        },
    },
};
use service::idempotency::Keyed;
use service::{
    facts_page,
    http::{Json, Path, Query},
    problem::Problem,
};

use crate::{
    Orders,
    commands::{
        cancel_orders::{CancelOrder, Cancellation},
        place_orders::PlaceRequest,
    },
    domain::UnknownDish,
    queries::{
        find_orders::find_orders,
        list_orders::{LIMIT_MAX, list_orders},
    },
    store,
};

pub(crate) fn router(orders: Orders) -> Router {
    Router::new()
        .route("/v1/orders", post(place).get(list))
        .route("/v1/orders/states", post(states))
        .route("/v1/orders/{id}", get(find))
        .route("/v1/orders/{id}/cancel", post(cancel))
        .route("/internal/facts/orders", get(facts))
        .with_state(orders)
}

async fn place(
    State(orders): State<Orders>,
    headers: HeaderMap,
    request: Keyed<PlaceOrders>,
) -> Result<Response, Problem> {
    let traceparent = traceparent(&headers);
    let request =
        request.and_then(|request| Ok(PlaceRequest { dishes: dishes_of(request)?, traceparent }));
    orders.place.submit(request).await.map(IntoResponse::into_response)
}

impl From<UnknownDish> for Problem {
    fn from(refusal: UnknownDish) -> Self {
        let title = "The dish is not on the menu";
        Self::unprocessable("unknown-dish", title, refusal.to_string())
    }
}

/// Returns the dish of each order of a request.
fn dishes_of(request: PlaceOrders) -> Result<Vec<Option<String>>, Problem> {
    let invalid = |detail: String| {
        Problem::unprocessable("invalid", "The request asks for what can't be", detail)
    };
    let dishes: Vec<Option<String>> = match request {
        PlaceOrders { dish: Some(_), orders: Some(_) } => {
            return Err(invalid(
                "Give `dish` for one order, or `orders` for several, not both.".into(),
            ));
        }
        PlaceOrders { dish, orders: None } => vec![dish],
        PlaceOrders { dish: None, orders: Some(lines) } => {
            lines.into_iter().map(|line| line.dish).collect()
        }
    };
    if dishes.is_empty() || dishes.len() > ORDERS_PER_REQUEST_MAX {
        return Err(invalid(format!(
            "`orders` has {} orders; it should have from 1 to {ORDERS_PER_REQUEST_MAX}.",
            dishes.len()
        )));
    }
    match dishes.iter().flatten().find(|dish| dish.is_empty() || dish.len() > DISH_BYTES_MAX) {
        Some(dish) => Err(invalid(format!(
            "A dish has a name of 1 to {DISH_BYTES_MAX} bytes, and one here has {}.",
            dish.len()
        ))),
        None => Ok(dishes),
    }
}

/// Returns the trace of a request, which the gateway has checked.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    headers.get("traceparent").and_then(|trace| trace.to_str().ok()).map(str::to_owned)
}

async fn list(
    State(orders): State<Orders>,
    Query(query): Query<ListOrders>,
) -> Result<axum::Json<OrderPage>, Problem> {
    if query.limit.is_some_and(|limit| !(1..=LIMIT_MAX).contains(&limit)) {
        return Err(Problem::unprocessable(
            "invalid",
            "The request asks for what can't be",
            format!("`limit` should be from 1 to {LIMIT_MAX}."),
        ));
    }
    Ok(axum::Json(orders.service.database().read(move |tx| list_orders(tx, &query)).await?))
}

async fn states(
    State(orders): State<Orders>,
    Json(AskStates { ids }): Json<AskStates>,
) -> Result<axum::Json<OrderStates>, Problem> {
    if ids.len() > ORDERS_PER_REQUEST_MAX {
        let detail =
            format!("Ask for {ORDERS_PER_REQUEST_MAX} orders at the most, not {}.", ids.len());
        return Err(Problem::unprocessable(
            "invalid",
            "The request asks for what can't be",
            detail,
        ));
    }
    let database = orders.service.database();
    let is_look_up = ids.len() <= LOOK_UP_ROWS_MAX;
    let question = move |tx: &mut Tx<'_>| find_orders(tx, &ids);
    let orders = match is_look_up {
        true => database.look_up(question).await?,
        false => database.read(question).await?,
    };
    Ok(axum::Json(OrderStates { orders }))
}

async fn find(
    State(orders): State<Orders>,
    Path(id): Path<OrderId>,
) -> Result<axum::Json<Order>, Problem> {
    let found = orders.service.database().look_up(move |tx| find_orders(tx, &[id])).await?;
    found.into_iter().next().map(axum::Json).ok_or_else(|| no_such_order(id))
}

async fn cancel(
    State(orders): State<Orders>,
    headers: HeaderMap,
    Path(order): Path<OrderId>,
) -> Result<(StatusCode, axum::Json<Order>), Problem> {
    match orders.cancel(CancelOrder { order, traceparent: traceparent(&headers) }).await? {
        Cancellation::Accepted(order) => Ok((StatusCode::ACCEPTED, axum::Json(order.into()))),
        Cancellation::Refused(why) => Err(Problem::conflict(
            "too-late",
            "The order can't be cancelled any more",
            why.to_string(),
        )),
        Cancellation::Unknown => Err(no_such_order(order)),
    }
}

fn no_such_order(id: OrderId) -> Problem {
    Problem::not_found(format!("No order has the id {id}."))
}

async fn facts(
    State(orders): State<Orders>,
    Query(query): Query<FactsQuery>,
) -> Result<axum::Json<Facts<OrderFact>>, Problem> {
    facts_page(&orders.service, move |tx| store::facts(tx, &query)).await
}
