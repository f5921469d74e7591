//! What must always hold, checked across services: sorted pages of facts, merged with bounded memory.
//!
//! Guarantees: every invariant is in the report, with what it expected, what it found and samples of what breaks it; an audit of
//! an environment at rest finds every breach, a `live` one no false breach; a service that does not tell its facts is an error,
//! never a pass; memory does not grow with the number of orders.
//!
//! Does not know: who may ask, how often, and what else is asked: the gateway does. It reads facts over HTTP and no database.

mod board;
mod events;
mod finding;
mod judgement;
mod kept;
mod larder;
pub mod ledger;
mod orders;
mod services;
mod shown;
mod source;

use backends::{Backends, Unanswered};
use contracts::api::audit::{AuditReport, Invariant};
use service::problem::Problem;

use self::{
    finding::Finding,
    kept::{Horizon, SLACKS},
};

/// An audit that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A service did not tell its facts.
    #[error("{service} did not tell its {facts}: {source}")]
    Unanswered {
        /// The service.
        service: &'static str,
        /// What it was asked for.
        facts: &'static str,
        /// Why there is no answer.
        source: Unanswered,
    },
    /// Its facts are not in the order of their keys, so that they can't be merged.
    #[error("{service} told its {facts} out of order")]
    Unsorted {
        /// The service.
        service: &'static str,
        /// What it told.
        facts: &'static str,
    },
    /// Events were removed faster than they could be read.
    #[error("old events are being removed, faster than they can be read")]
    Removing,
}

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Self {
        Self::unavailable(format!(
            "The audit could not be done: {error}. Ask again when every service is ready."
        ))
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
pub async fn run(services: &Backends, live: bool) -> Result<AuditReport, AuditError> {
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
    services: &Backends,
    horizon: Horizon,
    live: bool,
) -> Result<AuditReport, AuditError> {
    let counters = board::counters(services).await?;
    let shown = shown::read(services).await?;
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
    let shown = shown::check(services, &shown, &orders, live).await?;
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
        shown,
    ];
    let invariants = findings.into_iter().chain(themselves).map(Finding::done).collect();
    Ok(report(invariants, live))
}

fn report(invariants: Vec<Invariant>, live: bool) -> AuditReport {
    AuditReport { passed: invariants.iter().all(|invariant| invariant.passed), live, invariants }
}
