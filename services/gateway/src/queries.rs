//! What the gateway answers from all services together.

pub(crate) mod status;
pub(crate) mod story;

use contracts::api::audit::AuditReport;
use service::problem::Problem;

use crate::door::Door;

/// Checks what must always hold, one audit at a time.
///
/// # Errors
/// 409 while another audit runs, 503 if a service could not be asked.
pub(crate) async fn audit(door: &Door, live: bool) -> Result<AuditReport, Problem> {
    let Ok(_turn) = door.audits.try_acquire() else {
        return Err(Problem::conflict(
            "audit-runs",
            "An audit is under way",
            "It reads everything, so there is one at a time. Try again when it is done.",
        ));
    };
    Ok(::audit::run(&door.services, live).await?)
}
