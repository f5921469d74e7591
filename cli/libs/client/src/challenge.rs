//! A question that only the gateway of a key can answer.

use std::{fmt, net::SocketAddr};

use contracts::api::proof::{self, NONCE_BYTES, Proof, ProofKey};
use http::StatusCode;

use crate::NotAKey;

/// The largest answer: far above a proof, and above a problem document.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// What asks a gateway to prove that it holds a key. The questions do not reveal the key.
#[derive(Clone)]
pub struct Challenger {
    id: String,
    key: ProofKey,
}

/// One question, which is asked once.
#[derive(Debug)]
pub struct Challenge<'a> {
    challenger: &'a Challenger,
    nonce: [u8; NONCE_BYTES],
}

/// The program that listens at the address of a gateway did not prove that it is the gateway of the key.
#[derive(Debug, thiserror::Error)]
#[error(
    "what listens at {address} did not prove that it is the environment's gateway: {why}; it was not sent the API key"
)]
pub struct Unproven {
    /// The address.
    pub address: SocketAddr,
    /// What was wrong with its answer.
    pub why: String,
}

impl fmt::Debug for Challenger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Challenger").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Challenger {
    /// Returns what asks for proofs that a gateway holds this key.
    ///
    /// # Errors
    /// [`NotAKey`] if it is not like `cfk_<id>_<secret>`.
    pub fn new(key: &str) -> Result<Self, NotAKey> {
        let (id, secret) = proof::parts(key).ok_or(NotAKey)?;
        let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_plain.then(|| Self { id: id.to_owned(), key: ProofKey::of(secret) }).ok_or(NotAKey)
    }

    /// Returns a new question.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn challenge(&self) -> Result<Challenge<'_>, getrandom::Error> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        Ok(Challenge { challenger: self, nonce })
    }
}

impl Challenge<'_> {
    /// Returns the path and the query of the GET that asks it.
    #[must_use]
    pub fn path(&self) -> String {
        let nonce: String = self.nonce.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}?key={}&nonce={nonce}", proof::PATH, self.challenger.id)
    }

    /// Checks the answer of what listens at an address.
    ///
    /// # Errors
    /// [`Unproven`].
    pub fn check(
        &self,
        status: StatusCode,
        body: &[u8],
        address: SocketAddr,
    ) -> Result<(), Unproven> {
        let unproven = |why| Unproven { address, why };
        if !status.is_success() {
            // What it says of itself is not repeated: it may be anybody.
            return Err(unproven(match status {
                StatusCode::UNAUTHORIZED => {
                    "it does not know the question, as gateways of earlier versions".into()
                }
                StatusCode::NOT_FOUND => "it does not know the local admin key".into(),
                status => format!("it answered {status}"),
            }));
        }
        let said: Proof = serde_json::from_slice(body)
            .map_err(|_| unproven("it answered with something that is no proof".into()))?;
        if self.challenger.key.is_proven_by(&said, &self.nonce, address.port()) {
            return Ok(());
        }
        Err(unproven(match said.port {
            Some(port) if port != address.port() => {
                format!("it passed on the answer for port {port}")
            }
            _ => "it does not hold the local admin key".into(),
        }))
    }
}
