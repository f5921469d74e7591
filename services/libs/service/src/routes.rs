//! The routes that every service has, whatever it does.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::Response,
    routing::{delete, get, post},
};
use contracts::api::{
    audit::{
        Facts, FactsQuery, InboxFact, OutboxFact, RetentionFact, RetentionQuery, StorageCheck,
        SubjectFact,
    },
    service::{Events, ServiceDeadLetters, ServiceStatus},
};
use events::{dead_letters, facts, outbox, retention};
use serde::{Deserialize, Serialize};
use store::{StoreError, Tx};
use uuid::Uuid;

use crate::{
    Service,
    http::{Path, Query, no_such_route},
    problem::Problem,
};

/// How many events a story has of one service at the most.
const STORY_EVENTS_MAX: i64 = 10_000;

impl Service {
    /// Returns the routes of a service: its own, those that every service has, and 404 for everything else. Each response is
    /// counted by its route, and what handlers log is the service's.
    pub fn with_common_routes(&self, own: Router) -> Router {
        self.counted(own.merge(self.router()).fallback(no_such_route))
    }

    /// Returns routes each of whose responses is counted for this service, by its route.
    pub fn counted(&self, routes: Router) -> Router {
        self.context.metrics.counted(self.name, routes)
    }

    /// Returns the routes that every service has: health, readiness, figures, and what the gateway asks below
    /// `/internal`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/health", get(async || "ok"))
            .route("/ready", get(ready))
            .route("/metrics", get(figures))
            .route("/internal/status", get(status))
            .route("/internal/events", get(events))
            .route("/internal/dead-letters", get(list_dead_letters))
            .route("/internal/dead-letters/{id}", delete(drop_dead_letter))
            .route("/internal/dead-letters/{id}/replay", post(replay_dead_letter))
            .route("/internal/facts/outbox", get(outbox_facts))
            .route("/internal/facts/inbox", get(inbox_facts))
            .route("/internal/facts/subjects", get(subject_facts))
            .route("/internal/facts/storage", get(storage_facts))
            .route("/internal/facts/retention", get(retention_facts))
            .with_state(self.clone())
    }

    /// Answers a readiness probe: `ready` if the service's own database answers. Other services don't matter.
    ///
    /// # Errors
    /// 503 with [`Problem::not_ready`] if the database does not answer. [`ServiceStatus::reason`] says why.
    pub async fn ready(&self) -> Result<&'static str, Problem> {
        if self.read_status().await.ready { Ok("ready") } else { Err(Problem::not_ready()) }
    }
}

async fn ready(State(service): State<Service>) -> Result<&'static str, Problem> {
    service.ready().await
}

async fn figures(State(service): State<Service>) -> Response {
    service.context.scrape().await
}

async fn status(State(service): State<Service>) -> axum::Json<ServiceStatus> {
    axum::Json(service.read_status().await)
}

#[derive(Debug, Deserialize)]
struct EventsQuery {
    subject: String,
}

async fn events(
    State(service): State<Service>,
    Query(query): Query<EventsQuery>,
) -> Result<axum::Json<Events>, Problem> {
    let read =
        service.database.read(move |tx| outbox::events_of(tx, &query.subject, STORY_EVENTS_MAX));
    Ok(axum::Json(Events { events: read.await? }))
}

async fn list_dead_letters(
    State(service): State<Service>,
) -> Result<axum::Json<ServiceDeadLetters>, Problem> {
    Ok(axum::Json(ServiceDeadLetters {
        dead_letters: service.database.read(dead_letters::list).await?,
    }))
}

async fn drop_dead_letter(
    State(service): State<Service>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    let dropped = service.database.write(move |tx| dead_letters::drop(tx, id)).await?;
    if dropped { Ok(StatusCode::NO_CONTENT) } else { Err(no_dead_letter(service.name, id)) }
}

async fn replay_dead_letter(
    State(service): State<Service>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    let Some(react) = service.react.clone() else { return Err(no_dead_letter(service.name, id)) };
    match service.database.write(move |tx| dead_letters::replay(tx, &*react, id)).await {
        Ok(true) => Ok(StatusCode::NO_CONTENT),
        Ok(false) => Err(no_dead_letter(service.name, id)),
        Err(StoreError::Rejected(why)) => {
            let noted = Arc::clone(&why);
            service.database.write(move |tx| dead_letters::failed_again(tx, id, &noted)).await?;
            let detail = format!("{} still can't act on it: {why}", service.name);
            Err(Problem::conflict("still-failing", "The event still can't be acted on", detail))
        }
        Err(error) => Err(error.into()),
    }
}

fn no_dead_letter(service: &str, id: Uuid) -> Problem {
    Problem::not_found(format!("{service} has no dead letter {id}."))
}

async fn outbox_facts(
    State(service): State<Service>,
    Query(query): Query<FactsQuery>,
) -> Result<axum::Json<Facts<OutboxFact>>, Problem> {
    facts_page(&service, move |tx| facts::outbox(tx, &query)).await
}

async fn inbox_facts(
    State(service): State<Service>,
    Query(query): Query<FactsQuery>,
) -> Result<axum::Json<Facts<InboxFact>>, Problem> {
    facts_page(&service, move |tx| facts::inbox(tx, &query)).await
}

async fn subject_facts(
    State(service): State<Service>,
    Query(query): Query<FactsQuery>,
) -> Result<axum::Json<Facts<SubjectFact>>, Problem> {
    facts_page(&service, move |tx| facts::subjects(tx, &query)).await
}

/// Answers a page of facts.
///
/// # Errors
/// A [`Problem`] if the database failed.
pub async fn facts_page<T: Serialize + Send + 'static>(
    service: &Service,
    question: impl Fn(&mut Tx<'_>) -> Result<Vec<T>, StoreError> + Send + 'static,
) -> Result<axum::Json<Facts<T>>, Problem> {
    Ok(axum::Json(Facts { facts: service.database.read(question).await? }))
}

async fn storage_facts(
    State(service): State<Service>,
) -> Result<axum::Json<StorageCheck>, Problem> {
    Ok(axum::Json(StorageCheck { problems: service.database.check_storage().await? }))
}

async fn retention_facts(
    State(service): State<Service>,
    Query(query): Query<RetentionQuery>,
) -> Result<axum::Json<RetentionFact>, Problem> {
    Ok(axum::Json(service.database.read(move |tx| retention::facts(tx, &query)).await?))
}
