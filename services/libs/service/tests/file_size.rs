//! A limit on the size of files, which is the whole process's: so this test has one of its own.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use contracts::services::ORDERS;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use service::ServiceContext;
use store::{Clock, Durability, Location, Migrations, StoreError, Tx, params};
use tower::ServiceExt as _;

const NOTEBOOK: Migrations = Migrations {
    owner: "notebook",
    steps: &[(1, "notes", "CREATE TABLE notes (seq {serial}, text TEXT NOT NULL);")],
};

fn note_many(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    const NOTE: &str = "INSERT INTO notes (text) VALUES (?1)";
    (0..1_000).try_for_each(|_| tx.execute(NOTE, &params!["x".repeat(1_000)]).map(|_| ()))
}

#[tokio::test]
async fn a_file_that_may_not_grow_is_an_error_and_the_process_lives() {
    let folder = tempfile::tempdir().unwrap();
    let location =
        Location::Folder { folder: folder.path().to_owned(), durability: Durability::Process };
    let context = ServiceContext::new(location, events::in_process(), Clock::System);
    let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
    let ready = async || {
        let request = Request::get("/ready").body(Body::empty()).unwrap();
        service.router().oneshot(request).await.unwrap().status()
    };
    service.database().write(note_many).await.unwrap();

    let limit = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(512 * 1024), ..limit }).unwrap();
    let refused = service.database().write(note_many).await;
    assert!(matches!(refused, Err(StoreError::Io(_) | StoreError::Full(_))), "{refused:?}");
    assert_eq!(ready().await, StatusCode::SERVICE_UNAVAILABLE);

    setrlimit(Resource::Fsize, limit).unwrap();
    service.database().write(note_many).await.unwrap();
    assert_eq!(ready().await, StatusCode::OK);
    context.close().await;
}
