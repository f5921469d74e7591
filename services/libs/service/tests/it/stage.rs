//! Where the promises are tried: a context on each engine, a service that counts, a state to wait for.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use contracts::{
    OrderId,
    events::{CancellationRequested, Envelope},
};
use events::{Announce as _, Bus, Faults};
use redis_bus::Settings;
use service::ServiceContext;
use store::{Clock, Database, Durability, Location, Migrations, StoreError, Tx, params};
use tempfile::TempDir;
use test_support::{TestDatabase, TestRedis, postgres, redis};

/// How long anything may take to come about, on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(30);

pub(crate) const NOTEBOOK: Migrations = Migrations {
    owner: "notebook",
    steps: &[(
        1,
        "notes",
        "CREATE TABLE notes (seq {serial}, subject TEXT NOT NULL, event TEXT NOT NULL);
         CREATE TABLE totals (name TEXT NOT NULL PRIMARY KEY, value BIGINT NOT NULL CHECK (value >= 0));
         INSERT INTO totals (name, value) VALUES ('all', 0);",
    )],
};

/// Data of one test, which goes with it.
pub(crate) enum TestStore {
    Sqlite(TempDir),
    Postgres(TestDatabase),
}

impl TestStore {
    /// Returns a ground on each engine that is there.
    pub(crate) fn all() -> Vec<Self> {
        let sqlite = Self::Sqlite(tempfile::tempdir().unwrap());
        std::iter::once(sqlite).chain(postgres().map(Self::Postgres)).collect()
    }

    pub(crate) fn location(&self) -> Location {
        match self {
            Self::Sqlite(folder) => Location::Folder {
                folder: folder.path().to_owned(),
                durability: Durability::Process,
            },
            Self::Postgres(database) => database.location(),
        }
    }

    pub(crate) fn context(&self, bus: Arc<dyn Bus>) -> ServiceContext {
        ServiceContext::new(self.location(), bus, Clock::System)
    }
}

/// A bus that processes meet at.
pub(crate) enum Line {
    InProcess(Faults),
    Redis(TestRedis),
}

impl Line {
    /// Returns every bus, and those that can at their worst.
    pub(crate) fn all() -> Vec<Self> {
        let in_process = [
            Faults::default(),
            Faults { twice: true, shuffle: None },
            Faults { twice: true, shuffle: Some(73) },
        ];
        in_process.map(Self::InProcess).into_iter().chain(redis().map(Self::Redis)).collect()
    }

    /// Returns the bus of one process.
    pub(crate) fn bus(&self) -> Arc<dyn Bus> {
        match self {
            Self::InProcess(faults) => events::in_process_with(*faults),
            Self::Redis(redis) => redis_bus::open(Settings::new(redis.url())).unwrap(),
        }
    }
}

/// Waits until a question is answered with yes.
pub(crate) async fn eventually<F: Future<Output = bool>>(
    what: &str,
    mut question: impl FnMut() -> F,
) {
    let started = Instant::now();
    while !question().await {
        assert!(started.elapsed() < WAIT_MAX, "not within {WAIT_MAX:?}: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Writes a line into the notebook for each event.
pub(crate) fn note_events(
    tx: &mut Tx<'_>,
    _: &str,
    events: &[Arc<Envelope>],
) -> Result<(), StoreError> {
    const NOTE: &str = "INSERT INTO notes (subject, event) VALUES (?1, ?2)";
    events
        .iter()
        .try_for_each(|event| tx.execute(NOTE, &params![event.subject, event.id]).map(|_| ()))
}

/// Returns the subjects in the notebook, in order.
pub(crate) async fn noted(database: &Database) -> Vec<String> {
    database
        .read(|tx| tx.query("SELECT subject FROM notes ORDER BY seq", &[], |row| row.get(0)))
        .await
        .unwrap()
}

/// Announces that these orders are to be cancelled, which `kitchen` and `board` read.
pub(crate) async fn announce(database: &Database, orders: Vec<OrderId>) -> Result<(), StoreError> {
    database
        .write(move |tx| {
            tx.announce_all(orders.iter().map(|order| CancellationRequested { order: *order }));
            Ok(())
        })
        .await
}

pub(crate) async fn unpublished(database: &Database) -> i64 {
    database.read(events::outbox::count_unpublished).await.unwrap()
}

/// What was told or noted about each subject, in order.
pub(crate) type Stories = BTreeMap<String, Vec<String>>;

async fn stories(database: &Database, sql: &'static str) -> Stories {
    let read = |row: &store::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let lines: Vec<(String, String)> =
        database.read(move |tx| tx.query(sql, &[], read)).await.unwrap();
    let mut stories = Stories::new();
    for (subject, event) in lines {
        stories.entry(subject).or_default().push(event);
    }
    stories
}

/// Returns what a service told, subject by subject.
pub(crate) async fn told(database: &Database) -> Stories {
    stories(database, "SELECT subject, id FROM outbox ORDER BY seq").await
}

/// Returns what a reader has in its notebook, subject by subject.
pub(crate) async fn heard(database: &Database) -> Stories {
    stories(database, "SELECT subject, event FROM notes ORDER BY seq").await
}

/// Makes sure that a reader has acted on everything once, and in order for each subject.
pub(crate) async fn assert_heard(writer: &Database, reader: &Database, who: &str) {
    let (told, heard) = (told(writer).await, heard(reader).await);
    for (subject, told) in &told {
        let heard = heard.get(subject).cloned().unwrap_or_default();
        let places: Vec<Option<usize>> =
            heard.iter().map(|event| told.iter().position(|other| other == event)).collect();
        assert_eq!(&heard, told, "{who} heard of {subject} in this order: {places:?}");
    }
    assert_eq!(told.len(), heard.len(), "{who} heard of other subjects");
}
