//! What a client was told: every order whose acceptance it saw must exist.

use std::collections::BTreeSet;

use axum::{
    body::Bytes,
    http::{Method, StatusCode},
};
use backends::{Backends, LIST_WAIT_MAX};
use contracts::{
    OrderId,
    api::{
        audit::{AuditReport, Ledger},
        orders::{AskStates, ORDERS_PER_REQUEST_MAX, OrderStates},
    },
    services::ORDERS,
};
use service::problem::Problem;

use crate::{AuditError, finding::Finding, report};

/// Checks that every order of a ledger exists.
///
/// # Errors
/// 422 if there are too many, 503 if the orders service could not be asked.
pub async fn check(services: &Backends, ledger: Ledger) -> Result<AuditReport, Problem> {
    if ledger.ids.len() > ORDERS_PER_REQUEST_MAX {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "too-many-orders",
            "The ledger is too long",
        )
        .detail(format!("Send {ORDERS_PER_REQUEST_MAX} orders at the most in one request.")));
    }
    let told: BTreeSet<OrderId> = ledger.ids.iter().copied().collect();
    let asked = serde_json::to_vec(&AskStates { ids: told.iter().copied().collect() })
        .map_err(|_| Problem::internal())?;
    let Some(orders) = services.get(ORDERS) else { return Err(Problem::internal()) };
    let states: OrderStates = orders
        .ask(Method::POST, "/v1/orders/states", Bytes::from(asked), LIST_WAIT_MAX)
        .await
        .map_err(|source| AuditError::Unanswered { service: ORDERS, facts: "orders", source })?;
    let known: BTreeSet<OrderId> = states.orders.iter().map(|order| order.id).collect();
    let mut finding =
        Finding::new("ledger.accepted", "Every order that a client was told is accepted exists.");
    for order in &told {
        finding.compare(1, i64::from(known.contains(order)), order);
    }
    Ok(report(vec![finding.done()], false))
}
