//! The database itself: opens it, and hands work to its writer and questions to its readers.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use tokio::sync::{Semaphore, oneshot};

use crate::{
    Access, Clock, CommitHook, Connection, Migrations, Server, StoreError, Tx,
    batch::{Batch, PendingPieces},
    migrations, postgres, sqlite,
    tls::Trust,
    writer::{Queue, Work, Writer},
};

/// How many questions are asked at once.
const READERS_MAX: usize = 4;

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
    inner: Arc<Inner>,
}

struct Inner {
    service: &'static str,
    clock: Clock,
    location: Opened,
    queue: Arc<Queue>,
    writer: Mutex<Option<JoinHandle<()>>>,
    readers: Mutex<Vec<Connection>>,
    turns: Semaphore,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one exists a service")]
enum Opened {
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

    fn reader(&self) -> Result<Connection, StoreError> {
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
    /// each of its transactions.
    ///
    /// # Errors
    /// [`OpenError`] if it can't be reached, migrated or written.
    pub async fn open(
        service: &'static str,
        location: &Location,
        migrations: &[Migrations],
        clock: Clock,
        hook: Arc<dyn CommitHook>,
    ) -> Result<Self, OpenError> {
        let location = Opened::new(location, service)?;
        let queue = Arc::new(Queue::default());
        let opened = location.clone();
        let sets = [&[migrations::STORE], migrations].concat();
        let connection = blocking(move || {
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
        })
        .await
        .map_err(|source| OpenError::Store { service, source })?
        .ok_or(OpenError::EarlierVersion { service })?;
        let writer =
            Writer { connection, queue: Arc::clone(&queue), service, clock: clock.clone(), hook };
        let thread = std::thread::Builder::new()
            .name(format!("{service}-writer"))
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Thread { service, source })?;
        Ok(Self {
            inner: Arc::new(Inner {
                service,
                clock,
                location,
                queue,
                writer: Mutex::new(Some(thread)),
                readers: Mutex::new(Vec::new()),
                turns: Semaphore::new(READERS_MAX),
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

    /// Asks a question in a transaction of its own that can't write and sees one moment.
    ///
    /// # Errors
    /// [`StoreError`] if the question was refused or the database failed.
    pub async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = self.inner.turns.acquire().await.map_err(|_| StoreError::Closed)?;
        let inner = Arc::clone(&self.inner);
        let answer = blocking(move || {
            let idle = inner.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = match idle {
                Some(connection) => connection,
                None => inner.location.reader()?,
            };
            connection.ready()?;
            connection.begin(Access::Read)?;
            let answer = question(&mut Tx::new(&mut connection, inner.service, &inner.clock));
            connection.roll_back();
            inner.readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            answer
        })
        .await;
        drop(turn);
        answer
    }

    /// Changes something, in a transaction that it may share with other work. The change may be done again after a
    /// roll-back, so it must depend on nothing but what it is given and the database.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was saved; [`StoreError::Unknown`] if that can't be known.
    pub async fn write<T: Send + 'static>(
        &self,
        change: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        self.change(false, change).await
    }

    /// Changes something as [`Database::write`] does, in a transaction that it shares with nothing: so it waits for the
    /// locks of others without having any but its own, and nobody waits for it in a circle.
    pub async fn write_exclusive<T: Send + 'static>(
        &self,
        change: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        self.change(true, change).await
    }

    async fn change<T: Send + 'static>(
        &self,
        is_exclusive: bool,
        change: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let command = move |tx: &mut Tx<'_>, _: &[()]| change(tx).map(|answer| vec![answer]);
        let mut batch = Batch::new(Arc::new(command), vec![((), reply)]);
        batch.is_exclusive = is_exclusive;
        self.push(Box::new(batch));
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Opens a form at the door: whoever submits waits, and what waits when the writer turns is one batch (of
    /// [`BATCH_MAX`] at the most) and one transaction. `command` answers each piece, in order.
    pub fn batch_queue<P: Send + 'static, A: Send + 'static>(
        &self,
        command: impl Fn(&mut Tx<'_>, &[P]) -> Result<Vec<A>, StoreError> + Send + Sync + 'static,
    ) -> BatchQueue<P, A> {
        BatchQueue { queue: PendingPieces::new(Arc::clone(&self.inner.queue), Arc::new(command)) }
    }

    /// Puts work before the writer.
    pub fn push(&self, work: Box<dyn Work>) {
        self.inner.queue.push(work);
    }

    /// Lets what waits be done, and closes the database.
    pub async fn close(&self) {
        self.inner.queue.close();
        let thread = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // The thread ends when the queue is empty. It does not panic: work that does is caught.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        self.inner.readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Returns what the storage says is wrong with itself; nothing if it has no check of its own.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be asked.
    pub async fn check_storage(&self) -> Result<Vec<String>, StoreError> {
        self.read(|tx| match &*tx.connection {
            Connection::Sqlite(sqlite) => sqlite::check(sqlite),
            Connection::Postgres(_) => Ok(Vec::new()),
        })
        .await
    }
}

/// A place where pieces of one kind are handed in; see [`Database::batch_queue`]. Clones are the same form.
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
    /// [`StoreError::Busy`], at once, if [`WAITING_MAX`] wait already; else as [`Database::write`].
    pub async fn submit(&self, piece: P) -> Result<A, StoreError> {
        self.queue.submit(piece)?.await.unwrap_or(Err(StoreError::Closed))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) if error.is_panic() => Err(StoreError::rejected("the question panicked")),
        Err(_) => Err(StoreError::Closed),
    }
}
