//! What a client was told: every order whose acceptance it saw must exist.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use backends::Backends;
use contracts::{
    OrderId,
    api::{
        audit::{AuditReport, Ledger},
        orders::ORDERS_PER_REQUEST_MAX,
    },
};
use service::problem::Problem;

use crate::{finding::Finding, orders::states, report};

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
    let known = states(services, told.iter().copied().collect()).await?;
    let known: BTreeSet<OrderId> = known.iter().map(|order| order.id).collect();
    let mut finding =
        Finding::new("ledger.accepted", "Every order that a client was told is accepted exists.");
    for order in &told {
        finding.compare(1, i64::from(known.contains(order)), order);
    }
    Ok(report(vec![finding.done()], false))
}
