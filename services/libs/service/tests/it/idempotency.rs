//! Requests that are sent again: changed once, answered alike.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use axum::{
    body::{Body, to_bytes},
    extract::FromRequest as _,
    http::{Request, StatusCode},
    response::IntoResponse as _,
};
use contracts::{Timestamp, services::ORDERS};
use events::retention::RETENTION;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use service::idempotency::{IdempotentQueue, Keyed, REMOVED_AT_ONCE_MAX, REPLAYED};
use service::{Pace, Service, ServiceContext, problem::Problem};
use store::{Clock, Location, StoreError, Tx, params};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::stage::{NOTEBOOK, TestStore};

const RAISE: &str =
    "UPDATE totals SET value = value + CAST(?1 AS BIGINT) WHERE name = 'all' RETURNING value";
const TOTAL: &str = "SELECT value FROM totals WHERE name = 'all'";

/// Raises the total; a negative step is refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    by: i64,
}

#[derive(Debug, Serialize)]
struct Total {
    value: Option<i64>,
}

type Steps = IdempotentQueue<Step, Total, Problem>;
/// Status, whether it is said to be a repeat, and body.
type Told = (u16, bool, String);

fn raise(tx: &mut Tx<'_>, steps: &[&Step]) -> Result<Vec<Result<Total, Problem>>, StoreError> {
    let raise = |step: &&Step| {
        if step.by < 0 {
            return Ok(Err(Problem::conflict("too-low", "That is too low", "Raise it.")));
        }
        let value = tx.query_one(RAISE, &params![step.by], |row| row.get(0))?;
        Ok(Ok(Total { value }))
    };
    steps.iter().map(raise).collect()
}

fn steps(service: &Service, operation: &'static str) -> Steps {
    IdempotentQueue::new(service.database(), operation, StatusCode::CREATED, |_| 1, raise)
}

async fn send(form: &Steps, caller: &str, key: &str, body: &str) -> Told {
    let request = Request::post("/steps")
        .header("x-chefcito-key", caller)
        .header("idempotency-key", key)
        .body(Body::from(body.to_owned()))
        .unwrap();
    let answer = match Keyed::from_request(request, &()).await {
        Ok(request) => form.submit(request).await,
        Err(problem) => Err(problem),
    };
    let response = answer.map_or_else(Problem::into_response, |answer| answer.into_response());
    let (status, is_repeat) =
        (response.status().as_u16(), response.headers().contains_key(REPLAYED));
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, is_repeat, String::from_utf8(body.to_vec()).unwrap())
}

async fn total(service: &Service) -> Option<i64> {
    service.database().read(|tx| tx.query_one(TOTAL, &[], |row| row.get(0))).await.unwrap()
}

fn told(status: u16, is_repeat: bool, body: &str) -> Told {
    (status, is_repeat, body.to_owned())
}

#[tokio::test]
async fn a_repeat_changes_nothing_and_gets_the_first_response_also_after_a_restart() {
    for ground in TestStore::all() {
        for is_restarted in [false, true] {
            let context = ground.context(events::in_process());
            let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
            let form = steps(&service, "raise");
            let first = told(201, is_restarted, r#"{"value":5}"#);
            assert_eq!(send(&form, "alice", "k", r#"{"by":5}"#).await, first);
            let again = told(201, true, r#"{"value":5}"#);
            assert_eq!(send(&form, "alice", "k", r#"{"by":5}"#).await, again);
            assert_eq!(total(&service).await, Some(5));
            context.close().await;
        }
    }
}

#[tokio::test]
async fn caller_key_and_operation_tell_requests_apart() {
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let (raise, lift) = (steps(&service, "raise"), steps(&service, "lift"));
        for (form, caller, key) in [
            (&raise, "a", "b"),
            (&lift, "a", "b"),
            (&raise, "b", "a"),
            (&raise, "a", "bb"),
            (&raise, "ab", "b"),
        ] {
            let (status, is_repeat, _) = send(form, caller, key, r#"{"by":1}"#).await;
            assert_eq!((status, is_repeat), (201, false), "{caller} {key}");
        }
        assert_eq!(total(&service).await, Some(5));
        for other in [r#"{"by":2}"#, r#"{"by":-1}"#, r#"{"bye":1}"#, "by"] {
            let (status, _, body) = send(&raise, "a", "b", other).await;
            assert_eq!(status, 422, "{other}");
            assert!(body.contains("/problems/key-reused"), "{body}");
        }
        assert_eq!(total(&service).await, Some(5));
        context.close().await;
    }
}

#[tokio::test]
async fn in_one_batch_a_key_is_new_once_unless_its_first_request_is_refused() {
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let form = steps(&service, "raise");
        let (release, released) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let released = std::sync::Mutex::new(released);
        let database = service.database().clone();
        let busy = tokio::spawn(async move {
            database
                .write(move |_| {
                    begun.send(()).unwrap();
                    released.lock().unwrap().recv().unwrap();
                    Ok(())
                })
                .await
        });
        tokio::task::spawn_blocking(move || begins.recv().unwrap()).await.unwrap();
        let sent = [
            ("k", r#"{"by":-1}"#),
            ("k", r#"{"by":-1}"#),
            ("k", r#"{"by":3}"#),
            ("k", r#"{"by":3}"#),
            ("k", r#"{"by":4}"#),
            ("j", r#"{"by":10}"#),
        ];
        let answers = sent.map(|(key, body)| send(&form, "alice", key, body));
        let answers = async {
            let answers = join_all(answers);
            tokio::pin!(answers);
            // Polled once, all of them wait for the writer.
            assert!(futures_util::poll!(&mut answers).is_pending());
            release.send(()).unwrap();
            answers.await
        };
        let answers: Vec<(u16, bool)> =
            answers.await.into_iter().map(|(status, is_repeat, _)| (status, is_repeat)).collect();
        busy.await.unwrap().unwrap();
        let expected =
            [(409, false), (409, false), (201, false), (201, true), (422, false), (201, false)];
        assert_eq!(answers, expected);
        assert_eq!(total(&service).await, Some(13));
        context.close().await;
    }
}

#[tokio::test]
async fn two_replicas_that_are_sent_the_same_key_at_once_change_something_once() {
    let Some(ground) = test_support::postgres().map(TestStore::Postgres) else { return };
    let floors = [ground.context(events::in_process()), ground.context(events::in_process())];
    let first = floors[0].open(ORDERS, NOTEBOOK).await.unwrap();
    let second = floors[1].open(ORDERS, NOTEBOOK).await.unwrap();
    let forms = [steps(&first, "raise"), steps(&second, "raise")];
    for round in 0..20 {
        let key = format!("k{round}");
        let answers = (0..16).map(|guest| send(&forms[guest % 2], "alice", &key, r#"{"by":1}"#));
        let answers = join_all(answers).await;
        let body = format!(r#"{{"value":{}}}"#, round + 1);
        assert!(answers.iter().all(|answer| answer.0 == 201 && answer.2 == body), "{answers:?}");
        assert_eq!(answers.iter().filter(|(_, is_repeat, _)| !is_repeat).count(), 1);
    }
    for context in floors {
        context.close().await;
    }
}

/// The key of the request whose answer is lost.
const LOST: &str = "the-answer-is-lost";

#[tokio::test]
async fn a_repeat_finds_what_was_saved_by_a_commit_whose_answer_was_lost() {
    let Some(ground) = test_support::postgres().map(TestStore::Postgres) else { return };
    let Location::Postgres { url, trust, schema_prefix } = ground.location() else { return };
    let (before, rest) = url.rsplit_once('@').unwrap();
    let (server, path) = rest.split_once('/').unwrap();
    let address = lossy_way_to(server.to_owned()).await;
    let url = format!("{before}@{address}/{path}");
    let context = ServiceContext::new(
        Location::Postgres { url, trust, schema_prefix },
        events::in_process(),
        Clock::System,
    );
    let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
    let form = steps(&service, "raise");
    assert_eq!(send(&form, "alice", "before", r#"{"by":1}"#).await.0, 201);
    let (status, _, body) = send(&form, "alice", LOST, r#"{"by":1}"#).await;
    assert_eq!(status, 503);
    assert!(body.contains("Repeat the request with its Idempotency-Key"), "{body}");
    let again = send(&form, "alice", LOST, r#"{"by":1}"#).await;
    assert_eq!(again, told(201, true, r#"{"value":2}"#));
    context.close().await;
}

/// Listens before a PostgreSQL server. It passes on the COMMIT of the first transaction that has the key [`LOST`], and hangs up
/// instead of passing back the answer.
async fn lossy_way_to(server: String) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let loses = Arc::new(AtomicBool::new(true));
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (server, loses) = (server.clone(), Arc::clone(&loses));
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await.unwrap();
                let (mut asked, mut told) = ([0; 16 * 1024], [0; 16 * 1024]);
                let (mut has_key, mut hangs_up) = (false, false);
                loop {
                    tokio::select! {
                        read = client.read(&mut asked) => {
                            let Ok(read @ 1..) = read else { return };
                            let has = |word: &str| asked[..read].windows(word.len()).any(|it| it == word.as_bytes());
                            has_key |= has(LOST);
                            hangs_up |= has_key && has("COMMIT") && loses.swap(false, Ordering::SeqCst);
                            server.write_all(&asked[..read]).await.unwrap();
                        }
                        read = server.read(&mut told) => {
                            let Ok(read @ 1..) = read else { return };
                            if hangs_up {
                                return;
                            }
                            client.write_all(&told[..read]).await.unwrap();
                        }
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn responses_are_kept_for_the_retention_and_then_removed_in_batches() {
    for ground in TestStore::all() {
        let clock = Clock::fixed(Timestamp::now());
        let context = ServiceContext::new(ground.location(), events::in_process(), clock.clone());
        let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let form = steps(&service, "raise");
        let old: i64 = REMOVED_AT_ONCE_MAX + 5;
        join_all((0..old).map(|key| {
            let form = &form;
            async move { send(form, "alice", &key.to_string(), r#"{"by":1}"#).await }
        }))
        .await;
        clock.advance(RETENTION);
        send(&form, "alice", "young", r#"{"by":1}"#).await;
        assert_eq!(service.remove_old_events().await.unwrap(), Pace::Idle);
        assert!(send(&form, "alice", "0", r#"{"by":1}"#).await.1, "kept until the time is over");
        clock.advance(Duration::from_secs(1));
        assert_eq!(service.remove_old_events().await.unwrap(), Pace::Again);
        assert_eq!(service.remove_old_events().await.unwrap(), Pace::Idle);
        assert!(send(&form, "alice", "young", r#"{"by":1}"#).await.1);
        assert!(!send(&form, "alice", "0", r#"{"by":1}"#).await.1);
        assert_eq!(total(&service).await, Some(old + 2));
        context.close().await;
    }
}
