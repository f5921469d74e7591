//! SQLite, through rusqlite. One file a service, in WAL mode.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, config::DbConfig, types::ToSqlOutput};

use super::{Durability, Migrations, StoreError, Value, ValueRef, migrations::EARLIER};

/// How many prepared statements a connection keeps.
const STATEMENTS_MAX: usize = 256;
/// Pages in the write-ahead log at which it is copied back: 16 MiB, so that a busy service does so every few seconds and
/// not every few milliseconds.
const CHECKPOINT_PAGES: i64 = 4_000;
/// How long a connection waits for a lock of another process, in milliseconds. Only a backup or a shell takes one.
const BUSY_MS_MAX: u64 = 5_000;

#[derive(Debug)]
pub(crate) struct Sqlite {
    pub(super) connection: Connection,
    path: PathBuf,
    /// The device and the number of the file that is open.
    file: (u64, u64),
}

impl Sqlite {
    pub(super) fn open_writer(path: &Path, durability: Durability) -> Result<Self, StoreError> {
        let connection = Connection::open(path)?;
        let synchronous = match durability {
            Durability::Process => "NORMAL",
            Durability::Power => "FULL",
        };
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA foreign_keys = ON;
             PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
             PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -2048;"
        ))?;
        Self::prepared(connection, path)
    }

    pub(super) fn open_reader(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.execute_batch(
            "PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -1024;",
        )?;
        Self::prepared(connection, path)
    }

    fn prepared(connection: Connection, path: &Path) -> Result<Self, StoreError> {
        // Plans don't depend on bound values: else each `LIMIT ?1` is parsed and planned again whenever it is bound.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        // A failure here is a failure of the first statement, too, which reports it.
        let _ = connection.busy_timeout(std::time::Duration::from_millis(BUSY_MS_MAX));
        let file = file_at(path).map_err(|error| StoreError::Io(error.to_string().into()))?;
        Ok(Self { connection, path: path.to_owned(), file })
    }

    /// Makes sure that the file that is open still has its name: what is written into a file without one is gone with the
    /// process.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the file was deleted or another is in its place.
    pub(super) fn check_file(&self) -> Result<(), StoreError> {
        let happened = match file_at(&self.path) {
            Ok(file) if file == self.file => return Ok(()),
            Ok(_) => "replaced",
            Err(error) if error.kind() == io::ErrorKind::NotFound => "deleted",
            // Whatever else the system says of the name: the file is open, and can be used.
            Err(_) => return Ok(()),
        };
        let path = self.path.display();
        let text = format!("`{path}` was {happened} while it was open; start the service again");
        Err(StoreError::Damaged(text.into()))
    }

    /// Returns whether the file has tables of an earlier version.
    pub(super) fn is_earlier(&self) -> Result<bool, StoreError> {
        const FIND: &str = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = ?1";
        Ok(!self.query(FIND, &[Value::Text(EARLIER.into())], |_| Ok(()))?.is_empty())
    }

    pub(super) fn migrate(&mut self, sets: &[Migrations]) -> Result<(), StoreError> {
        for set in sets {
            set.runner(|sql| sql.replace("{serial}", "INTEGER PRIMARY KEY"))
                .run(&mut self.connection)?;
        }
        Ok(())
    }

    pub(crate) fn execute(
        &self,
        sql: &'static str,
        parameters: &[Value],
    ) -> Result<u64, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.execute(rusqlite::params_from_iter(parameters))? as u64)
    }

    pub(super) fn query<T>(
        &self,
        sql: &'static str,
        parameters: &[Value],
        mut each: impl FnMut(&super::Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(each(&super::Row::Sqlite(row))?);
        }
        Ok(found)
    }

    /// Returns the lines of the plan of a statement.
    pub(super) fn plan_of(&self, sql: &str) -> Result<Vec<String>, StoreError> {
        let mut statement = self.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        let nothing = vec![Value::Null; statement.parameter_count()];
        let lines = statement.query_map(rusqlite::params_from_iter(&nothing), |row| row.get(3))?;
        Ok(lines.collect::<Result<_, _>>()?)
    }

    pub(crate) fn last_insert_rowid(&self) -> i64 {
        self.connection.last_insert_rowid()
    }
}

pub(super) fn value_of<'a>(
    row: &'a rusqlite::Row<'_>,
    column: usize,
) -> Result<ValueRef<'a>, StoreError> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(ValueRef::Null),
        rusqlite::types::ValueRef::Integer(integer) => Ok(ValueRef::Integer(integer)),
        rusqlite::types::ValueRef::Text(bytes) => std::str::from_utf8(bytes)
            .map(ValueRef::Text)
            .map_err(|error| StoreError::rejected(error.to_string())),
        other => Err(StoreError::rejected(format!(
            "column {column} holds {}, which never crosses",
            other.data_type()
        ))),
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        use rusqlite::types::ValueRef as Sql;
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Text(text) => Sql::Text(text.as_bytes()),
            Self::Integer(integer) => Sql::Integer(*integer),
            Self::Null => Sql::Null,
        }))
    }
}

/// Returns the device and the number of the file of this name.
fn file_at(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// Returns what the storage says is wrong with itself.
pub(super) fn check(sqlite: &Sqlite) -> Result<Vec<String>, StoreError> {
    let read = |row: &super::Row<'_>| row.get::<String>(0);
    let mut problems = sqlite.query("PRAGMA quick_check", &[], read)?;
    problems.retain(|line| line != "ok");
    problems.extend(sqlite.query("PRAGMA foreign_key_check", &[], read)?);
    Ok(problems)
}

/// Returns the path of a service's file.
pub(super) fn path_of(folder: &Path, service: &str) -> PathBuf {
    folder.join(format!("{service}.sqlite"))
}
