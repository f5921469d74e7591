use store::Migrations;

/// The tables of this library, which every database of a service has.
pub const MIGRATIONS: Migrations = Migrations {
    owner: "events",
    steps: &[
        (1, "outbox", include_str!("../migrations/V1__outbox.sql")),
        (2, "inbox", include_str!("../migrations/V2__inbox.sql")),
        (3, "retention", include_str!("../migrations/V3__retention.sql")),
        (4, "broker", include_str!("../migrations/V4__broker.sql")),
        (5, "handed_over", include_str!("../migrations/V5__handed_over.sql")),
        (6, "deferred", include_str!("../migrations/V6__deferred.sql")),
    ],
};
