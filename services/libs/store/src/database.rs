//! The database itself: opens it, and hands work to its writer and questions to its readers.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{
    Clock, CommitHook, Connection, Execution, Migrations, Server, StoreError, Tx,
    batch::{Batch, PendingPieces},
    execution::RunningWriter,
    health::Health,
    migrations, postgres,
    readers::{READERS_MAX, Readers},
    sqlite,
    tls::Trust,
    writer::{Queue, WRITES_WAITING_MAX, Work, Writer},
};

/// The largest file that checks itself in the background when a service starts, in bytes: a second of work. The audit checks
/// larger ones.
const CHECKED_AT_START_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Where a service keeps its data.
#[derive(Clone, Debug)]
pub enum Location {
    /// A SQLite file `<service>.sqlite` in this folder.
    Folder {
        /// The folder. It is made if it is not there.
        folder: PathBuf,
        /// What a commit survives.
        durability: Durability,
    },
    /// A schema, called like the service behind this prefix, of a PostgreSQL database.
    Postgres {
        /// The connection string: `postgres://user:password@host:port/database`, with `?sslmode=require` if TLS is to be
        /// spoken.
        url: String,
        /// Whose certificates are trusted then.
        trust: Trust,
        /// What the schema's name begins with, such as `chefcito_`; may be empty.
        schema_prefix: String,
    },
}

/// What a commit of SQLite survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process at any moment.
    #[default]
    Process,
    /// The end of power, too.
    Power,
}

/// A database that can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder can't be made.
    #[error("can't make the folder `{}`", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The connection string is none.
    #[error("the database's URL should be like postgres://user:password@host:5432/database")]
    Url {
        /// What is wrong with it.
        source: tokio_postgres::Error,
    },
    /// The database can't be reached or migrated.
    #[error("can't open the database of {service}")]
    Store {
        /// Whose it is.
        service: &'static str,
        /// Why not.
        source: StoreError,
    },
    /// Its tables are of an earlier version, which is not migrated.
    #[error(
        "the database of {service} was made by an earlier version of chefcito, whose tables are not migrated; `chefcito down --volumes` removes them, or use that version"
    )]
    EarlierVersion {
        /// Whose it is.
        service: &'static str,
    },
    /// No thread could be made.
    #[error("can't start the writer of {service}")]
    Thread {
        /// Whose it is.
        service: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

/// The database of one service. Clones are the same database.
#[derive(Clone)]
pub struct Database {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    service: &'static str,
    clock: Clock,
    location: Opened,
    pub(crate) queue: Arc<Queue>,
    writer: Mutex<Option<RunningWriter>>,
    /// Permits to wait for the writer by [`Database::write`].
    writes: Arc<Semaphore>,
    pub(crate) readers: Arc<Readers>,
    /// For what a service says of itself, which must not wait for its guests.
    status_reader: Arc<Readers>,
    /// For the storage's own check, which takes long.
    checker: Arc<Readers>,
    health: Arc<Health>,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one exists a service")]
pub(crate) enum Opened {
    Sqlite { path: PathBuf, durability: Durability },
    Postgres(postgres::Address),
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Database")
            .field("service", &self.inner.service)
            .finish_non_exhaustive()
    }
}

impl Opened {
    fn new(location: &Location, service: &'static str) -> Result<Self, OpenError> {
        match location {
            Location::Folder { folder, durability } => {
                std::fs::create_dir_all(folder)
                    .map_err(|source| OpenError::Folder { folder: folder.clone(), source })?;
                Ok(Self::Sqlite { path: sqlite::path_of(folder, service), durability: *durability })
            }
            Location::Postgres { url, trust, schema_prefix } => {
                let server = Server::read(url, format!("chefcito-{service}"), trust)
                    .map_err(|source| OpenError::Url { source })?;
                Ok(Self::Postgres(postgres::Address {
                    server,
                    schema: format!("{schema_prefix}{service}"),
                }))
            }
        }
    }

    fn writer(&self) -> Result<Connection, StoreError> {
        match self {
            Self::Sqlite { path, durability } => {
                sqlite::Sqlite::open_writer(path, *durability).map(Connection::Sqlite)
            }
            Self::Postgres(address) => {
                postgres::Postgres::new(address.clone()).map(Connection::Postgres)
            }
        }
    }

    pub(crate) fn reader(&self) -> Result<Connection, StoreError> {
        match self {
            Self::Sqlite { path, .. } => sqlite::Sqlite::open_reader(path).map(Connection::Sqlite),
            Self::Postgres(address) => {
                postgres::Postgres::new(address.clone()).map(Connection::Postgres)
            }
        }
    }
}

impl Database {
    /// Opens the database of a service, brings its tables up to date and starts its writer. `hook` takes part in
    /// each of its transactions. `execution` says where the writer and the questions run.
    ///
    /// # Errors
    /// [`OpenError`] if it can't be reached, migrated or written.
    pub async fn open(
        service: &'static str,
        location: &Location,
        migrations: &[Migrations],
        clock: Clock,
        hook: Arc<dyn CommitHook>,
        execution: Execution,
    ) -> Result<Self, OpenError> {
        let location = Opened::new(location, service)?;
        let queue = Arc::new(Queue::default());
        let health = Arc::new(Health::default());
        let opened = location.clone();
        let sets = [&[migrations::STORE], migrations].concat();
        let open_and_migrate = move || {
            let mut connection = opened.writer()?;
            let is_earlier = match &mut connection {
                Connection::Sqlite(sqlite) => sqlite.is_earlier()?,
                Connection::Postgres(postgres) => postgres.is_earlier()?,
            };
            if is_earlier {
                return Ok(None);
            }
            match &mut connection {
                Connection::Sqlite(sqlite) => sqlite.migrate(&sets)?,
                Connection::Postgres(postgres) => postgres.migrate(&sets)?,
            }
            Ok(Some(connection))
        };
        let connection = execution
            .blocking(service, open_and_migrate)
            .await
            .map_err(|source| OpenError::Store { service, source })?
            .ok_or(OpenError::EarlierVersion { service })?;
        let writer = Writer {
            connection,
            queue: Arc::clone(&queue),
            service,
            clock: clock.clone(),
            hook,
            health: Arc::clone(&health),
            execution: execution.clone(),
        };
        let readers = |connections_max| {
            let (location, health) = (location.clone(), Arc::clone(&health));
            let execution = execution.clone();
            Readers::new(location, service, clock.clone(), health, execution, connections_max)
        };
        let (status_reader, checker) = (readers(1), readers(1));
        let readers = readers(READERS_MAX);
        let writer =
            execution.start(writer).map_err(|source| OpenError::Thread { service, source })?;
        Ok(Self {
            inner: Arc::new(Inner {
                service,
                clock,
                location,
                queue,
                writer: Mutex::new(Some(writer)),
                writes: Arc::new(Semaphore::new(WRITES_WAITING_MAX)),
                readers,
                status_reader,
                checker,
                health,
            }),
        })
    }

    /// Returns whose database it is.
    #[must_use]
    pub fn service(&self) -> &'static str {
        self.inner.service
    }

    /// Returns the engine: `sqlite` or `postgresql`.
    #[must_use]
    pub fn engine(&self) -> &'static str {
        match self.inner.location {
            Opened::Sqlite { .. } => "sqlite",
            Opened::Postgres(_) => "postgresql",
        }
    }

    /// Returns the clock by which transactions are timed.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Returns how much work waits for the writer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.inner.queue.waiting()
    }

    /// Returns how many rows wait in the batch queues; [`WAITING_ROWS_MAX`](crate::WAITING_ROWS_MAX) in each at most.
    #[must_use]
    pub fn waiting_rows(&self) -> usize {
        self.inner.queue.waiting_rows()
    }

    /// Returns what is wrong with the storage, as far as it is known: damage, or a writer that has ended, until the service is
    /// started again; a full disk until something is saved.
    #[must_use]
    pub fn trouble(&self) -> Option<StoreError> {
        self.inner.health.trouble()
    }

    /// Asks a question in a transaction of its own that can't write and sees one moment. If the connection dies before it
    /// answers, the question is asked once more on a new one. If the future is dropped, the query is cancelled.
    ///
    /// # Errors
    /// [`StoreError::Busy`], at once, if [`READS_WAITING_MAX`](crate::READS_WAITING_MAX) reads wait already; else another [`StoreError`] if the
    /// question was refused or the database failed.
    pub async fn read<T: Send + 'static>(
        &self,
        question: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.readers.read(question).await
    }

    /// Asks as [`Database::read`] does a question that reads up to [`LOOK_UP_ROWS_MAX`](crate::LOOK_UP_ROWS_MAX) rows by their
    /// keys. SQLite answers it on the calling thread: to hand it to another thread takes longer than the answer.
    ///
    /// # Errors
    /// As [`Database::read`].
    pub async fn look_up<T: Send + 'static>(
        &self,
        question: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.readers.look_up(question).await
    }

    /// Asks as [`Database::read`] does, with a reader that only questions about the service itself have: they are answered
    /// however many guests ask at the same time.
    ///
    /// # Errors
    /// As [`Database::read`].
    pub async fn read_status<T: Send + 'static>(
        &self,
        question: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.status_reader.read(question).await
    }

    /// Changes something, in a transaction that it may share with other work. The change may be done again after a
    /// roll-back, so it must depend on nothing but what it is given and the database.
    ///
    /// # Errors
    /// [`StoreError::Busy`], at once, if [`WRITES_WAITING_MAX`] changes wait already; another [`StoreError`] if nothing was
    /// saved; [`StoreError::Unknown`] if that can't be known.
    pub async fn write<T: Send + 'static>(
        &self,
        change: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.inner.writes).try_acquire_owned().map_err(|_| {
            self.inner.queue.refused();
            StoreError::Busy { waiting: WRITES_WAITING_MAX }
        })?;
        self.change(Some(permit), change).await
    }

    /// Changes something as [`Database::write`] does, in a transaction that it shares with nothing: so it waits for the
    /// locks of others while it holds only its own, which can't end in a deadlock with other work. It is never refused: each of the
    /// few workers that do this waits for the end of one change before the next.
    ///
    /// # Errors
    /// As [`Database::write`], but never because there is too much to do.
    pub async fn write_exclusive<T: Send + 'static>(
        &self,
        change: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        self.change(None, change).await
    }

    /// Puts a change before the writer, with its permit, which the batch keeps until it is done: a caller that goes frees
    /// nothing early. Without a permit the change is alone in its transaction.
    async fn change<T: Send + 'static>(
        &self,
        permit: Option<OwnedSemaphorePermit>,
        change: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let is_exclusive = permit.is_none();
        let command = move |tx: &mut Tx<'_>, _: &[Option<OwnedSemaphorePermit>]| {
            change(tx).map(|answer| vec![answer])
        };
        let mut batch = Batch::new(Arc::new(command), vec![(permit, reply)]);
        batch.is_exclusive = is_exclusive;
        self.push(Box::new(batch));
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Makes a queue of pieces of one kind. The pieces that wait when the writer runs are one batch, of
    /// [`BATCH_MAX`](crate::BATCH_MAX) at most, in one transaction. `command` answers each piece, in order. A piece counts as one row.
    pub fn batch_queue<P: Send + 'static, A: Send + 'static>(
        &self,
        command: impl Fn(&mut Tx<'_>, &[P]) -> Result<Vec<A>, StoreError> + Send + Sync + 'static,
    ) -> BatchQueue<P, A> {
        self.weighed_batch_queue(|_| 1, command)
    }

    /// Makes a queue as [`Database::batch_queue`] does, for pieces that differ in how many rows they have: a batch has
    /// [`BATCH_ROWS_MAX`](crate::BATCH_ROWS_MAX) at the most, and a heavier piece is refused.
    pub fn weighed_batch_queue<P: Send + 'static, A: Send + 'static>(
        &self,
        weigh: impl Fn(&P) -> usize + Send + Sync + 'static,
        command: impl Fn(&mut Tx<'_>, &[P]) -> Result<Vec<A>, StoreError> + Send + Sync + 'static,
    ) -> BatchQueue<P, A> {
        let queue = Arc::clone(&self.inner.queue);
        BatchQueue { queue: PendingPieces::new(queue, Arc::new(command), Box::new(weigh)) }
    }

    /// Puts work before the writer.
    pub fn push(&self, work: Box<dyn Work>) {
        self.inner.queue.push(work, None);
    }

    /// Puts work before the writer that may wait until a moment for other work: it shares a transaction with what is pushed
    /// before that.
    pub fn push_later(&self, work: Box<dyn Work>, until: Instant) {
        self.inner.queue.push(work, Some(until));
    }

    /// Ends the wait of what [`Database::push_later`] put before the writer.
    pub fn hurry(&self) {
        self.inner.queue.hurry();
    }

    /// Lets what waits be done, and closes the database.
    pub async fn close(&self) {
        self.inner.queue.close();
        let writer = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            writer.ended().await;
        }
        for readers in [&self.inner.readers, &self.inner.status_reader, &self.inner.checker] {
            readers.close();
        }
    }

    /// Returns what the storage says is wrong with itself; nothing if it has no check of its own. What it says is known to
    /// [`Database::trouble`] from then on.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be asked.
    pub async fn check_storage(&self) -> Result<Vec<String>, StoreError> {
        let checked = self.inner.checker.read(|tx| match &*tx.connection {
            Connection::Sqlite(sqlite) => sqlite::check(sqlite),
            Connection::Postgres(_) => Ok(Vec::new()),
        });
        let checked = checked.await;
        // It reads everything, once in a while: its cache is not kept for the next time.
        self.inner.checker.close();
        let problems = match checked {
            Err(StoreError::Damaged(why)) => vec![why.to_string()],
            checked => checked?,
        };
        if let Some(first) = problems.first() {
            self.inner.health.note(&StoreError::Damaged(first.as_str().into()));
        }
        Ok(problems)
    }

    /// Checks the storage when a service starts, if it is a file that is not too large for that.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be asked.
    pub async fn check_at_start(&self) -> Result<(), StoreError> {
        let Opened::Sqlite { path, .. } = &self.inner.location else { return Ok(()) };
        let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
        if bytes <= CHECKED_AT_START_BYTES_MAX {
            self.check_storage().await?;
        }
        Ok(())
    }

    /// Looks whether the storage is there, and, after trouble, whether something can be saved again.
    ///
    /// # Errors
    /// [`StoreError`] if it is not, or nothing can.
    pub async fn probe(&self) -> Result<(), StoreError> {
        const SAVE: &str =
            "INSERT INTO timers (kind, subject, due_at) VALUES ('store.probe', '', 0)
             ON CONFLICT (kind, subject) DO NOTHING";
        const FORGET: &str = "DELETE FROM timers WHERE kind = 'store.probe'";
        self.read_status(|_| Ok(())).await?;
        match self.trouble() {
            Some(StoreError::Full(_) | StoreError::Io(_)) => self
                .write(|tx| tx.execute(SAVE, &[]).and_then(|_| tx.execute(FORGET, &[])))
                .await
                .map(|_| ()),
            _ => Ok(()),
        }
    }
}

/// A queue of pieces of one kind; see [`Database::batch_queue`]. Clones are the same queue.
pub struct BatchQueue<P, A> {
    queue: Arc<PendingPieces<P, A>>,
}

impl<P, A> Clone for BatchQueue<P, A> {
    fn clone(&self) -> Self {
        Self { queue: Arc::clone(&self.queue) }
    }
}

impl<P, A> fmt::Debug for BatchQueue<P, A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("BatchQueue").finish_non_exhaustive()
    }
}

impl<P: Send + 'static, A: Send + 'static> BatchQueue<P, A> {
    /// Hands a piece in and waits until it is saved.
    ///
    /// # Errors
    /// [`StoreError::Busy`], at once, if [`WAITING_MAX`](crate::WAITING_MAX) pieces or [`WAITING_ROWS_MAX`](crate::WAITING_ROWS_MAX) rows wait already;
    /// [`StoreError::Rejected`] if it has more than [`BATCH_ROWS_MAX`](crate::BATCH_ROWS_MAX) rows; else as [`Database::write`].
    pub async fn submit(&self, piece: P) -> Result<A, StoreError> {
        self.queue.submit(piece)?.await.unwrap_or(Err(StoreError::Closed))
    }
}
