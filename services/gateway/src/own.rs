//! What the gateway answers itself, a function a question.

use std::sync::Arc;

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use backends::LIST_WAIT_MAX;
use contracts::{
    OrderId,
    api::{
        audit::{AuditOptions, Ledger},
        gateway::{AddKey, AddedKey, DeadLetters, Keys, MakeSignInLink, OpenSession, SignInLink},
        proof::{AskProof, Proof},
        service::ServiceDeadLetters,
    },
};
use serde::de::DeserializeOwned;
use service::{http::Query, idempotency::CALLER, problem::Problem};
use uuid::Uuid;

use crate::{
    commands,
    door::{Door, address_of, foreign},
    keys::Holder,
    queries::{self, story},
    routes::Own,
    sessions::Site,
};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

const GREETING: &str = "\
This is Chefcito, a restaurant. Guests order at POST /v1/orders, with a key: Authorization: Bearer cfk_...

  GET /board         the restaurant in a browser; `chefcito board --web` prints a link that signs in
  GET /openapi.json  all that can be asked, and who may
  GET /ready         whether the gateway can answer
  GET /v1/status     whether every service works
  GET /metrics       figures, for Prometheus with a key

`chefcito keys` makes keys, `chefcito order` orders, `chefcito status` shows the environment.
";

/// Answers what a route of the gateway's own asks; `parts` are the variable parts of its path.
pub(crate) async fn answer(
    door: &Door,
    own: Own,
    parts: &[&str],
    request: Request,
) -> Result<Response, Problem> {
    match (own, parts) {
        (Own::Greeting, _) => Ok(greet(request.headers())),
        (Own::Health, _) => Ok("ok".into_response()),
        (Own::Ready, _) => door.service.ready().await.map(IntoResponse::into_response),
        (Own::Metrics, _) => Ok(door.service.context().scrape().await),
        (Own::OpenApi, _) => {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            Ok((kind, door.openapi.clone()).into_response())
        }
        (Own::Proof, _) => prove(door, &query(request).await?).map(json),
        (Own::Story, [order]) => {
            let order: OrderId =
                order.parse().map_err(|error| Problem::bad_request(format!("{error}.")))?;
            story::tell_story(&door.services, order).await.map(json)
        }
        (Own::Status, _) => Ok(json(queries::status::status(door).await)),
        (Own::Live, _) => {
            let (holder, address) = (holder(door, &request)?, address_of(&request));
            door.live.watch(&door.keys, &holder, address, request, door.now()).await
        }
        (Own::Page(file), _) => Ok(file.answer(request.headers())),
        (Own::MakeSignInLink, _) => {
            let holder = holder(door, &request)?;
            let asked: MakeSignInLink = body(request).await?;
            let made: SignInLink = commands::make_sign_in_link(door, &holder, asked)?;
            Ok((StatusCode::CREATED, axum::Json(made)).into_response())
        }
        (Own::OpenSession, _) => open_session(door, request).await,
        (Own::GetSession, _) => Ok(json(holder(door, &request)?.session())),
        (Own::CloseSession, _) => close_session(door, request).await,
        (Own::ListKeys, _) => {
            let stored = door.service.database().read(crate::store::list).await?;
            Ok(json(Keys { keys: stored.into_iter().map(|stored| stored.key).collect() }))
        }
        (Own::AddKey, _) => {
            let asked: AddKey = body(request).await?;
            let added: AddedKey = commands::add_key(door, asked).await?;
            Ok((StatusCode::CREATED, axum::Json(added)).into_response())
        }
        (Own::RevokeKey, [id]) => {
            commands::revoke_key(door, id).await.map(|()| StatusCode::NO_CONTENT.into_response())
        }
        (Own::Audit, _) => {
            let options: AuditOptions = query(request).await?;
            queries::audit(door, options.live.unwrap_or(false)).await.map(json)
        }
        (Own::AuditLedger, _) => {
            let ledger: Ledger = body(request).await?;
            audit::ledger::check(&door.services, ledger).await.map(json)
        }
        (Own::ListDeadLetters, _) => Ok(json(list_dead_letters(door).await)),
        (Own::ReplayDeadLetter, [service, id]) => {
            dead_letter(door, Method::POST, service, id, "/replay").await
        }
        (Own::DropDeadLetter, [service, id]) => {
            dead_letter(door, Method::DELETE, service, id, "").await
        }
        (Own::Story | Own::RevokeKey | Own::ReplayDeadLetter | Own::DropDeadLetter, _) => {
            Err(Problem::internal())
        }
    }
}

/// Greets a program in text, and shows a browser the page.
fn greet(asked: &HeaderMap) -> Response {
    let accepts = asked.get(header::ACCEPT).and_then(|types| types.to_str().ok());
    match accepts {
        Some(types) if types.contains("text/html") => Redirect::to("/board").into_response(),
        _ => GREETING.into_response(),
    }
}

/// Returns who asks.
fn holder(door: &Door, request: &Request) -> Result<Arc<Holder>, Problem> {
    let id = request.headers().get(CALLER).and_then(|id| id.to_str().ok()).unwrap_or_default();
    // It was let in a moment ago, and may be revoked by now.
    door.keys.named(id).ok_or_else(|| Problem::not_found("The key was just revoked."))
}

async fn open_session(door: &Door, request: Request) -> Result<Response, Problem> {
    let site = Site::of(&request, door.public_url.as_ref())
        .filter(|site| site.is_origin_of(request.method(), request.headers()))
        .ok_or_else(foreign)?;
    let asked: OpenSession = body(request).await?;
    let (session, secret) = commands::open_session(door, &asked.token).await?;
    let cookie = site.cookie(&secret).ok_or_else(Problem::internal)?;
    let heads = [(header::SET_COOKIE, cookie), (header::CACHE_CONTROL, NO_STORE)];
    Ok((StatusCode::CREATED, heads, axum::Json(session)).into_response())
}

async fn close_session(door: &Door, request: Request) -> Result<Response, Problem> {
    let holder = holder(door, &request)?;
    if !holder.is_session() {
        return Err(Problem::conflict(
            "no-session",
            "This is a key, and no session",
            "`DELETE /v1/keys/{id}` revokes a key.",
        ));
    }
    let site = Site::of(&request, door.public_url.as_ref()).ok_or_else(foreign)?;
    let cookie = site.no_cookie().ok_or_else(Problem::internal)?;
    commands::revoke_key(door, &holder.id).await?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

fn json<T: serde::Serialize>(answer: T) -> Response {
    axum::Json(answer).into_response()
}

async fn body<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    service::http::Json::from_request(request, &()).await.map(|service::http::Json(body)| body)
}

async fn query<T: DeserializeOwned + Send>(request: Request) -> Result<T, Problem> {
    let (mut parts, _) = request.into_parts();
    Query::from_request_parts(&mut parts, &()).await.map(|Query(query)| query)
}

/// Proves to a client that this is the gateway of the first admin key, even if that was revoked: the client is then told so.
fn prove(door: &Door, asked: &AskProof) -> Result<Proof, Problem> {
    door.prover.as_ref().and_then(|prover| prover.answer(asked)).ok_or_else(|| {
        Problem::not_found("No first admin key has this id, or the nonce is not 32 bytes in hex.")
    })
}

async fn list_dead_letters(door: &Door) -> DeadLetters {
    let asked = door.services.ask_all(|_, backend| {
        backend.get::<ServiceDeadLetters>("/internal/dead-letters", LIST_WAIT_MAX)
    });
    let mut letters = DeadLetters { dead_letters: Vec::new(), missing: Vec::new() };
    for (service, answer) in asked.await {
        match answer {
            Ok(mut answer) => letters.dead_letters.append(&mut answer.dead_letters),
            Err(_) => letters.missing.push(service.to_owned()),
        }
    }
    letters.dead_letters.sort_by_key(|letter| (letter.failed_at, letter.id));
    letters
}

async fn dead_letter(
    door: &Door,
    method: Method,
    service: &str,
    id: &str,
    action: &str,
) -> Result<Response, Problem> {
    let backend = door
        .services
        .get(service)
        .ok_or_else(|| Problem::not_found(format!("No service is called `{service}`.")))?;
    // Only a UUID becomes part of the path.
    let id: Uuid = id
        .parse()
        .map_err(|_| Problem::bad_request(format!("`{id}` is not the id of an event.")))?;
    let request = Request::builder()
        .method(method)
        .uri(format!("/internal/dead-letters/{id}{action}"))
        .body(axum::body::Body::empty())
        .map_err(|_| Problem::internal())?;
    Ok(backend.call(request).await)
}
