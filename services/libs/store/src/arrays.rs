//! Many rows at once: one statement with an array a column on PostgreSQL, which plans, runs and answers once for all of
//! them; the same rows one by one on SQLite, where a statement costs no way there and back.

use std::collections::HashSet;

use super::{Connection, Row, StoreError, Tx, Value};

/// A statement for many rows.
#[derive(Clone, Copy, Debug)]
pub struct Many {
    /// What SQLite runs once for each row: `?1…?n` are the row's values.
    pub each: &'static str,
    /// What PostgreSQL runs once: `$1…$n` are arrays, one a column, for `UNNEST` or `ANY`.
    pub all: &'static str,
}

/// Where a statement changes rows, PostgreSQL is given them sorted by their first value, which is the key of what is
/// changed: so two replicas that change the same rows lock them in the same order, and never wait for each other in a
/// circle.
impl Tx<'_> {
    /// Runs a statement for all rows; returns how many it changed. No two rows may have the same key, for PostgreSQL
    /// would change what they name once or not at all.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub fn execute_all(
        &mut self,
        statement: &Many,
        rows: impl IntoIterator<Item = impl AsRef<[Value]>>,
    ) -> Result<u64, StoreError> {
        match self.connection {
            Connection::Sqlite(sqlite) => rows
                .into_iter()
                .map(|parameters| sqlite.execute(statement.each, parameters.as_ref()))
                .sum(),
            Connection::Postgres(postgres) => {
                let rows: Vec<_> = rows.into_iter().collect();
                let columns = columns(by_key(&rows));
                if columns.is_empty() { Ok(0) } else { postgres.execute(statement.all, &columns) }
            }
        }
    }

    /// Runs a statement for all rows; returns for each whether it changed something. Of rows with the same key only the
    /// first can. The text for PostgreSQL returns the key of each row that it changed.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub fn change_all(
        &mut self,
        statement: &Many,
        rows: impl IntoIterator<Item = impl AsRef<[Value]>>,
    ) -> Result<Vec<bool>, StoreError> {
        match self.connection {
            Connection::Sqlite(sqlite) => rows
                .into_iter()
                .map(|parameters| Ok(sqlite.execute(statement.each, parameters.as_ref())? > 0))
                .collect(),
            Connection::Postgres(postgres) => {
                let rows: Vec<_> = rows.into_iter().collect();
                let columns = columns(by_key(&rows));
                if columns.is_empty() {
                    return Ok(Vec::new());
                }
                let changed = postgres.query(statement.all, &columns, |row| row.get(0))?;
                Ok(which(&rows, changed))
            }
        }
    }

    /// Asks for all rows, and reads all rows of the answers. Their order is the statement's; where two rows ask for the
    /// same, SQLite answers both and PostgreSQL may answer once.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub fn query_all<T>(
        &mut self,
        statement: &Many,
        rows: impl IntoIterator<Item = impl AsRef<[Value]>>,
        mut each: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        match self.connection {
            Connection::Sqlite(sqlite) => {
                let mut found = Vec::new();
                for parameters in rows {
                    found.append(&mut sqlite.query(
                        statement.each,
                        parameters.as_ref(),
                        &mut each,
                    )?);
                }
                Ok(found)
            }
            Connection::Postgres(postgres) => {
                let rows: Vec<_> = rows.into_iter().collect();
                let columns = columns(rows.iter().map(AsRef::as_ref));
                if columns.is_empty() {
                    return Ok(Vec::new());
                }
                postgres.query(statement.all, &columns, each)
            }
        }
    }

    /// Makes sure that the engine understands what it is given of these statements, as [`Tx::prepare`] does.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] with what the engine objects to.
    pub fn prepare_all(&mut self, statements: &[Many]) -> Result<(), StoreError> {
        statements.iter().try_for_each(|Many { each, all }| {
            let sql = self.either(each, all);
            self.prepare(sql)
        })
    }
}

/// Returns rows sorted by their key; those with the same key stay in their order.
fn by_key<R: AsRef<[Value]>>(rows: &[R]) -> impl Iterator<Item = &[Value]> {
    let mut sorted: Vec<&[Value]> = rows.iter().map(AsRef::as_ref).collect();
    sorted.sort_by_key(|row| row.first());
    sorted.into_iter()
}

/// Returns the columns of rows; none if there are no rows.
fn columns<'a>(rows: impl Iterator<Item = &'a [Value]>) -> Vec<Vec<&'a Value>> {
    let mut columns: Vec<Vec<&Value>> = Vec::new();
    for row in rows {
        columns.resize_with(row.len(), Vec::new);
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    columns
}

/// Returns for each row whether its key is among those that were changed, the first of those with the same key.
fn which<R: AsRef<[Value]>>(rows: &[R], changed: Vec<Value>) -> Vec<bool> {
    if changed.len() == rows.len() {
        return vec![true; rows.len()];
    }
    let mut changed: HashSet<Value> = changed.into_iter().collect();
    rows.iter().map(|row| row.as_ref().first().is_some_and(|key| changed.remove(key))).collect()
}
