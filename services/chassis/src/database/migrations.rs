//! How a schema came to be what it is, by refinery.

/// One step: its number, its name and its SQL, which must never change once it is on main.
pub type Migration = (i32, &'static str, &'static str);

/// The steps of one owner. Each owner has a history table of its own.
///
/// The SQL is one text for both engines: `{serial}` stands for a number that the database counts, and `WITHOUT ROWID`
/// means something to SQLite alone.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    /// Names the history table: `<owner>_migrations`.
    pub owner: &'static str,
    /// The steps, in order.
    pub steps: &'static [Migration],
}

impl Migrations {
    pub(super) fn runner(&self, dialect: impl Fn(&str) -> String) -> refinery::Runner {
        let steps: Vec<refinery::Migration> = self
            .steps
            .iter()
            .map(|(number, name, sql)| {
                refinery::Migration::unapplied(&format!("V{number}__{name}"), &dialect(sql))
                    .expect("a migration is called by a number and a word")
            })
            .collect();
        let mut runner = refinery::Runner::new(&steps);
        runner.set_migration_table_name(format!("{}_migrations", self.owner));
        runner
    }
}

/// The chassis' own tables, which every database has.
pub(super) const CHASSIS: Migrations = Migrations {
    owner: "chassis",
    steps: &[
        (1, "outbox", include_str!("../../migrations/V1__outbox.sql")),
        (2, "inbox", include_str!("../../migrations/V2__inbox.sql")),
        (3, "leases", include_str!("../../migrations/V3__leases.sql")),
        (4, "timers", include_str!("../../migrations/V4__timers.sql")),
        (5, "retention", include_str!("../../migrations/V5__retention.sql")),
        (6, "broker", include_str!("../../migrations/V6__broker.sql")),
        (7, "handed_over", include_str!("../../migrations/V7__handed_over.sql")),
    ],
};
