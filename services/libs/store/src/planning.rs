//! How PostgreSQL plans our statements.
//!
//! A statement is planned while the database is young: its tables are empty, or were when somebody last looked. Then it looks
//! as cheap to read a table from end to end as to look into its index, and the plan is kept while the table grows to
//! millions of rows. But every statement that is asked often finds its rows by an index, one by one from what it is given,
//! so the other ways are closed. Where nothing else leads to the rows, PostgreSQL takes them nonetheless.

/// What a session sets, unless the connection string's `options` say it themselves.
const SETTINGS: [(&str, &str); 6] = [
    // Planned once: planning for what it is given costs as much as running it, and comes to the same.
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    // A scan by bitmap does not mark the index entries of rows that are gone, so that it meets all of them again each time:
    // an index of what is open is soon full of what no longer is.
    ("enable_bitmapscan", "off"),
    // Joined one by one, rows are locked in the order in which they are given: two replicas never wait in a circle.
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    // What was closed and is taken nonetheless looks so dear that it would be compiled each time.
    ("jit", "off"),
];

/// Returns the SQL that sets how statements are planned, except what these options of the connection set themselves.
pub(super) fn settings(options: Option<&str>) -> String {
    let is_set = |name: &str| options.is_some_and(|options| options.contains(name));
    let ours = SETTINGS.into_iter().filter(|(name, _)| !is_set(name));
    ours.map(|(name, value)| format!("SET {name} TO {value};")).collect()
}

#[cfg(test)]
mod tests {
    use super::{SETTINGS, settings};

    #[test]
    fn what_the_connection_string_sets_is_left_alone() {
        let all = settings(None);
        assert!(
            SETTINGS.iter().all(|(name, value)| all.contains(&format!("SET {name} TO {value};")))
        );
        let some = settings(Some("-c enable_seqscan=on -c work_mem=8MB"));
        assert!(!some.contains("enable_seqscan") && some.contains("SET enable_hashjoin TO off;"));
    }
}
