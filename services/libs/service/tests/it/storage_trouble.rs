//! Storage that is damaged, full or gone: the service says so, and acknowledges nothing that it can't keep.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    path::Path,
};

use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use contracts::services::ORDERS;
use service::{Service, ServiceContext};
use store::{Clock, Durability, Location, StoreError, Tx, chain, params};
use tower::ServiceExt as _;

use crate::stage::{NOTEBOOK, eventually};

const PAGE_BYTES: u64 = 4_096;
const NOTE: &str = "INSERT INTO notes (subject, event) VALUES (?1, ?2)";

fn context_in(folder: &Path) -> ServiceContext {
    let location = Location::Folder { folder: folder.to_owned(), durability: Durability::Process };
    ServiceContext::new(location, events::in_process(), Clock::System)
}

async fn ask(service: &Service, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = service.router().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 64 * 1024).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Asks for the readiness, and for the status, which gives the reason; returns the first's status and the second's body.
async fn readiness(service: &Service) -> (StatusCode, String) {
    let (ready, _) = ask(service, "/ready").await;
    (ready, ask(service, "/internal/status").await.1)
}

async fn eventually_unready(service: &Service, why: &str) {
    eventually(why, || async {
        let (status, said) = readiness(service).await;
        status == StatusCode::SERVICE_UNAVAILABLE && said.contains(why)
    })
    .await;
}

fn note_many(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    (0..2_000).try_for_each(|at: i64| {
        tx.execute(NOTE, &params![format!("subject {at}"), "x".repeat(100)]).map(|_| ())
    })
}

#[tokio::test]
async fn a_service_with_a_damaged_table_is_not_ready_and_its_storage_check_fails() {
    const TABLES: &str =
        "SELECT name, rootpage FROM sqlite_master WHERE rootpage > 0 ORDER BY rootpage";
    let folder = tempfile::tempdir().unwrap();
    let context = context_in(folder.path());
    let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
    service.database().write(note_many).await.unwrap();
    let read = |row: &store::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let tables: Vec<(String, i64)> =
        service.database().read(move |tx| tx.query(TABLES, &[], read)).await.unwrap();
    context.close().await;

    assert!(tables.len() > 10, "{tables:?}");
    for (table, page) in tables {
        let copied = tempfile::tempdir().unwrap();
        let file = copied.path().join("orders.sqlite");
        fs::copy(folder.path().join("orders.sqlite"), &file).unwrap();
        let at = u64::try_from(page - 1).unwrap() * PAGE_BYTES;
        let file = OpenOptions::new().write(true).open(file).unwrap();
        file.write_all_at(&[0xA5; PAGE_BYTES as usize], at).unwrap();

        let context = context_in(copied.path());
        match context.open(ORDERS, NOTEBOOK).await {
            Ok(service) => {
                eventually_unready(&service, "storage is damaged: ").await;
                let problems = service.database().check_storage().await.unwrap();
                assert!(!problems.is_empty(), "`{table}` is damaged, and the check passes");
            }
            Err(error) => {
                let said = chain(&error);
                assert!(said.contains("storage is damaged: "), "`{table}`: {said}");
            }
        }
        context.close().await;
    }
}

#[tokio::test]
async fn a_service_is_not_ready_while_its_disk_is_full_and_ready_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let context = context_in(folder.path());
    let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
    let database = service.database();
    let limit = async |sql: &'static str| {
        let limited = database.write(move |tx| tx.query(sql, &[], |row| row.get::<i64>(0)));
        limited.await.unwrap();
    };
    limit("PRAGMA max_page_count = 1").await;
    let refused = database.write(note_many).await.unwrap_err();
    assert!(refused.to_string().starts_with("the disk is full"), "{refused}");
    eventually("it says that the disk is full", || async {
        let _ = database.write(note_many).await;
        let (status, said) = readiness(&service).await;
        status == StatusCode::SERVICE_UNAVAILABLE && said.contains("the disk is full")
    })
    .await;
    limit("PRAGMA max_page_count = 1000000").await;
    database.write(note_many).await.unwrap();
    assert_eq!(readiness(&service).await.0, StatusCode::OK);
    context.close().await;
}

#[tokio::test]
async fn a_service_whose_files_were_deleted_acknowledges_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let context = context_in(&state);
    let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
    service.database().write(note_many).await.unwrap();

    fs::remove_dir_all(&state).unwrap();
    let refused = service.database().write(note_many).await;
    assert!(matches!(&refused, Err(why) if why.to_string().contains("was deleted")), "{refused:?}");
    eventually_unready(&service, "was deleted").await;

    // A folder of the same name that somebody makes is not the one that the service has open.
    fs::create_dir(&state).unwrap();
    let other = context_in(&state);
    other.open(ORDERS, NOTEBOOK).await.unwrap();
    let refused = service.database().write(note_many).await;
    assert!(matches!(&refused, Err(why) if why.to_string().contains("replaced")), "{refused:?}");
    other.close().await;
    context.close().await;
}
