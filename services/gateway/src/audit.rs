//! What must always hold, checked across services: sorted pages of facts, merged with bounded memory.

mod finding;
pub(crate) mod ledger;
mod quiet;

use chassis::problem::Problem;
use contracts::api::audit::{AuditReport, Invariant};

use crate::{backend::Unanswered, services::Services};

/// An audit that could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    /// A service did not tell its facts.
    #[error("{service} did not tell its {facts}: {source}")]
    Unanswered { service: &'static str, facts: &'static str, source: Unanswered },
}

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Self {
        Self::unavailable(format!("The audit could not be done: {error}."))
    }
}

/// Checks every invariant. `live` allows what is in flight.
///
/// # Errors
/// [`AuditError`] if a service did not tell its facts.
pub(crate) async fn run(services: &Services, live: bool) -> Result<AuditReport, AuditError> {
    let mut invariants: Vec<Invariant> = Vec::new();
    invariants.extend(quiet::check(services, live).await?);
    Ok(report(invariants, live))
}

fn report(invariants: Vec<Invariant>, live: bool) -> AuditReport {
    AuditReport { passed: invariants.iter().all(|invariant| invariant.passed), live, invariants }
}
