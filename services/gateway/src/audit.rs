//! What must always hold, checked across services: sorted pages of facts, merged with bounded memory.

mod board;
mod events;
mod finding;
mod judgement;
mod kept;
mod larder;
pub(crate) mod ledger;
mod orders;
mod services;
mod source;

use contracts::api::audit::{AuditReport, Invariant};
use service::problem::Problem;

use self::{
    finding::Finding,
    kept::{Horizon, SLACKS},
};
use crate::{backend::Unanswered, services::Services};

/// An audit that could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    /// A service did not tell its facts.
    #[error("{service} did not tell its {facts}: {source}")]
    Unanswered { service: &'static str, facts: &'static str, source: Unanswered },
    /// Its facts are not in the order of their keys, so that they can't be merged.
    #[error("{service} told its {facts} out of order")]
    Unsorted { service: &'static str, facts: &'static str },
    /// Events were removed faster than they could be read.
    #[error("old events are being removed: ask again when that is done")]
    Removing,
}

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Self {
        Self::unavailable(format!("The audit could not be done: {error}."))
    }
}

/// Checks every invariant. `live` allows what is in flight.
///
/// Counters are read before what they were counted from, and what follows from something after it: so that what is in
/// flight makes a difference in one direction only. Storage comes first: from a damaged one nothing else can be read, and
/// the report says just that.
///
/// # Errors
/// [`AuditError`] if a service did not tell its facts.
pub(crate) async fn run(services: &Services, live: bool) -> Result<AuditReport, AuditError> {
    let storage = match services::check_storage(services).await {
        Ok(storage) if !storage.holds() => return Ok(report(vec![storage.done()], live)),
        // Who can't be asked is found again below, with what could not be known.
        storage => storage,
    };
    for slack in SLACKS {
        let horizon = Horizon::lay(services, slack).await?;
        let mut report = check(services, horizon, live).await?;
        if horizon.holds(services).await? {
            report.invariants.push(storage?.done());
            return Ok(report);
        }
    }
    Err(AuditError::Removing)
}

async fn check(
    services: &Services,
    horizon: Horizon,
    live: bool,
) -> Result<AuditReport, AuditError> {
    let counters = board::counters(services).await?;
    let shelves = larder::shelves(services).await?;
    let purchases = larder::check(services, &shelves, live).await?;
    let mut orders = orders::check(services, horizon, live).await?;
    let (inbox, counts) = events::check(services, horizon, live).await?;
    let themselves = services::check(services, live).await?;
    if horizon.id().is_some() {
        orders.check_totals(&counts, live);
        purchases.check_told_in_all(&orders.sums, &counts, &mut orders.outbox, live);
    } else {
        purchases.check_told(&orders.sums, &mut orders.outbox, live);
    }
    let findings = [
        orders.balance,
        orders.tickets,
        orders.dishes,
        larder::conserve(&shelves, &orders.sums, live),
        orders.used,
        purchases.receipts,
        purchases.sold,
        orders.outbox,
        inbox,
        board::check(&counters, &orders.sums, &counts, &purchases.bought, live),
    ];
    let invariants = findings.into_iter().chain(themselves).map(Finding::done).collect();
    Ok(report(invariants, live))
}

fn report(invariants: Vec<Invariant>, live: bool) -> AuditReport {
    AuditReport { passed: invariants.iter().all(|invariant| invariant.passed), live, invariants }
}
