//! What changes at the gateway: who may come in.

use contracts::api::gateway::{AddKey, AddedKey, Role};
use service::problem::Problem;

use crate::{
    door::Door,
    keys::{KeyText, new_key},
    store,
};

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
