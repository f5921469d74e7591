//! What every service says of itself: its storage, its outbox, its dead letters.

use std::time::Duration;

use backends::{Backends, LIST_WAIT_MAX};
use contracts::api::{audit::StorageCheck, service::ServiceStatus};

use crate::{AuditError, finding::Finding};

/// How long a storage may check itself: it reads all of it.
const STORAGE_WAIT_MAX: Duration = Duration::from_secs(20);

/// Checks the storage of every service.
///
/// # Errors
/// [`AuditError`] if a service did not answer and no other one's storage is damaged.
pub(crate) async fn check_storage(services: &Backends) -> Result<Finding, AuditError> {
    let checks = services.ask_all(|_, backend| {
        backend.get::<StorageCheck>("/internal/facts/storage", STORAGE_WAIT_MAX)
    });
    let mut storage = Finding::new("storage.check", "Every storage passes its own check.");
    let mut unanswered = None;
    for (service, answer) in checks.await {
        match answer {
            Ok(check) => {
                storage.count(0, i64::try_from(check.problems.len()).unwrap_or(i64::MAX));
                for problem in check.problems {
                    storage.breach(format_args!("{service}: {problem}"));
                }
            }
            Err(source) => {
                let facts = "storage check";
                unanswered.get_or_insert(AuditError::Unanswered { service, facts, source });
            }
        }
    }
    match unanswered {
        Some(error) if storage.holds() => Err(error),
        _ => Ok(storage),
    }
}

/// Checks that nothing waits (unless `live`), and that nothing was set aside.
///
/// # Errors
/// [`AuditError`] if a service did not answer.
pub(crate) async fn check(services: &Backends, live: bool) -> Result<[Finding; 2], AuditError> {
    let statuses = services
        .ask_all(|_, backend| backend.get::<ServiceStatus>("/internal/status", LIST_WAIT_MAX))
        .await;
    let mut outboxes = Finding::new(
        "quiet.outboxes",
        "When nothing is in flight, every event is published and acted on.",
    );
    let mut letters = Finding::new(
        "dead_letters.empty",
        "No event is set aside because it could not be acted on.",
    );
    for (service, answer) in statuses {
        let status =
            answer.map_err(|source| AuditError::Unanswered { service, facts: "status", source })?;
        let waiting = [
            ("unpublished", status.unpublished),
            ("unhandled", status.unhandled),
            ("open", status.open),
        ];
        for (what, waiting) in waiting {
            outboxes.count(0, waiting);
            if waiting != 0 && !live {
                outboxes.breach(format_args!("{service}: {waiting} {what}"));
            }
        }
        letters.compare(0, status.dead_letters, format_args!("{service}: {}", status.dead_letters));
    }
    if live {
        outboxes.note("what is in flight is allowed");
    }
    Ok([outboxes, letters])
}
