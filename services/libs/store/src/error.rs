//! The two kinds of failure, told apart.

use std::{error::Error, fmt::Write as _, io, sync::Arc};

use tokio_postgres::error::SqlState;

/// Why work on the database was not done. Cheap to clone: each caller of a failed commit gets one.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// This piece of work can't be done, however often it is tried: a constraint, a value of the wrong type, an
    /// unreadable event. Other pieces can.
    #[error("the database refused this piece of work: {0}")]
    Rejected(Arc<str>),
    /// The database could not work: connection, disk. Nothing was saved; try again later.
    #[error("the database could not work: {0}")]
    Engine(Arc<str>),
    /// The storage is damaged, or its file was deleted while it was open. Nothing was saved, and trying again does not help.
    #[error("storage is damaged: {0}")]
    Damaged(Arc<str>),
    /// There is no room for more. Nothing was saved; try again when there is.
    #[error("the disk is full: {0}")]
    Full(Arc<str>),
    /// The system failed to read or write the storage: a limit, a quota, a device. Nothing was saved; try again later.
    #[error("the storage can't be read or written: {0}")]
    Io(Arc<str>),
    /// Another replica changed the same rows meanwhile: a deadlock, a revision that is another, a lease that moved. Nothing was
    /// saved; the writer decides again by itself, a few times.
    #[error("somebody else changed the same meanwhile: {0}")]
    Conflict(Arc<str>),
    /// The connection was lost, or the writer panicked, while committing: it may be saved or not. Ask by the idempotency key.
    #[error("it is not known whether this was saved: {0}")]
    Unknown(Arc<str>),
    /// Too much waits for the database already. Nothing was tried.
    #[error("the database is busy: {waiting} pieces of work wait already")]
    Busy {
        /// How much waits.
        waiting: usize,
    },
    /// The service is being stopped. Nothing was tried.
    #[error("the database is being closed")]
    Closed,
}

impl StoreError {
    /// Returns the failure of one piece of work, for a reason that is no error of a library.
    #[must_use]
    pub fn rejected(why: impl Into<String>) -> Self {
        Self::Rejected(why.into().into())
    }

    /// Returns the failure of the engine.
    #[must_use]
    pub fn engine(why: impl Into<String>) -> Self {
        Self::Engine(why.into().into())
    }

    /// Makes a [`StoreError::Conflict`].
    #[must_use]
    pub fn conflict(why: impl Into<String>) -> Self {
        Self::Conflict(why.into().into())
    }

    /// Returns whether the same work may succeed when it is tried again.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        !matches!(self, Self::Rejected(_))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{
            CannotOpen, ConstraintViolation, DatabaseCorrupt, DiskFull, NotADatabase, ReadOnly,
            SystemIoFailure, TooBig, TypeMismatch, Unknown,
        };
        let text = chain(&error);
        match &error {
            rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
                ConstraintViolation | TooBig | TypeMismatch | Unknown => Self::rejected(text),
                DatabaseCorrupt | NotADatabase => Self::Damaged(text.into()),
                DiskFull => Self::Full(text.into()),
                SystemIoFailure | CannotOpen | ReadOnly => Self::Io(text.into()),
                _ => Self::engine(text),
            },
            // What rusqlite itself objects to (columns, parameters, conversions) is in the work, not in the engine.
            _ => Self::rejected(text),
        }
    }
}

impl From<refinery::Error> for StoreError {
    /// A migration that fails is never the fault of a piece of work.
    fn from(error: refinery::Error) -> Self {
        let text = chain(&error);
        let mut source: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(cause) = source {
            if let Some(rusqlite::Error::SqliteFailure(failure, _)) = cause.downcast_ref() {
                use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
                match failure.code {
                    DatabaseCorrupt | NotADatabase => return Self::Damaged(text.into()),
                    DiskFull => return Self::Full(text.into()),
                    _ => {}
                }
            }
            source = cause.source();
        }
        Self::engine(text)
    }
}

/// What an operator can do about what PostgreSQL refuses, by its code.
const REMEDIES: [(&SqlState, &str); 8] = [
    (
        &SqlState::READ_ONLY_SQL_TRANSACTION,
        "it is a read-only replica: use the address of the primary",
    ),
    (&SqlState::DISK_FULL, "make room on the disk of PostgreSQL"),
    (&SqlState::TOO_MANY_CONNECTIONS, "raise max_connections of PostgreSQL, or run fewer replicas"),
    (&SqlState::CANNOT_CONNECT_NOW, "PostgreSQL is starting or stopping: wait for it"),
    (&SqlState::ADMIN_SHUTDOWN, "PostgreSQL is stopping: start it again"),
    (&SqlState::INVALID_PASSWORD, "correct the password in the URL of PostgreSQL"),
    (&SqlState::INVALID_AUTHORIZATION_SPECIFICATION, "`bootstrap roles` makes the role"),
    (&SqlState::INVALID_CATALOG_NAME, "`bootstrap roles` makes the database"),
];

/// Returns what PostgreSQL said, or what became of the connection to it, in one line, with what to try.
pub(crate) fn told(error: &tokio_postgres::Error) -> String {
    let text = chain(error);
    let is_lost = error.is_closed() || error.source().is_some_and(|cause| cause.is::<io::Error>());
    let remedy = match error.code() {
        Some(code) => REMEDIES.iter().find(|(of, _)| *of == code).map(|(_, remedy)| *remedy),
        None => is_lost.then_some("see whether PostgreSQL runs and its URL is right"),
    };
    remedy.map_or_else(|| text.clone(), |remedy| format!("{text}; {remedy}"))
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let text = told(&error);
        // Class 40, transaction rollback: deadlocks and serialization failures.
        if error.code().is_some_and(|code| code.code().starts_with("40")) {
            return Self::conflict(text);
        }
        match error.code() {
            Some(&SqlState::DISK_FULL) => return Self::Full(text.into()),
            Some(&SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED) => {
                return Self::Damaged(text.into());
            }
            Some(&SqlState::IO_ERROR) => return Self::Io(text.into()),
            _ => {}
        }
        // Classes: 21 cardinality violation, 22 data exception, 23 integrity constraint, 42 syntax or access rule
        // (https://www.postgresql.org/docs/current/errcodes-appendix.html).
        let of_the_piece = match error.as_db_error() {
            Some(refusal) => ["21", "22", "23", "42"]
                .iter()
                .any(|class| refusal.code().code().starts_with(class)),
            None => {
                let io = error.source().is_some_and(|source| source.is::<std::io::Error>());
                !error.is_closed() && !io
            }
        };
        if of_the_piece { Self::rejected(text) } else { Self::engine(text) }
    }
}

/// Returns an error and all that caused it, in one line. Of what PostgreSQL says that is the message: its details and hints
/// are further lines, and name values of rows.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = match cause.downcast_ref::<tokio_postgres::error::DbError>() {
            Some(refusal) => write!(text, ": {}: {}", refusal.severity(), refusal.message()),
            None => write!(text, ": {cause}"),
        };
        source = cause.source();
    }
    text
}
