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

/// The history table of the library of which this one was a part: a database that has it holds tables of an earlier
/// version, which are not migrated.
pub(super) const EARLIER: &str = "chassis_migrations";

/// The tables of [`leases`](crate::leases) and [`timers`](crate::timers), which every database has.
pub(super) const STORE: Migrations = Migrations {
    owner: "store",
    steps: &[
        (1, "leases", include_str!("../migrations/V1__leases.sql")),
        (2, "timers", include_str!("../migrations/V2__timers.sql")),
    ],
};
