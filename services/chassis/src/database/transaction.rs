//! The small interface below which the two engines disappear.

use std::{collections::HashMap, sync::Arc};

use contracts::{
    Timestamp,
    events::{Envelope, Event},
};
use tokio::sync::Notify;

use super::{
    FromValue, StoreError, Value, ValueRef, postgres, postgres::Postgres, sqlite, sqlite::Sqlite,
};
use crate::clock::Clock;

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
    /// [`StoreError::Piece`] if the column holds something else.
    pub fn get<T: FromValue>(&self, column: usize) -> Result<T, StoreError> {
        let value: ValueRef<'_> = match self {
            Row::Sqlite(row) => sqlite::value_of(row, column)?,
            Row::Postgres(row) => postgres::value_of(row, column)?,
        };
        T::from_value(value).ok_or_else(|| {
            StoreError::piece(format!(
                "column {column} holds {value:?}, which is no {}",
                type_name::<T>()
            ))
        })
    }
}

fn type_name<T>() -> &'static str {
    std::any::type_name::<T>()
}

/// A transaction. Work on it is plain and synchronous: decide, save, announce; the chassis commits, for many at once.
///
/// Statements are static texts with `?1…?n`. Only TEXT, BIGINT and NULL cross. A bare parameter in arithmetic, and every
/// SUM, is cast to BIGINT, because PostgreSQL guesses other types.
#[derive(Debug)]
pub struct Tx<'a> {
    pub(crate) connection: &'a mut Connection,
    service: &'static str,
    now: Timestamp,
    pub(crate) announced: Vec<Envelope>,
    pub(crate) wakes: Vec<Arc<Notify>>,
    // What the events of a subject were caused by, so that those that follow from them join the same trace.
    traces: HashMap<String, String>,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(
        connection: &'a mut Connection,
        service: &'static str,
        clock: &Clock,
    ) -> Self {
        let now = clock.now();
        Self {
            connection,
            service,
            now,
            announced: Vec::new(),
            wakes: Vec::new(),
            traces: HashMap::new(),
        }
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
    /// [`StoreError::Piece`] if the statement or its values were refused, [`StoreError::Engine`] if the database failed.
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

    /// Announces an event in this transaction: it and the change that it tells are both saved, or neither.
    pub fn announce<E: Event>(&mut self, event: &E) {
        let subject = event.subject();
        let trace = self.traces.get(&subject).cloned();
        self.announced.push(Envelope::new(self.service, event, self.now, trace));
    }

    /// Announces each event, in this order.
    pub fn announce_all<E: Event>(&mut self, events: impl IntoIterator<Item = E>) {
        for event in events {
            self.announce(&event);
        }
    }

    /// Lets the events about `subject` join a trace.
    pub fn follow(&mut self, subject: impl Into<String>, traceparent: impl Into<String>) {
        self.traces.insert(subject.into(), traceparent.into());
    }

    /// Returns the trace that the events about `subject` join, for what is to go on in a later transaction.
    #[must_use]
    pub fn trace_of(&self, subject: &str) -> Option<&str> {
        self.traces.get(subject).map(String::as_str)
    }

    /// Wakes whoever waits for the signal once this is committed.
    pub fn wake_after_commit(&mut self, signal: &Arc<Notify>) {
        if !self.wakes.iter().any(|other| Arc::ptr_eq(other, signal)) {
            self.wakes.push(Arc::clone(signal));
        }
    }

    /// Makes sure that the engine understands a statement, without running it. For the test that a service has of its
    /// `store.rs`.
    ///
    /// # Errors
    /// [`StoreError::Piece`] with what the engine objects to.
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

    pub(crate) const fn service(&self) -> &'static str {
        self.service
    }
}

/// What to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Write,
    Read,
}

impl Connection {
    /// Makes sure of a connection before work on it.
    pub(super) fn ready(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(postgres) => postgres.connect(),
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

    /// Gives up what was begun. A connection that can't even do that is made anew.
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
        StoreError::Piece(why) => StoreError::Engine(why),
        error => error,
    }
}
