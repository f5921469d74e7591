//! PostgreSQL, through tokio-postgres: a schema a service. Each connection has a small runtime of its own, on which its
//! owner, a plain thread, waits.

use std::{collections::HashMap, sync::Arc};

use bytes::BytesMut;
use futures_util::future::join;
use postgres_types::{IsNull, ToSql, Type, to_sql_checked};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{
    CancelToken, Client, SimpleQueryMessage, Statement,
    error::{DbError, Severity},
};

use super::{
    Migrations, Row, Server, StoreError, Value, ValueRef, migrations::EARLIER, planning,
    readers::Cancel,
};

/// Nothing is changed outside of a transaction that began and may: see `Postgres::run`.
const OUTSIDE_READ_ONLY: &str = "SET default_transaction_read_only TO on;";

/// Where a service's schema is.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(super) server: Server,
    pub(super) schema: String,
}

pub(crate) struct Postgres {
    runtime: OwnRuntime,
    address: Address,
    session: Option<Session>,
    /// How to begin, while the transaction has not: its first statement takes that along.
    beginning: Option<&'static str>,
}

/// A runtime that may be dropped wherever its connection is, within another runtime, too.
struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.as_ref().expect("the runtime is there until it is dropped").block_on(future)
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

struct Session {
    client: Client,
    canceller: Arc<Canceller>,
    // By the text's address: texts are static, so an address never means another text.
    statements: HashMap<(usize, usize), Statement>,
}

/// Ends what a session is doing, over a connection of its own.
pub(super) struct Canceller {
    server: Server,
    token: CancelToken,
}

impl Canceller {
    pub(super) async fn send(&self) {
        self.server.cancel(self.token.clone()).await;
    }
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Postgres")
            .field("schema", &self.address.schema)
            .finish_non_exhaustive()
    }
}

impl Postgres {
    pub(super) fn new(address: Address) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StoreError::engine(error.to_string()))?;
        Ok(Self { runtime: OwnRuntime(Some(runtime)), address, session: None, beginning: None })
    }

    /// Makes sure of a connection; one that was lost is made anew.
    pub(super) fn connect(&mut self) -> Result<(), StoreError> {
        if self.session.as_ref().is_some_and(|session| !session.client.is_closed()) {
            return Ok(());
        }
        self.session = None;
        let address = &self.address;
        let client = self.runtime.block_on(async {
            let client = address.server.connect().await?;
            let schema = quoted(&address.schema);
            let planning = planning::settings(address.server.options());
            client
                .batch_execute(&format!(
                    "SET search_path TO {schema}; SET statement_timeout TO 30000;
                     SET idle_in_transaction_session_timeout TO 60000; SET lock_timeout TO 10000;
                     {OUTSIDE_READ_ONLY} {planning}"
                ))
                .await?;
            Ok::<_, StoreError>(client)
        })?;
        let (server, token) = (self.address.server.clone(), client.cancel_token());
        let canceller = Arc::new(Canceller { server, token });
        self.session = Some(Session { client, canceller, statements: HashMap::new() });
        Ok(())
    }

    /// Returns whether the schema has tables of an earlier version.
    pub(super) fn is_earlier(&mut self) -> Result<bool, StoreError> {
        const FIND: &str =
            "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = $2";
        self.connect()?;
        let Self { runtime, session, address, .. } = self;
        let session = session.as_mut().ok_or_else(no_session)?;
        let found =
            runtime.block_on(session.client.query_opt(FIND, &[&address.schema, &EARLIER]))?;
        Ok(found.is_some())
    }

    pub(super) fn migrate(&mut self, sets: &[Migrations]) -> Result<(), StoreError> {
        self.connect()?;
        let schema = self.address.schema.clone();
        let Self { runtime, session, .. } = self;
        let session = session.as_mut().ok_or_else(no_session)?;
        runtime.block_on(async {
            let client = &mut session.client;
            // Replicas that start at once migrate one after the other; the lock ends with the session at the latest.
            client
                .batch_execute(
                    "SET lock_timeout TO 0; SET statement_timeout TO 0;
                     SET default_transaction_read_only TO off;",
                )
                .await?;
            client
                .execute("SELECT pg_advisory_lock(hashtextextended($1, 7373))", &[&schema])
                .await?;
            let migrated = async {
                // Even IF NOT EXISTS asks for a right on the database, which a service's own role does not have.
                let made = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1";
                if client.query_opt(made, &[&schema]).await?.is_none() {
                    client.batch_execute(&format!("CREATE SCHEMA {}", quoted(&schema))).await?;
                }
                for set in sets {
                    set.runner(|sql| {
                        sql.replace(
                            "{serial}",
                            "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
                        )
                        .replace("WITHOUT ROWID", "")
                    })
                    .run_async(client)
                    .await?;
                }
                Ok::<_, StoreError>(())
            }
            .await;
            client
                .execute("SELECT pg_advisory_unlock(hashtextextended($1, 7373))", &[&schema])
                .await?;
            client
                .batch_execute(&format!(
                    "SET lock_timeout TO 10000; SET statement_timeout TO 30000; {OUTSIDE_READ_ONLY}"
                ))
                .await?;
            migrated
        })
    }

    /// Begins a transaction on the way to its first statement, which costs no way of its own.
    pub(super) const fn begin(&mut self, sql: &'static str) {
        self.beginning = Some(sql);
    }

    /// Ends a transaction. One in which nothing was said has not begun.
    pub(super) fn end(&mut self, sql: &'static str) -> Result<(), StoreError> {
        if self.beginning.take().is_some() {
            return Ok(());
        }
        let session = self.session.as_ref().ok_or_else(no_session)?;
        let done = self.runtime.block_on(session.client.batch_execute(sql));
        self.noted(done)
    }

    /// Runs a statement. If the transaction can't begin, the session lets it change nothing.
    fn run<T>(
        &mut self,
        sql: &'static str,
        run: impl AsyncFnOnce(&Client, &Statement) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        let statement = self.statement(sql)?;
        let beginning = self.beginning.take();
        let client = &self.session.as_ref().ok_or_else(no_session)?.client;
        let done = self.runtime.block_on(async {
            match beginning {
                None => run(client, &statement).await,
                // What is polled first is sent first.
                Some(begin) => {
                    let (begun, done) =
                        join(client.batch_execute(begin), run(client, &statement)).await;
                    begun.and(done)
                }
            }
        });
        self.noted(done)
    }

    /// Forgets a session that the server ended or the network lost, although the library may not have noticed yet.
    fn noted<T>(&mut self, done: Result<T, tokio_postgres::Error>) -> Result<T, StoreError> {
        if let Err(error) = &done {
            let severity = error.as_db_error().and_then(DbError::parsed_severity);
            if error.is_closed() || matches!(severity, Some(Severity::Fatal | Severity::Panic)) {
                self.forget();
            }
        }
        Ok(done?)
    }

    /// Returns how to cancel what the session is asked.
    pub(super) fn cancel(&self) -> Option<Cancel> {
        Some(Cancel::Postgres(Arc::clone(&self.session.as_ref()?.canceller)))
    }

    /// Returns whether the connection is gone, so that what it did last is not known.
    pub(super) fn is_lost(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.client.is_closed())
    }

    pub(super) fn forget(&mut self) {
        self.session = None;
    }

    fn statement(&mut self, sql: &'static str) -> Result<Statement, StoreError> {
        let session = self.session.as_mut().ok_or_else(no_session)?;
        let key = (sql.as_ptr().addr(), sql.len());
        if let Some(statement) = session.statements.get(&key) {
            return Ok(statement.clone());
        }
        let text = with_dollars(sql);
        let prepared = self.runtime.block_on(session.client.prepare(&text));
        let statement = self.noted(prepared)?;
        if let Some(session) = &mut self.session {
            session.statements.insert(key, statement.clone());
        }
        Ok(statement)
    }

    pub(super) fn prepare(&mut self, sql: &'static str) -> Result<(), StoreError> {
        self.statement(sql).map(|_| ())
    }

    /// Returns the lines of the plan of a statement, whatever it is given.
    pub(super) fn plan_of(&mut self, sql: &'static str) -> Result<Vec<String>, StoreError> {
        let count = self.statement(sql)?.params().len();
        let nothing = vec!["NULL"; count].join(", ");
        let given = if count == 0 { String::new() } else { format!("({nothing})") };
        let text = format!(
            "PREPARE explained AS {}; EXPLAIN (COSTS OFF) EXECUTE explained {given}; DEALLOCATE explained",
            with_dollars(sql)
        );
        let session = self.session.as_ref().ok_or_else(no_session)?;
        let messages = self.runtime.block_on(session.client.simple_query(&text))?;
        let lines = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        Ok(lines.collect())
    }

    pub(super) fn execute<P: ToSql + Sync>(
        &mut self,
        sql: &'static str,
        parameters: &[P],
    ) -> Result<u64, StoreError> {
        let parameters = parameters.iter().map(|parameter| parameter as &(dyn ToSql + Sync));
        self.run(sql, async |client, statement| client.execute_raw(statement, parameters).await)
    }

    pub(super) fn query<P: ToSql + Sync, T>(
        &mut self,
        sql: &'static str,
        parameters: &[P],
        mut each: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let parameters: Vec<&(dyn ToSql + Sync)> =
            parameters.iter().map(|parameter| parameter as _).collect();
        let rows =
            self.run(sql, async |client, statement| client.query(statement, &parameters).await)?;
        rows.iter().map(|row| each(&Row::Postgres(row))).collect()
    }
}

fn no_session() -> StoreError {
    StoreError::engine("not connected")
}

fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Writes `?1` as `$1`. A question mark that no digit follows stays.
fn with_dollars(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len());
    let mut characters = sql.chars().peekable();
    while let Some(character) = characters.next() {
        let parameter = character == '?' && characters.peek().is_some_and(char::is_ascii_digit);
        text.push(if parameter { '$' } else { character });
    }
    text
}

pub(super) fn value_of(
    row: &tokio_postgres::Row,
    column: usize,
) -> Result<ValueRef<'_>, StoreError> {
    let kind = row
        .columns()
        .get(column)
        .ok_or_else(|| StoreError::rejected(format!("there is no column {column}")))?
        .type_();
    let value = match *kind {
        Type::INT8 => row.try_get::<_, Option<i64>>(column)?.map(ValueRef::Integer),
        Type::INT4 => {
            row.try_get::<_, Option<i32>>(column)?.map(|integer| ValueRef::Integer(integer.into()))
        }
        Type::BOOL => {
            row.try_get::<_, Option<bool>>(column)?.map(|truth| ValueRef::Integer(truth.into()))
        }
        Type::TEXT | Type::VARCHAR | Type::NAME => {
            row.try_get::<_, Option<&str>>(column)?.map(ValueRef::Text)
        }
        ref other => {
            return Err(StoreError::rejected(format!(
                "column {column} is {other}, which never crosses: cast it to BIGINT"
            )));
        }
    };
    Ok(value.unwrap_or(ValueRef::Null))
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match (self, kind) {
            (Self::Null, _) => Ok(IsNull::Yes),
            (Self::Integer(integer), &Type::INT8) => integer.to_sql(kind, out),
            (Self::Integer(integer), &Type::INT4) => i32::try_from(*integer)?.to_sql(kind, out),
            (Self::Text(text), &Type::TEXT | &Type::VARCHAR | &Type::NAME) => {
                text.to_sql(kind, out)
            }
            (value, kind) => Err(format!("{value:?} is no {kind}: cast the parameter").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::with_dollars;

    #[test]
    fn parameters_get_dollars_and_other_question_marks_stay() {
        assert_eq!(
            with_dollars("a = ?1 AND b = ?12 AND c = '?'"),
            "a = $1 AND b = $12 AND c = '?'"
        );
    }
}
