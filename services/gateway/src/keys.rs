//! Who is asking: API keys, of which only keyed hashes are kept.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use axum::http::{HeaderMap, HeaderValue, header};
use contracts::{
    Timestamp,
    api::{
        gateway::{Key, Role},
        proof::{AskProof, Proof, ProofKey},
    },
};
use subtle::ConstantTimeEq;

use crate::{limits::Bucket, store::StoredKey};

/// What every key begins with, so that a leaked one can be found by a search.
const PREFIX: &str = "cfk_";
/// How long the id of a key may be, in bytes. Ours have 12; the operator chooses that of the first admin key.
const ID_BYTES_MAX: usize = 32;
/// How long the secret of a key must be and may be, in bytes. Ours have 256 bits in 64 hex digits.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 32..=128;
/// What the pepper is for: the same text used elsewhere gives other hashes.
const HASH_CONTEXT: &str = "chefcito gateway 2026 keyed hashes of API keys";

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
    let mut random = [0; 38];
    getrandom::fill(&mut random)?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(format!("{PREFIX}{}_{}", hex(&random[..6]), hex(&random[6..])))
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
    pub(crate) bucket: Bucket,
    /// The id, as the services are told it.
    pub(crate) header: HeaderValue,
    hash: [u8; 32],
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
        let hash = blake3::keyed_hash(&self.hash_key, text.secret.as_bytes());
        let key = Key { id: text.id.to_owned(), name, role, created_at: now, revoked_at: None };
        StoredKey { key, hash: hash.to_hex().to_string(), unlimited }
    }

    /// Replaces the keys in memory by the stored ones. A key that stays keeps its rate bucket.
    pub(crate) fn replace(&self, stored: Vec<StoredKey>) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *keys);
        *keys = stored
            .into_iter()
            .filter(|stored| stored.key.revoked_at.is_none())
            .filter_map(|stored| {
                let hash = *blake3::Hash::from_hex(&stored.hash).ok()?.as_bytes();
                let Key { id, name, role, .. } = stored.key;
                let unlimited = stored.unlimited;
                let same = |known: &Arc<Holder>| {
                    (known.role, known.unlimited, known.hash) == (role, unlimited, hash)
                };
                if let Some(known) = before.remove(&id).filter(same) {
                    return Some((id, known));
                }
                let header = HeaderValue::from_str(&id).ok()?;
                let bucket = Bucket::full();
                let holder = Holder { id: id.clone(), name, role, unlimited, bucket, header, hash };
                Some((id, Arc::new(holder)))
            })
            .collect();
    }

    /// Returns whether there is a key of this id that is not revoked.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).contains_key(id)
    }

    /// Returns whether a request shows a key whose id was never heard of: another gateway may just have made it.
    pub(crate) fn is_news(&self, headers: &HeaderMap) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        shown_by(headers).is_some_and(|text| !keys.contains_key(text.id))
    }

    /// Returns who holds the key that a request shows; `None` if it shows none that is known and not revoked.
    pub(crate) fn holder(&self, headers: &HeaderMap) -> Option<Arc<Holder>> {
        let text = shown_by(headers)?;
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let holder = Arc::clone(keys.get(text.id)?);
        drop(keys);
        let hash = blake3::keyed_hash(&self.hash_key, text.secret.as_bytes());
        bool::from(hash.as_bytes().ct_eq(&holder.hash)).then_some(holder)
    }
}

/// Returns the key that a request shows, whether it is known or not.
fn shown_by(headers: &HeaderMap) -> Option<KeyText<'_>> {
    let shown = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, text) = shown.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    KeyText::parse(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> HeaderMap {
        let value = HeaderValue::from_str(&format!("Bearer {text}")).unwrap();
        HeaderMap::from_iter([(header::AUTHORIZATION, value)])
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
        assert_eq!(ring.holder(&shown(&text)).unwrap().name, "a guest");
        let mut other = text.clone();
        let last = if other.pop() == Some('0') { '1' } else { '0' };
        other.push(last);
        assert!(ring.holder(&shown(&other)).is_none());
        assert!(ring.holder(&shown(&new_key().unwrap())).is_none());
        assert!(ring.holder(&HeaderMap::new()).is_none());
        assert!(KeyRing::new("other pepper").holder(&shown(&text)).is_none());
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
        let before = ring.holder(&shown(&text)).unwrap();
        ring.replace(vec![sealed.clone()]);
        assert!(Arc::ptr_eq(&before, &ring.holder(&shown(&text)).unwrap()));
        sealed.key.revoked_at = Some(Timestamp::default());
        ring.replace(vec![sealed]);
        assert!(ring.holder(&shown(&text)).is_none());
    }
}
