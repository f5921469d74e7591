//! What changes at the gateway: who may come in.

use axum::http::StatusCode;
use contracts::api::gateway::{AddKey, AddedKey, MakeSignInLink, Role, Session, SignInLink};
use service::problem::Problem;
use tracing::info;

use crate::{
    door::Door,
    keys::{Holder, KeyText, key_with_id, new_key, random_hex},
    page,
    sessions::{LINK_VALID_FOR, Link, SESSION_VALID_FOR},
    store,
};

/// How many sessions there are at the most, those that were ended before their time included.
const SESSIONS_MAX: i64 = 1_000;

/// How many keys there are at the most, revoked ones included: all are kept in memory and read every second.
const KEYS_MAX: i64 = 1_000;
/// The longest name of a key, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Makes a key. Its secret is in the answer and nowhere else.
///
/// # Errors
/// 422 if the name is none, 409 if there are too many keys, 503 if nothing could be saved.
pub(crate) async fn add_key(door: &Door, asked: AddKey) -> Result<AddedKey, Problem> {
    let name = asked.name.trim().to_owned();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(Problem::unprocessable(
            "name",
            "That is no name",
            "A key's name has 1 to 64 bytes, and no control characters.",
        ));
    }
    let secret = new_key().map_err(|_| Problem::internal())?;
    let text = KeyText::parse(&secret).ok_or_else(Problem::internal)?;
    let now = door.service.database().clock().now();
    let sealed = door.keys.seal(text, name, asked.role, false, now);
    let key = sealed.key.clone();
    let saved = door
        .service
        .database()
        .write(move |tx| {
            let room = store::count(tx)? < KEYS_MAX;
            if room {
                store::insert(tx, &sealed)?;
            }
            Ok(room)
        })
        .await?;
    if !saved {
        return Err(Problem::conflict(
            "too-many-keys",
            "There are too many keys",
            format!("There may be {KEYS_MAX}, revoked ones included."),
        ));
    }
    door.learn_keys().await?;
    Ok(AddedKey { key, secret })
}

/// Makes a link by which a browser signs in once. Nothing is stored: the link says what it is, in a code that only this gateway can
/// make.
///
/// # Errors
/// 403 if the key may not do as much.
pub(crate) fn make_sign_in_link(
    door: &Door,
    holder: &Holder,
    asked: MakeSignInLink,
) -> Result<SignInLink, Problem> {
    let role = asked.role.unwrap_or(holder.role);
    if role > holder.role {
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "This key may not do that")
            .detail(format!(
                "The key `{}` is one of a {}; a session may not do more.",
                holder.id, holder.role
            )));
    }
    let session = random_hex::<8>().map_err(|_| Problem::internal())?;
    let expires_at = door.now().plus(LINK_VALID_FOR);
    let token = Link::make(&door.keys, holder, &session, role, expires_at);
    Ok(SignInLink { path: format!("{}#{}{token}", page::PATH, page::SIGN_IN), role, expires_at })
}

/// Opens the session of a sign-in link, whose secret is returned and kept nowhere else.
///
/// # Errors
/// 401 if the link is none of this gateway's, too old, or was used, 409 if there are too many sessions, 503 if nothing could be saved.
pub(crate) async fn open_session(door: &Door, token: &str) -> Result<(Session, String), Problem> {
    let refused = || {
        Problem::new(StatusCode::UNAUTHORIZED, "link-refused", "This link signs in no more")
            .detail(
                "It was used before, is more than ten minutes old, or of another environment. `chefcito board --web` prints a new one.",
            )
    };
    let link = Link::parse(token).ok_or_else(refused)?;
    let holder = door.keys.named(link.key).ok_or_else(refused)?;
    if !link.is_of(&door.keys, &holder) || link.role > holder.role || door.now() >= link.expires_at
    {
        return Err(refused());
    }
    let secret = key_with_id(link.session).map_err(|_| Problem::internal())?;
    let text = KeyText::parse(&secret).ok_or_else(refused)?;
    let now = door.now();
    let mut sealed = door.keys.seal(text, holder.name.clone(), link.role, false, now);
    sealed.key.session_of = Some(holder.id.clone());
    sealed.key.expires_at = Some(now.plus(SESSION_VALID_FOR));
    let session = Session {
        id: sealed.key.id.clone(),
        name: holder.name.clone(),
        role: link.role,
        expires_at: sealed.key.expires_at,
    };
    let saved = door
        .service
        .database()
        .write(move |tx| {
            let has_room = store::count_sessions(tx)? < SESSIONS_MAX;
            Ok(if has_room { Some(store::insert(tx, &sealed)?) } else { None })
        })
        .await?;
    match saved {
        Some(true) => {}
        Some(false) => return Err(refused()),
        None => {
            return Err(Problem::conflict(
                "too-many-sessions",
                "There are too many sessions",
                format!("There may be {SESSIONS_MAX}; each ends after 12 hours."),
            ));
        }
    }
    info!(key = holder.id, session = session.id, "A browser signed in by a link of {}", holder.id);
    door.learn_keys().await?;
    Ok((session, secret))
}

enum Revoked {
    Done,
    NoSuchKey,
    LastAdmin,
}

/// Revokes a key, from the next request on. Revoking it again changes nothing.
///
/// # Errors
/// 404 if there is no such key, 409 if no key could administrate the environment afterwards, 503 if nothing could be saved.
pub(crate) async fn revoke_key(door: &Door, id: &str) -> Result<(), Problem> {
    let asked = id.to_owned();
    let revoked = door
        .service
        .database()
        .write(move |tx| {
            let Some(stored) = store::find(tx, &asked)? else { return Ok(Revoked::NoSuchKey) };
            let last = stored.key.role == Role::Admin
                && stored.key.session_of.is_none()
                && stored.key.revoked_at.is_none()
                && store::count_other_admins(tx, &asked)? == 0;
            if last {
                return Ok(Revoked::LastAdmin);
            }
            let now = tx.now();
            store::revoke(tx, &asked, now)?;
            Ok(Revoked::Done)
        })
        .await?;
    match revoked {
        Revoked::Done => Ok(door.learn_keys().await?),
        Revoked::NoSuchKey => Err(Problem::not_found("There is no key with this id.")),
        Revoked::LastAdmin => Err(Problem::conflict(
            "last-admin",
            "This is the last admin key",
            "Without it no key could make another one. Make a second one first.",
        )),
    }
}
