//! The small interface below which the two engines disappear.

use std::{any::Any, str::FromStr, sync::Arc};

use contracts::Timestamp;
use tokio::sync::Notify;

use super::{
    ByName, FromValue, StoreError, Value, ValueRef, postgres, postgres::Postgres, readers::Cancel,
    sqlite, sqlite::Sqlite,
};
use crate::Clock;

/// A connection of either engine.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a handful exist, each owned by its thread")]
pub(crate) enum Connection {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// A row of an answer.
#[derive(Debug)]
pub enum Row<'a> {
    /// Of SQLite.
    #[doc(hidden)]
    Sqlite(&'a rusqlite::Row<'a>),
    /// Of PostgreSQL.
    #[doc(hidden)]
    Postgres(&'a tokio_postgres::Row),
}

impl Row<'_> {
    /// Reads a column, counted from 0.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] if the column holds something else.
    pub fn get<T: FromValue>(&self, column: usize) -> Result<T, StoreError> {
        let value: ValueRef<'_> = match self {
            Row::Sqlite(row) => sqlite::value_of(row, column)?,
            Row::Postgres(row) => postgres::value_of(row, column)?,
        };
        T::from_value(value).ok_or_else(|| {
            StoreError::rejected(format!(
                "column {column} holds {value:?}, which is no {}",
                type_name::<T>()
            ))
        })
    }

    /// Reads a column that holds a [`ByName`].
    ///
    /// # Errors
    /// [`StoreError::Rejected`] if the column names nothing of that type.
    pub fn by_name<T: FromStr>(&self, column: usize) -> Result<T, StoreError> {
        self.get(column).map(|ByName(value)| value)
    }
}

fn type_name<T>() -> &'static str {
    std::any::type_name::<T>()
}

/// A transaction. Work on it is plain and synchronous; the writer commits, for many at once.
///
/// Statements are static texts with `?1…?n`. Only TEXT, BIGINT and NULL cross. A bare parameter in arithmetic, and every
/// SUM, is cast to BIGINT, because PostgreSQL guesses other types.
#[derive(Debug)]
pub struct Tx<'a> {
    pub(crate) connection: &'a mut Connection,
    service: &'static str,
    now: Timestamp,
    pub(crate) wakes: Vec<Arc<Notify>>,
    attached: Vec<Box<dyn Any + Send>>,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(
        connection: &'a mut Connection,
        service: &'static str,
        clock: &Clock,
    ) -> Self {
        let now = clock.now();
        Self { connection, service, now, wakes: Vec::new(), attached: Vec::new() }
    }

    /// Returns the time of this transaction: one moment for all that it does.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Returns the database's own clock, for what several processes must agree on.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed.
    pub fn database_now(&mut self) -> Result<Timestamp, StoreError> {
        const NOW: &str = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";
        match self.connection {
            // One process, one machine, one clock.
            Connection::Sqlite(_) => Ok(self.now),
            Connection::Postgres(_) => {
                let now: Option<Timestamp> = self.query_one(NOW, &[], |row| row.get(0))?;
                now.ok_or_else(|| StoreError::engine("the database has no clock"))
            }
        }
    }

    /// Runs a statement; returns how many rows it changed.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] if the statement or its values were refused, [`StoreError::Engine`] if the database failed.
    pub fn execute(&mut self, sql: &'static str, parameters: &[Value]) -> Result<u64, StoreError> {
        match self.connection {
            Connection::Sqlite(sqlite) => sqlite.execute(sql, parameters),
            Connection::Postgres(postgres) => postgres.execute(sql, parameters),
        }
    }

    /// Asks, and reads each row of the answer.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub fn query<T>(
        &mut self,
        sql: &'static str,
        parameters: &[Value],
        each: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        match self.connection {
            Connection::Sqlite(sqlite) => sqlite.query(sql, parameters, each),
            Connection::Postgres(postgres) => postgres.query(sql, parameters, each),
        }
    }

    /// Asks for the first row of the answer, if there is one.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    pub fn query_one<T>(
        &mut self,
        sql: &'static str,
        parameters: &[Value],
        each: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.query(sql, parameters, each)?.into_iter().next())
    }

    /// Returns this transaction's value of a type, which begins as its default: what a library collects while the work
    /// runs, for its [`CommitHook`](crate::CommitHook).
    pub fn attached<T: Any + Default + Send>(&mut self) -> &mut T {
        let found = self.attached.iter().position(|value| value.is::<T>());
        let at = found.unwrap_or_else(|| {
            self.attached.push(Box::new(T::default()));
            self.attached.len() - 1
        });
        self.attached[at].downcast_mut().expect("it was found by its type")
    }

    /// Signals `signal` once the transaction is committed.
    pub fn wake_after_commit(&mut self, signal: &Arc<Notify>) {
        if !self.wakes.iter().any(|other| Arc::ptr_eq(other, signal)) {
            self.wakes.push(Arc::clone(signal));
        }
    }

    /// Makes sure that the engine understands a statement, without running it. For the test that a service has of its
    /// `store.rs`.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] with what the engine objects to.
    pub fn prepare(&mut self, sql: &'static str) -> Result<(), StoreError> {
        match self.connection {
            Connection::Sqlite(sqlite) => Ok(sqlite.connection.prepare(sql).map(|_| ())?),
            Connection::Postgres(postgres) => postgres.prepare(sql),
        }
    }

    /// Returns the text that this engine is given where one would not do for both, such as one that locks rows.
    #[must_use]
    pub const fn either(&self, sqlite: &'static str, postgresql: &'static str) -> &'static str {
        match self.connection {
            Connection::Sqlite(_) => sqlite,
            Connection::Postgres(_) => postgresql,
        }
    }

    /// Returns the service whose database this is.
    #[must_use]
    pub const fn service(&self) -> &'static str {
        self.service
    }

    /// Returns whether this is SQLite: no other process writes.
    #[must_use]
    pub const fn is_sqlite(&self) -> bool {
        matches!(self.connection, Connection::Sqlite(_))
    }

    /// Returns the number that SQLite gave to the row which this transaction inserted last, into a table with a `{serial}`
    /// column; nothing on PostgreSQL, where the statement returns it.
    #[must_use]
    pub fn last_number(&self) -> Option<i64> {
        match &*self.connection {
            Connection::Sqlite(sqlite) => Some(sqlite.last_insert_rowid()),
            Connection::Postgres(_) => None,
        }
    }
}

/// What to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Write,
    Read,
}

impl Connection {
    /// Returns how many rows SQLite has changed on this connection so far; nothing on PostgreSQL, which does not count them.
    pub(super) fn changes(&self) -> Option<u64> {
        match self {
            Self::Sqlite(sqlite) => Some(sqlite.connection.total_changes()),
            Self::Postgres(_) => None,
        }
    }

    /// Makes sure of a connection, and that its file still has its name, before work on it.
    pub(super) fn ready(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.check_file(),
            Self::Postgres(postgres) => postgres.connect(),
        }
    }

    /// Returns whether the connection is gone, and with it the transaction that it was in.
    pub(super) fn is_lost(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(postgres) => postgres.is_lost(),
        }
    }

    /// Returns how to cancel what is asked on this connection.
    pub(super) fn cancel(&self) -> Option<Cancel> {
        match self {
            Self::Sqlite(sqlite) => Some(Cancel::Sqlite(sqlite.connection.get_interrupt_handle())),
            Self::Postgres(postgres) => postgres.cancel(),
        }
    }

    pub(super) fn begin(&mut self, access: Access) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite
                .execute(if access == Access::Write { "BEGIN IMMEDIATE" } else { "BEGIN" }, &[])
                .map(|_| ()),
            Self::Postgres(postgres) => {
                postgres.begin(match access {
                    Access::Write => "BEGIN READ WRITE",
                    Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                });
                Ok(())
            }
        }
        .map_err(as_engine)
    }

    /// Commits. An engine that fails at it leaves open whether it did; SQLite says so, PostgreSQL may not be able to.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.execute("COMMIT", &[]).map(|_| ()).map_err(as_engine),
            Self::Postgres(postgres) => postgres.end("COMMIT").map_err(|error| match error {
                StoreError::Engine(why) if postgres.is_lost() => StoreError::Unknown(why),
                error => as_engine(error),
            }),
        }
    }

    /// Rolls back. A connection on which even that fails is replaced.
    pub(super) fn roll_back(&mut self) {
        match self {
            Self::Sqlite(sqlite) => {
                // After a full disk SQLite has rolled back by itself.
                if !sqlite.connection.is_autocommit() {
                    let _ = sqlite.execute("ROLLBACK", &[]);
                }
            }
            Self::Postgres(postgres) => {
                if postgres.end("ROLLBACK").is_err() {
                    postgres.forget();
                }
            }
        }
    }
}

fn as_engine(error: StoreError) -> StoreError {
    match error {
        StoreError::Rejected(why) => StoreError::Engine(why),
        error => error,
    }
}
