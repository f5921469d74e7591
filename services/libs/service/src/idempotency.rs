//! Requests that may be sent again: under one `Idempotency-Key` a caller changes something once, and every repeat of the
//! request gets the first response, byte for byte.
//!
//! The response is saved in the transaction of the change, under the key, the caller and the operation, each a column of
//! its own. So after a commit whose outcome is unknown, the repeat finds either both or neither; and of two replicas that
//! are sent the same key at once, the unique index lets one commit, and the other decides again and finds the response.
//! A refused request changes nothing, so nothing is saved under its key. A service removes saved responses once they are
//! older than its retention.

use std::collections::{HashMap, HashSet};

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use contracts::{Timestamp, api::orders::IDEMPOTENCY_KEY_BYTES_MAX};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    http::{Json, read_body},
    problem::Problem,
};
use store::{BatchQueue, Database, Many, Row, StoreError, Tx, params};

/// The header in which a client names a request.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header in which the gateway names the caller: the id of an API key.
pub const CALLER: HeaderName = HeaderName::from_static("x-chefcito-key");
/// The header of a response that was saved for an earlier request.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// How many saved responses one transaction removes at most: few enough that other work for the writer hardly waits.
pub const REMOVED_AT_ONCE_MAX: i64 = 1_000;

const FIND: Many = Many {
    each: "SELECT key, caller, fingerprint, status, body FROM kept_responses
         WHERE key = ?1 AND caller = ?2 AND operation = ?3",
    all: "SELECT kept.key, kept.caller, kept.fingerprint, kept.status, kept.body FROM kept_responses AS kept
         JOIN UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[]) AS asked (key, caller, operation)
         ON kept.key = asked.key AND kept.caller = asked.caller AND kept.operation = asked.operation",
};
const INSERT: Many = Many {
    each: "INSERT INTO kept_responses (key, caller, operation, fingerprint, status, body, saved_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
    all: "INSERT INTO kept_responses (key, caller, operation, fingerprint, status, body, saved_at)
         SELECT * FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::BIGINT[], $6::TEXT[], $7::BIGINT[])
         ON CONFLICT DO NOTHING",
};
// The oldest by `seq`, and of those the expired ones: a search by time alone would read the whole table.
const REMOVE_SQLITE: &str = "DELETE FROM kept_responses WHERE seq IN (
         SELECT seq FROM (SELECT seq, saved_at FROM kept_responses ORDER BY seq LIMIT ?2) AS oldest
         WHERE saved_at < ?1)";
// SKIP LOCKED: two replicas that remove at once do not wait for each other.
const REMOVE_POSTGRES: &str = "DELETE FROM kept_responses WHERE seq IN (
         SELECT seq FROM (
             SELECT seq, saved_at FROM kept_responses ORDER BY seq LIMIT ?2 FOR UPDATE SKIP LOCKED) AS oldest
         WHERE saved_at < ?1)";

/// Every statement of this file that both engines run, for the test that prepares them.
pub const STATEMENTS: [&str; 1] = [REMOVE_SQLITE];
/// Every statement of this file for many rows.
pub const MANY: [Many; 2] = [FIND, INSERT];

/// The JSON body of a request that may be sent again, and the key under which it was sent, if any.
///
/// A body that can't be read is kept as the reason: whether the key is known is looked up before that counts.
#[derive(Debug)]
pub struct Keyed<T> {
    key: Option<RequestKey>,
    body: Result<T, Problem>,
}

/// What tells a request from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RequestKey {
    name: Name,
    fingerprint: String,
}

/// A key, scoped by its caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name {
    key: String,
    caller: String,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Keyed<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let name = Name::of(request.headers())?;
        let uri = request.uri().clone();
        let body = read_body(request).await?;
        let key = name.map(|name| RequestKey { name, fingerprint: fingerprint(&uri, &body) });
        Ok(Self { key, body: Json::read(&body) })
    }
}

impl<T> Keyed<T> {
    /// Checks what was read, and turns it into the work to do.
    #[must_use]
    pub fn and_then<U>(self, check: impl FnOnce(T) -> Result<U, Problem>) -> Keyed<U> {
        Keyed { key: self.key, body: self.body.and_then(check) }
    }

    /// Returns what was read, for a request that changes nothing and so may be answered anew each time.
    ///
    /// # Errors
    /// The reason, if the body can't be read or was found wanting.
    pub fn without_key(self) -> Result<T, Problem> {
        self.body
    }
}

impl Name {
    fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
        let usable =
            key.to_str().ok().filter(|key| (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()));
        let Some(key) = usable else {
            return Err(Problem::bad_request(format!(
                "The Idempotency-Key should be 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters, such as a UUID."
            )));
        };
        let caller = headers.get(CALLER).and_then(|caller| caller.to_str().ok());
        Ok(Some(Self { key: key.to_owned(), caller: caller.unwrap_or_default().to_owned() }))
    }
}

/// Returns the hash of what was asked: path, query and body. A URI has no line break, so the parts can't be confused.
fn fingerprint(uri: &Uri, body: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(uri.path_and_query().map_or("", |asked| asked.as_str()).as_bytes());
    hasher.update(b"\n");
    hasher.update(body);
    hasher.finalize().to_hex().as_str().to_owned()
}

/// A response as it is saved: status and JSON body.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeptResponse {
    fingerprint: String,
    status: StatusCode,
    body: String,
}

/// The response to a request that was accepted.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// What the command did; `None` if an earlier request with this key did it.
    pub done: Option<T>,
    status: StatusCode,
    body: String,
}

impl<T> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("application/json");
        let mut response = (self.status, [(header::CONTENT_TYPE, kind)], self.body).into_response();
        if self.done.is_none() {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// One request in a batch.
#[derive(Debug)]
struct Submitted<P> {
    key: Option<RequestKey>,
    piece: P,
}

/// What becomes of one request.
#[derive(Debug)]
enum Outcome<T, E> {
    Answered(Answer<T>),
    Refused(E),
    KeyReused,
}

/// A [`BatchQueue`] whose requests may be sent again. Clones are the same queue.
#[derive(Debug)]
pub struct IdempotentQueue<P, T, E> {
    operation: &'static str,
    database: Database,
    queue: BatchQueue<Submitted<P>, Outcome<T, E>>,
}

impl<P, T, E> Clone for IdempotentQueue<P, T, E> {
    fn clone(&self) -> Self {
        Self {
            operation: self.operation,
            database: self.database.clone(),
            queue: self.queue.clone(),
        }
    }
}

impl<P, T, E> IdempotentQueue<P, T, E>
where
    P: Send + 'static,
    T: Serialize + Send + 'static,
    E: Send + 'static,
    Problem: From<E>,
{
    /// Opens a queue for an operation, by its name in the OpenAPI document, which accepts with this status. `weigh` returns
    /// how many rows a request has. `command`
    /// never sees a repeat. It answers each request, in order: with the body of the response, or with a refusal, after
    /// which nothing of that request may be saved.
    pub fn new(
        database: &Database,
        operation: &'static str,
        status: StatusCode,
        weigh: fn(&P) -> usize,
        command: impl Fn(&mut Tx<'_>, &[&P]) -> Result<Vec<Result<T, E>>, StoreError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let queue = database.weighed_batch_queue(
            move |request: &Submitted<P>| weigh(&request.piece),
            move |tx, requests: &[Submitted<P>]| once(tx, operation, status, requests, &command),
        );
        Self { operation, database: database.clone(), queue }
    }

    /// Hands a request in and waits until it is saved.
    ///
    /// # Errors
    /// The refusal; 422 if the key was sent with another request before; 503 if the database can't be written, after
    /// which the same request with the same key is safe to send again.
    pub async fn submit(&self, request: Keyed<P>) -> Result<Answer<T>, Problem> {
        let outcome = match (request.body, request.key) {
            (Ok(piece), key) => self.queue.submit(Submitted { key, piece }).await?,
            (Err(problem), None) => return Err(problem),
            (Err(problem), Some(key)) => self.look_up(key).await?.ok_or(problem)?,
        };
        match outcome {
            Outcome::Answered(answer) => Ok(answer),
            Outcome::Refused(refusal) => Err(refusal.into()),
            Outcome::KeyReused => Err(Problem::unprocessable(
                "key-reused",
                "The Idempotency-Key belongs to another request",
                "The Idempotency-Key was used for another request already. Repeat that request as it was, or take another key.",
            )),
        }
    }

    async fn look_up(&self, key: RequestKey) -> Result<Option<Outcome<T, E>>, StoreError> {
        let operation = self.operation;
        let found = self.database.read(move |tx| {
            let kept = find(tx, operation, [&key.name])?;
            Ok(kept.get(&key.name).map(|kept| kept.answer(&key)))
        });
        found.await
    }
}

impl KeptResponse {
    fn answer<T, E>(&self, key: &RequestKey) -> Outcome<T, E> {
        if self.fingerprint != key.fingerprint {
            return Outcome::KeyReused;
        }
        Outcome::Answered(Answer { done: None, status: self.status, body: self.body.clone() })
    }
}

/// Runs the command on those requests whose keys are new, saves its responses, and answers the others from what is saved.
///
/// A key that comes twice in a batch is new once: the second request is looked at when the first has its response, and runs
/// in its turn if the first was refused.
fn once<P, T: Serialize, E>(
    tx: &mut Tx<'_>,
    operation: &'static str,
    status: StatusCode,
    requests: &[Submitted<P>],
    command: impl Fn(&mut Tx<'_>, &[&P]) -> Result<Vec<Result<T, E>>, StoreError>,
) -> Result<Vec<Outcome<T, E>>, StoreError> {
    let names = requests.iter().filter_map(|request| Some(&request.key.as_ref()?.name));
    let mut kept = find(tx, operation, names)?;
    let mut saved: Vec<(&Name, KeptResponse)> = Vec::new();
    let mut outcomes: Vec<Option<Outcome<T, E>>> = requests.iter().map(|_| None).collect();
    let mut waiting: Vec<usize> = (0..requests.len()).collect();
    while !waiting.is_empty() {
        let mut taken: HashSet<&Name> = HashSet::new();
        let (mut new, mut later) = (Vec::new(), Vec::new());
        for at in waiting {
            match &requests[at].key {
                Some(key) => match kept.get(&key.name) {
                    Some(kept) => outcomes[at] = Some(kept.answer(key)),
                    None if taken.insert(&key.name) => new.push(at),
                    None => later.push(at),
                },
                None => new.push(at),
            }
        }
        waiting = later;
        if new.is_empty() {
            continue;
        }
        let pieces: Vec<&P> = new.iter().map(|at| &requests[*at].piece).collect();
        for (at, answer) in new.into_iter().zip(command(tx, &pieces)?) {
            outcomes[at] = Some(match answer {
                Err(refusal) => Outcome::Refused(refusal),
                Ok(done) => {
                    let body = serde_json::to_string(&done)
                        .map_err(|error| StoreError::rejected(error.to_string()))?;
                    if let Some(RequestKey { name, fingerprint }) = &requests[at].key {
                        let (fingerprint, body) = (fingerprint.clone(), body.clone());
                        let response = KeptResponse { fingerprint, status, body };
                        if waiting.iter().any(|at| is_named(&requests[*at], name)) {
                            kept.insert(name.clone(), response.clone());
                        }
                        saved.push((name, response));
                    }
                    Outcome::Answered(Answer { done: Some(done), status, body })
                }
            });
        }
    }
    insert(tx, operation, &saved)?;
    // A command that answers too few is refused by the queue.
    Ok(outcomes.into_iter().flatten().collect())
}

fn is_named<P>(request: &Submitted<P>, name: &Name) -> bool {
    request.key.as_ref().is_some_and(|key| key.name == *name)
}

fn find<'n>(
    tx: &mut Tx<'_>,
    operation: &'static str,
    names: impl IntoIterator<Item = &'n Name>,
) -> Result<HashMap<Name, KeptResponse>, StoreError> {
    let asked = names.into_iter().map(|Name { key, caller }| params![key, caller, operation]);
    Ok(tx.query_all(&FIND, asked, read)?.into_iter().collect())
}

fn read(row: &Row<'_>) -> Result<(Name, KeptResponse), StoreError> {
    let status = u16::try_from(row.get::<i64>(3)?).ok();
    let status = status
        .and_then(|status| StatusCode::from_u16(status).ok())
        .ok_or_else(|| StoreError::rejected("a saved response has no HTTP status"))?;
    let name = Name { key: row.get(0)?, caller: row.get(1)? };
    Ok((name, KeptResponse { fingerprint: row.get(2)?, status, body: row.get(4)? }))
}

/// Saves responses.
///
/// # Errors
/// [`StoreError::Conflict`] if another replica has saved a response under one of the keys since they were looked up: the
/// batch is decided again, and finds it.
fn insert(
    tx: &mut Tx<'_>,
    operation: &'static str,
    responses: &[(&Name, KeptResponse)],
) -> Result<(), StoreError> {
    let now = tx.now();
    let rows = responses.iter().map(|(Name { key, caller }, response)| {
        let KeptResponse { fingerprint, status, body } = response;
        params![key, caller, operation, fingerprint, i64::from(status.as_u16()), body, now]
    });
    if usize::try_from(tx.execute_all(&INSERT, rows)?) == Ok(responses.len()) {
        Ok(())
    } else {
        Err(StoreError::conflict("another replica was sent the same Idempotency-Key"))
    }
}

/// Removes responses that were saved before this moment, [`REMOVED_AT_ONCE_MAX`] at most; returns how many.
pub(crate) fn remove_before(tx: &mut Tx<'_>, before: Timestamp) -> Result<i64, StoreError> {
    let sql = tx.either(REMOVE_SQLITE, REMOVE_POSTGRES);
    let removed = tx.execute(sql, &params![before, REMOVED_AT_ONCE_MAX])?;
    Ok(i64::try_from(removed).unwrap_or(i64::MAX))
}
