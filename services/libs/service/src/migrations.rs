use store::Migrations;

/// The tables of this library, which every database of a service has.
pub(crate) const MIGRATIONS: Migrations = Migrations {
    owner: "service",
    steps: &[
        (1, "kept_responses", include_str!("../migrations/V1__kept_responses.sql")),
        (2, "starts", include_str!("../migrations/V2__starts.sql")),
    ],
};
