//! What changes at the gateway: who may come in.

use ::store::{StoreError, Tx};
use axum::http::StatusCode;
use contracts::api::gateway::{AddKey, AddedKey, MakeSignInLink, Role, Session, SignInLink};
use service::problem::Problem;
use tracing::info;

use crate::{
    door::Door,
    keys::{Holder, KeyText, key_with_id, new_key, random_hex},
    page,
    sessions::{LINK_VALID_FOR, Link},
    store::{self, StoredKey, StoredSession},
};

/// How many sessions a key may have at once, so that none keeps browsers with other keys out.
const SESSIONS_OF_KEY_MAX: i64 = 50;

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
/// 401 if the link is none of this gateway's, too old, or was used, 409 if the key has too many sessions, 503 if nothing could be
/// saved.
pub(crate) async fn open_session(door: &Door, token: &str) -> Result<(Session, String), Problem> {
    let refused = || {
        Problem::new(StatusCode::UNAUTHORIZED, "link-refused", "This link signs in no more")
            .detail(
                "It was used before, is more than ten minutes old, of a key that is no more, or of another environment. \
                 `chefcito board --web` prints a new one.",
            )
    };
    let link = Link::parse(token).ok_or_else(refused)?;
    if !door.keys.has(link.key) {
        door.learn_news().await;
    }
    let holder = door.keys.named(link.key).ok_or_else(refused)?;
    if !link.is_of(&door.keys, &holder) || link.role > holder.role || door.now() >= link.expires_at
    {
        return Err(refused());
    }
    let secret = key_with_id(link.session).map_err(|_| Problem::internal())?;
    let text = KeyText::parse(&secret).ok_or_else(refused)?;
    let now = door.now();
    let stored = door.keys.seal_session(text, &holder, link.role, now);
    let session = Session {
        id: stored.id.clone(),
        name: holder.name.clone(),
        role: link.role,
        expires_at: Some(stored.expires_at),
    };
    let opened = door.service.database().write(move |tx| open(tx, &stored)).await?;
    match opened {
        Opened::Done => {}
        Opened::Refused => return Err(refused()),
        Opened::TooMany => {
            return Err(Problem::conflict(
                "too-many-sessions",
                "This key has too many sessions",
                format!(
                    "It may have {SESSIONS_OF_KEY_MAX}, and each ends after 12 hours. `chefcito keys list` shows them, \
                     `chefcito keys revoke` ends one."
                ),
            ));
        }
    }
    info!(key = holder.id, session = session.id, "A browser signed in by a link of {}", holder.id);
    // The link is used up: that keys can't be read now is no reason to keep its session back. They are read every second.
    let _soon = door.learn_keys().await;
    Ok((session, secret))
}

enum Opened {
    Done,
    Refused,
    TooMany,
}

/// Opens a session, if its key is still what it was when it made the link.
fn open(tx: &mut Tx<'_>, session: &StoredSession) -> Result<Opened, StoreError> {
    store::delete_sessions(tx)?;
    let key = store::find(tx, &session.key)?;
    let is_same = |key: &StoredKey| key.key.revoked_at.is_none() && key.hash == session.key_hash;
    if !key.as_ref().is_some_and(is_same) {
        return Ok(Opened::Refused);
    }
    if store::count_sessions(tx, &session.key)? >= SESSIONS_OF_KEY_MAX {
        return Ok(Opened::TooMany);
    }
    Ok(if store::insert_session(tx, session)? { Opened::Done } else { Opened::Refused })
}

enum Revoked {
    Done,
    NoSuchKey,
    LastAdmin,
}

/// Revokes a key, or ends a session, from the next request on. Revoking it again changes nothing.
///
/// # Errors
/// 404 if there is no such key, 409 if no key could administrate the environment afterwards, 503 if nothing could be saved.
pub(crate) async fn revoke_key(door: &Door, id: &str) -> Result<(), Problem> {
    let asked = id.to_owned();
    let revoked = door
        .service
        .database()
        .write(move |tx| {
            let now = tx.now();
            let Some(stored) = store::find(tx, &asked)? else {
                let is_session = store::end_session(tx, &asked, now)?;
                return Ok(if is_session { Revoked::Done } else { Revoked::NoSuchKey });
            };
            let last = stored.key.role == Role::Admin
                && stored.key.revoked_at.is_none()
                && store::count_other_admins(tx, &asked)? == 0;
            if last {
                return Ok(Revoked::LastAdmin);
            }
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
