//! How the environment is.

use std::collections::BTreeMap;

use backends::{Backend, Backends, STATUS_WAIT_MAX, Unanswered};
use contracts::{
    api::{board::Summary, gateway::Status, service::ServiceStatus},
    services::BOARD,
};

use crate::door::Door;

/// Returns how every service is, and the board's summary.
pub(crate) async fn status(door: &Door) -> Status {
    let (services, summary) =
        tokio::join!(statuses(&door.services), summary(door.services.get(BOARD)));
    let quiet = services.values().all(is_quiet) && is_still_quiet(door, &services).await;
    Status {
        ready: services.values().all(|service| service.ready),
        quiet,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        services,
        summary,
    }
}

/// Returns how each service is. One that does not answer is not ready, with the reason.
pub(crate) async fn statuses(services: &Backends) -> BTreeMap<String, ServiceStatus> {
    let asked = services
        .ask_all(|_, backend| backend.look::<ServiceStatus>("/internal/status", STATUS_WAIT_MAX));
    let answered = |answer: Result<ServiceStatus, Unanswered>| {
        answer.unwrap_or_else(|error| ServiceStatus {
            reason: Some(error.to_string()),
            ..ServiceStatus::default()
        })
    };
    asked.await.into_iter().map(|(name, answer)| (name.to_owned(), answered(answer))).collect()
}

async fn summary(board: Option<&Backend>) -> Option<Summary> {
    board?.look("/v1/summary", STATUS_WAIT_MAX).await.ok()
}

/// Returns whether nothing is under way in a service. A service that is not ready is not taken for quiet.
fn is_quiet(status: &ServiceStatus) -> bool {
    status.ready && [status.unpublished, status.unhandled, status.open] == [0, 0, 0]
}

/// Looks once more. Services are not asked at one moment, so an event may have been on its way from one that was asked
/// before to one that was asked after; but then a service has announced an event since.
async fn is_still_quiet(door: &Door, before: &BTreeMap<String, ServiceStatus>) -> bool {
    let told = |services: &BTreeMap<String, ServiceStatus>| -> Vec<i64> {
        services.values().map(|status| status.announced).collect()
    };
    let after = statuses(&door.services).await;
    after.values().all(is_quiet) && told(&after) == told(before)
}
