//! Who is asking: API keys and sessions of browsers, of which only keyed hashes are kept.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use axum::http::HeaderValue;
use contracts::{
    Timestamp,
    api::{
        gateway::{Key, Role, Session},
        proof::{AskProof, Proof, ProofKey},
    },
};
use subtle::ConstantTimeEq;

use crate::{
    limits::Bucket,
    sessions::SESSION_VALID_FOR,
    store::{StoredKey, StoredSession},
};

/// What every key begins with, so that a leaked one can be found by a search.
const PREFIX: &str = "cfk_";
/// How long the id of a key may be, in bytes. Ours have 12; the operator chooses that of the first admin key.
const ID_BYTES_MAX: usize = 32;
/// How long the secret of a key must be and may be, in bytes. Ours have 256 bits in 64 hex digits.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 32..=128;
/// What the pepper is for: the same text used elsewhere gives other hashes.
const HASH_CONTEXT: &str = "chefcito gateway 2026 keyed hashes of API keys";

/// What codes are for.
const CODE_CONTEXT: &str = "chefcito gateway 2026 codes of sign-in links";

/// A key as it is sent, taken apart: `cfk_<id>_<secret>`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyText<'a> {
    pub(crate) id: &'a str,
    secret: &'a str,
}

impl fmt::Debug for KeyText<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PREFIX}{}_…", self.id)
    }
}

impl<'a> KeyText<'a> {
    /// Takes a key apart; `None` if it is none.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let id_is_one = (1..=ID_BYTES_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let secret_is_one = SECRET_BYTES.contains(&secret.len())
            && secret
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        (id_is_one && secret_is_one).then_some(Self { id, secret })
    }
}

/// What proves to clients that this is the gateway of the first admin key, before they show the key.
#[derive(Clone, Debug)]
pub(crate) struct Prover {
    id: String,
    key: ProofKey,
    /// The port by which clients reach the gateway, if it is known.
    port: Option<u16>,
}

impl Prover {
    pub(crate) fn new(first: KeyText<'_>, port: Option<u16>) -> Self {
        Self { id: first.id.to_owned(), key: ProofKey::of(first.secret), port }
    }

    /// Returns the answer; `None` if it is about another key, or the nonce is none.
    pub(crate) fn answer(&self, asked: &AskProof) -> Option<Proof> {
        (self.id == asked.key).then(|| self.key.prove(&asked.nonce, self.port)).flatten()
    }
}

/// Returns a new key: the one time that its secret is a text.
///
/// # Errors
/// If the system has no randomness to give.
pub fn new_key() -> Result<String, getrandom::Error> {
    key_with_id(&random_hex::<6>()?)
}

/// Returns a new key of this id.
///
/// # Errors
/// If the system has no randomness to give.
pub(crate) fn key_with_id(id: &str) -> Result<String, getrandom::Error> {
    Ok(format!("{PREFIX}{id}_{}", random_hex::<32>()?))
}

/// Returns so many random bytes in hex.
///
/// # Errors
/// If the system has no randomness to give.
pub(crate) fn random_hex<const BYTES: usize>() -> Result<String, getrandom::Error> {
    let mut random = [0; BYTES];
    getrandom::fill(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The keys that are known, in memory: what is checked for every request.
pub(crate) struct KeyRing {
    hash_key: [u8; 32],
    keys: RwLock<HashMap<String, Arc<Holder>>>,
}

/// Who holds a key.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) unlimited: bool,
    pub(crate) bucket: Arc<Bucket>,
    /// The id, as the services are told it.
    pub(crate) header: HeaderValue,
    /// The key that it is a session of, if it is one of a browser.
    pub(crate) session_of: Option<String>,
    /// When that ends.
    pub(crate) expires_at: Option<Timestamp>,
    hash: [u8; 32],
}

impl Holder {
    /// Returns who holds a stored key; `None` if it was spoiled.
    fn of(stored: StoredKey, bucket: Arc<Bucket>) -> Option<Self> {
        let StoredKey { key, hash, unlimited } = stored;
        Some(Self {
            header: HeaderValue::from_str(&key.id).ok()?,
            id: key.id,
            name: key.name,
            role: key.role,
            unlimited,
            bucket,
            session_of: key.session_of,
            expires_at: key.expires_at,
            hash: *blake3::Hash::from_hex(&hash).ok()?.as_bytes(),
        })
    }

    /// Returns whether nothing but the bucket differs.
    fn is_same(&self, other: &Self) -> bool {
        (self.role, self.unlimited, self.expires_at, self.hash)
            == (other.role, other.unlimited, other.expires_at, other.hash)
            && (self.session_of.is_none() || Arc::ptr_eq(&self.bucket, &other.bucket))
    }

    /// Returns whether it is the session of a browser.
    pub(crate) const fn is_session(&self) -> bool {
        self.session_of.is_some()
    }

    /// Returns the id of the key: of its own, or of that whose session it is.
    pub(crate) fn key(&self) -> &str {
        self.session_of.as_ref().unwrap_or(&self.id)
    }

    /// Returns what is told of it.
    pub(crate) fn session(&self) -> Session {
        Session {
            id: self.id.clone(),
            name: self.name.clone(),
            role: self.role,
            expires_at: self.expires_at,
        }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KeyRing").finish_non_exhaustive()
    }
}

impl KeyRing {
    pub(crate) fn new(pepper: &str) -> Self {
        let hash_key = blake3::derive_key(HASH_CONTEXT, pepper.as_bytes());
        Self { hash_key, keys: RwLock::default() }
    }

    /// Returns a key as it is stored.
    pub(crate) fn seal(
        &self,
        text: KeyText<'_>,
        name: String,
        role: Role,
        unlimited: bool,
        now: Timestamp,
    ) -> StoredKey {
        let hash = self.hash(text);
        let key = Key {
            id: text.id.to_owned(),
            name,
            role,
            created_at: now,
            revoked_at: None,
            session_of: None,
            expires_at: None,
        };
        StoredKey { key, hash: hash.to_hex().to_string(), unlimited }
    }

    /// Returns the session of a key as it is stored.
    pub(crate) fn seal_session(
        &self,
        text: KeyText<'_>,
        holder: &Holder,
        role: Role,
        now: Timestamp,
    ) -> StoredSession {
        StoredSession {
            id: text.id.to_owned(),
            key: holder.id.clone(),
            key_hash: blake3::Hash::from_bytes(holder.hash).to_hex().to_string(),
            role,
            hash: self.hash(text).to_hex().to_string(),
            created_at: now,
            expires_at: now.plus(SESSION_VALID_FOR),
        }
    }

    fn hash(&self, text: KeyText<'_>) -> blake3::Hash {
        blake3::keyed_hash(&self.hash_key, text.secret.as_bytes())
    }

    /// Returns the code that only this gateway, and another one with its pepper, can make of a text for the holder of a key. Another
    /// secret under the key's id makes other codes.
    pub(crate) fn code(&self, holder: &Holder, text: &str) -> [u8; 16] {
        let secrets = [self.hash_key, holder.hash].concat();
        let hash = blake3::keyed_hash(&blake3::derive_key(CODE_CONTEXT, &secrets), text.as_bytes());
        let mut code = [0; 16];
        code.copy_from_slice(&hash.as_bytes()[..16]);
        code
    }

    /// Replaces the keys in memory by the stored ones. A key that stays keeps its rate bucket, which its sessions share.
    pub(crate) fn replace(&self, stored: Vec<StoredKey>) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *keys);
        let (of_keys, of_sessions): (Vec<_>, Vec<_>) = stored
            .into_iter()
            .filter(|stored| stored.key.revoked_at.is_none())
            .partition(|stored| stored.key.session_of.is_none());
        for stored in of_keys.into_iter().chain(of_sessions) {
            let bucket = match &stored.key.session_of {
                None => Some(Arc::new(Bucket::full())),
                Some(key) => keys.get(key).map(|holder| Arc::clone(&holder.bucket)),
            };
            let known = before.remove(&stored.key.id);
            if let Some(holder) = bucket.and_then(|bucket| Holder::of(stored, bucket)) {
                let same = known.filter(|known| known.is_same(&holder));
                let _before = keys.insert(holder.id.clone(), same.unwrap_or(Arc::new(holder)));
            }
        }
    }

    /// Returns whether there is a key of this id that is not revoked. Of one that was never heard of, another gateway may just have
    /// made it.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).contains_key(id)
    }

    /// Returns who has the key of this id, if it is not revoked.
    pub(crate) fn named(&self, id: &str) -> Option<Arc<Holder>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(id).map(Arc::clone)
    }

    /// Returns who holds a key; `None` if it is none that is known and not revoked.
    pub(crate) fn holder(&self, text: KeyText<'_>) -> Option<Arc<Holder>> {
        let holder = self.named(text.id)?;
        let hash = self.hash(text);
        bool::from(hash.as_bytes().ct_eq(&holder.hash)).then_some(holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(ring: &KeyRing, text: &str) -> Option<Arc<Holder>> {
        ring.holder(KeyText::parse(text).unwrap())
    }

    fn ring_with(text: &str) -> KeyRing {
        let ring = KeyRing::new("pepper");
        let parsed = KeyText::parse(text).unwrap();
        let sealed = ring.seal(parsed, "a guest".into(), Role::Viewer, false, Timestamp::default());
        assert!(!sealed.hash.contains(parsed.secret));
        ring.replace(vec![sealed]);
        ring
    }

    #[test]
    fn a_key_is_known_by_its_whole_text_and_by_nothing_less() {
        let text = new_key().unwrap();
        let ring = ring_with(&text);
        assert_eq!(holder(&ring, &text).unwrap().name, "a guest");
        let mut other = text.clone();
        let last = if other.pop() == Some('0') { '1' } else { '0' };
        other.push(last);
        assert!(holder(&ring, &other).is_none());
        assert!(holder(&ring, &new_key().unwrap()).is_none());
        assert!(holder(&KeyRing::new("other pepper"), &text).is_none());
    }

    #[test]
    fn what_is_no_key_is_not_taken_apart() {
        let secret = "0".repeat(64);
        for bad in [
            String::new(),
            format!("cfk_{secret}"),
            format!("cfk__{secret}"),
            format!("cfk_UPPER_{secret}"),
            format!("cfk_{}_{secret}", "a".repeat(33)),
            "cfk_local_short".into(),
            format!("cfk_local_{}", "0".repeat(129)),
            format!("cfk_local_{secret} "),
            format!("key_local_{secret}"),
        ] {
            assert!(KeyText::parse(&bad).is_none(), "{bad}");
        }
        assert!(KeyText::parse(&format!("cfk_local_{secret}")).is_some());
    }

    #[test]
    fn who_stays_keeps_the_same_bucket_and_who_is_revoked_is_unknown() {
        let text = new_key().unwrap();
        let ring = ring_with(&text);
        let parsed = KeyText::parse(&text).unwrap();
        let mut sealed =
            ring.seal(parsed, "a guest".into(), Role::Viewer, false, Timestamp::default());
        let before = holder(&ring, &text).unwrap();
        let now = Timestamp::default();
        ring.replace(vec![sealed.clone()]);
        assert!(Arc::ptr_eq(&before, &holder(&ring, &text).unwrap()));
        sealed.key.revoked_at = Some(now);
        ring.replace(vec![sealed]);
        assert!(holder(&ring, &text).is_none());
    }

    #[test]
    fn a_session_shares_the_bucket_of_its_key() {
        let ring = KeyRing::new("pepper");
        let (key, session) = (new_key().unwrap(), new_key().unwrap());
        let seal = |text: &str| {
            let parsed = KeyText::parse(text).unwrap();
            ring.seal(parsed, "a guest".into(), Role::Viewer, false, Timestamp::default())
        };
        let (of_key, mut of_session) = (seal(&key), seal(&session));
        of_session.key.session_of = Some(of_key.key.id.clone());
        of_session.key.expires_at = Some(Timestamp::MAX);
        for _ in 0..2 {
            ring.replace(vec![of_session.clone(), of_key.clone()]);
            let (key, session) = (holder(&ring, &key).unwrap(), holder(&ring, &session).unwrap());
            assert!(Arc::ptr_eq(&key.bucket, &session.bucket));
            assert_eq!((key.is_session(), session.is_session()), (false, true));
            assert_eq!(session.key(), key.id);
        }
        ring.replace(vec![of_session]);
        assert!(holder(&ring, &session).is_none(), "its key is unknown");
    }
}
