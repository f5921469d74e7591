//! How an engine finds the rows of a statement, for the tests that refuse to read a whole table.

use super::{Connection, Many, StoreError, Tx};

impl Tx<'_> {
    /// Returns those of these statements that read a whole table, with how the engine would run each; the rows of the tables
    /// called `small` may all be read. A statement that walks a range of an index and drops most of what it finds reads
    /// whole tables, too; only PostgreSQL tells of that.
    ///
    /// The settings of a session close sequential scans, so that PostgreSQL takes one only where no index leads to the rows:
    /// on an empty table, too, a plan with one tells of an index that is missing.
    ///
    /// # Errors
    /// [`StoreError`] with what the engine objects to.
    #[doc(hidden)]
    pub fn find_whole_reads(
        &mut self,
        statements: &[&'static str],
        many: &[Many],
        small: &[&str],
    ) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        let of_many =
            many.iter().map(|Many { each, all }| self.either(each, all)).collect::<Vec<_>>();
        for sql in statements.iter().copied().chain(of_many) {
            let (plan, is_whole) = match &mut *self.connection {
                Connection::Sqlite(sqlite) => {
                    let plan = sqlite.plan_of(sql)?;
                    let is_whole = reads_whole_in_sqlite(&plan, small);
                    (plan, is_whole)
                }
                Connection::Postgres(postgres) => {
                    let plan = postgres.plan_of(sql)?;
                    let is_whole = reads_whole_in_postgresql(&plan, small);
                    (plan, is_whole)
                }
            };
            if is_whole {
                found.push(format!("{sql}\n{}\n", plan.join("\n")));
            }
        }
        Ok(found)
    }
}

/// `SCAN table` without an index; one that has an index reads it in its order, up to a limit.
fn reads_whole_in_sqlite(plan: &[String], small: &[&str]) -> bool {
    let is_made_here = |name: &str| {
        ["CO-ROUTINE", "MATERIALIZE"].iter().any(|way| plan.contains(&format!("{way} {name}")))
    };
    plan.iter().filter_map(|line| line.strip_prefix("SCAN ")).any(|scan| {
        let table = scan.split(' ').next().unwrap_or_default();
        let is_table = table != "CONSTANT" && !table.starts_with('(') && !is_made_here(table);
        is_table && !scan.contains(" USING ") && !small.contains(&table)
    })
}

/// A sequential scan, or an index scan by no more than a range whose rows are then filtered.
fn reads_whole_in_postgresql(plan: &[String], small: &[&str]) -> bool {
    let (mut is_large, mut is_by_key) = (false, true);
    plan.iter().map(|line| line.trim_start().trim_start_matches("->  ")).any(|line| {
        if let Some((_, scanned)) =
            line.split_once(" on ").filter(|(node, _)| node.contains("Scan"))
        {
            is_large = !small.contains(&scanned.split(' ').next().unwrap_or_default());
            is_by_key = !line.contains("Index");
            return is_large && line.contains("Seq Scan");
        }
        if let Some(condition) = line.strip_prefix("Index Cond: ") {
            is_by_key = condition.contains(" = ");
        } else if !line.starts_with("Filter: ") && !line.contains(": ") {
            is_by_key = true;
        }
        is_large && !is_by_key && line.starts_with("Filter: ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn scans_of_large_tables_are_found() {
        assert!(reads_whole_in_sqlite(&plan("SCAN orders"), &["menu"]));
        assert!(!reads_whole_in_sqlite(&plan("SCAN menu"), &["menu"]));
        assert!(!reads_whole_in_sqlite(&plan("SEARCH orders USING INDEX orders_id (id=?)"), &[]));
        assert!(!reads_whole_in_sqlite(&plan("SCAN orders USING INDEX orders_id"), &[]));

        let whole = |text: &str| reads_whole_in_postgresql(&plan(text), &["menu"]);
        assert!(whole("Aggregate\n  ->  Seq Scan on orders"));
        assert!(!whole("Aggregate\n  ->  Seq Scan on menu"));
        let range = "Limit\n  ->  Index Scan Backward using orders_pkey on orders\n        Index Cond: (number < $1)";
        assert!(!whole(range));
        assert!(whole(&format!("{range}\n        Filter: (status = $2)")));
        let key = "Index Scan using orders_dish on orders\n  Index Cond: (dish = $1)\n  Filter: (status = $2)";
        assert!(!whole(key));
    }
}
