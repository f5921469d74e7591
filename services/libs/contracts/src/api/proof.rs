//! `GET /proof`: how a gateway proves that it holds a key, before a client shows it the key.
//!
//! A client that knows only a port sends a nonce, and compares the answer with its own. Both derive a proof key from the secret
//! of the API key, and hash the nonce with it (BLAKE3, keyed): who does not have the secret can neither make the answer nor
//! learn the secret from it. Guessing is hopeless, since a secret has 256 random bits. The answer also covers the port by which
//! clients reach the gateway, where it knows that: a process on another port can't pass the question on to the gateway and be
//! taken for it.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The path of the question.
pub const PATH: &str = "/proof";
/// What proof keys are for: the same secret used elsewhere gives other keys.
const CONTEXT: &str = "chefcito gateway 2026 proof that a gateway holds an API key";
/// How many bytes a nonce has.
pub const NONCE_BYTES: usize = 32;

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct AskProof {
    /// The id of the key: `local` of `cfk_local_…`.
    #[param(max_length = 32)]
    pub key: String,
    /// 32 random bytes in hex, never used before.
    #[param(min_length = 64, max_length = 64)]
    pub nonce: String,
}

/// What the gateway answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Proof {
    /// The keyed hash of the nonce and the port, in hex.
    #[schema(min_length = 64, max_length = 64)]
    pub proof: String,
    /// The port by which clients reach the gateway; absent if it does not know that.
    pub port: Option<u16>,
}

/// What client and gateway derive from the secret of an API key.
#[derive(Clone)]
pub struct ProofKey([u8; NONCE_BYTES]);

impl fmt::Debug for ProofKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ProofKey").finish_non_exhaustive()
    }
}

impl ProofKey {
    /// Derives it from the secret of a key: the part after `cfk_<id>_`.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(blake3::derive_key(CONTEXT, secret.as_bytes()))
    }

    /// Returns the gateway's answer; `None` if the nonce is not 32 bytes in hex.
    #[must_use]
    pub fn prove(&self, nonce: &str, port: Option<u16>) -> Option<Proof> {
        let nonce = blake3::Hash::from_hex(nonce).ok()?;
        Some(Proof { proof: self.hash(nonce.as_bytes(), port).to_hex().to_string(), port })
    }

    /// Returns whether an answer to this nonce proves that the gateway which clients reach by this port holds the key. Takes
    /// the same time wherever a wrong answer differs.
    #[must_use]
    pub fn is_proven_by(&self, proof: &Proof, nonce: &[u8; NONCE_BYTES], dialled: u16) -> bool {
        let Ok(said) = blake3::Hash::from_hex(&proof.proof) else { return false };
        // `blake3::Hash` is compared in constant time.
        said == self.hash(nonce, proof.port) && proof.port.is_none_or(|port| port == dialled)
    }

    fn hash(&self, nonce: &[u8; NONCE_BYTES], port: Option<u16>) -> blake3::Hash {
        let mut text = [0; NONCE_BYTES + 3];
        text[..NONCE_BYTES].copy_from_slice(nonce);
        if let Some(port) = port {
            text[NONCE_BYTES] = 1;
            text[NONCE_BYTES + 1..].copy_from_slice(&port.to_be_bytes());
        }
        blake3::keyed_hash(&self.0, &text)
    }
}

/// Returns the id and the secret of a key, `cfk_<id>_<secret>`; `None` if it is none.
#[must_use]
pub fn parts(key: &str) -> Option<(&str, &str)> {
    key.trim()
        .strip_prefix("cfk_")?
        .split_once('_')
        .filter(|(id, secret)| !id.is_empty() && !secret.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; NONCE_BYTES] = [7; NONCE_BYTES];

    fn answer(secret: &str, port: Option<u16>) -> Proof {
        ProofKey::of(secret).prove(&"07".repeat(NONCE_BYTES), port).unwrap()
    }

    #[test]
    fn only_the_answer_of_who_holds_the_secret_to_this_nonce_on_this_port_proves_it() {
        let key = ProofKey::of("secret");
        assert!(key.is_proven_by(&answer("secret", Some(7373)), &NONCE, 7373));
        assert!(key.is_proven_by(&answer("secret", None), &NONCE, 7373));
        assert!(!key.is_proven_by(&answer("other", Some(7373)), &NONCE, 7373));
        assert!(!key.is_proven_by(&answer("secret", Some(7374)), &NONCE, 7373), "passed on");
        assert!(!key.is_proven_by(&answer("secret", Some(7373)), &[8; NONCE_BYTES], 7373));
        let mut other_port = answer("secret", Some(7374));
        other_port.port = Some(7373);
        assert!(!key.is_proven_by(&other_port, &NONCE, 7373));
        other_port.port = None;
        assert!(!key.is_proven_by(&other_port, &NONCE, 7373));
        let no_hex = Proof { proof: "x".repeat(64), port: None };
        assert!(!key.is_proven_by(&no_hex, &NONCE, 7373));
    }

    #[test]
    fn the_answer_stays_the_same_in_all_versions() {
        assert_eq!(
            answer("secret", Some(7373)).proof,
            "79955c436f543956cd554807943c85f85c6fb0e91f618d490bfd5713d17e0fdb"
        );
    }

    #[test]
    fn what_is_no_nonce_has_no_answer() {
        for nonce in ["", "07", &"07".repeat(33), &"0x".repeat(32)] {
            assert_eq!(ProofKey::of("secret").prove(nonce, None), None, "{nonce}");
        }
    }

    #[test]
    fn a_key_has_an_id_and_a_secret() {
        assert_eq!(parts("cfk_local_a_b\n"), Some(("local", "a_b")));
        for none in ["", "cfk_", "cfk_local", "cfk__a", "cfk_local_", "key_local_a"] {
            assert_eq!(parts(none), None, "{none}");
        }
    }
}
