//! The token by which services in processes of their own authenticate each other. In one process there is none.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::config::{self, ConfigError};

/// In which header, and in which metadata of gRPC, the token goes.
pub const SERVICE_TOKEN: HeaderName = HeaderName::from_static("x-chefcito-service-token");
/// The shortest token, in bytes: a shorter one could be tried out.
const TOKEN_BYTES_MIN: usize = 16;
const VARIABLE: &str = "CHEFCITO_SERVICE_TOKEN";

/// What a service shows, and what it wants to see: the same for all services of an environment.
#[derive(Clone)]
pub struct ServiceToken(HeaderValue);

impl fmt::Debug for ServiceToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ServiceToken(…)")
    }
}

impl ServiceToken {
    /// Takes a text of at least 16 visible ASCII characters for a token; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible || text.len() < TOKEN_BYTES_MIN {
            return None;
        }
        let mut value = HeaderValue::from_str(text).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    /// Returns a new random token, for services of one process that listen on the machine nevertheless.
    #[must_use]
    pub fn random() -> Self {
        let text = Uuid::new_v4().simple().to_string();
        Self::parse(&text).expect("a UUID has 32 visible characters")
    }

    /// Reads `CHEFCITO_SERVICE_TOKEN`, or the file that `CHEFCITO_SERVICE_TOKEN_FILE` names. A service that starts without a token
    /// would answer everybody who reaches it, so there is no default.
    ///
    /// # Errors
    /// [`ConfigError`] if neither is set, it can't be read, or it is no token.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let expected =
            "a secret of at least 16 visible ASCII characters, the same for all services";
        let text = config::secret(VARIABLE)?.ok_or_else(|| config::missing(VARIABLE, expected))?;
        Self::parse(&text).ok_or_else(|| ConfigError::Invalid {
            variable: VARIABLE.into(),
            expected,
            value: format!("({} bytes, not shown)", text.len()),
        })
    }

    /// Returns it as a header's value.
    #[must_use]
    pub const fn value(&self) -> &HeaderValue {
        &self.0
    }

    /// Returns whether the headers of a request show this token. How long that takes tells nothing of it but its length.
    #[must_use]
    pub fn is_shown_by(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(SERVICE_TOKEN).map(HeaderValue::as_bytes).unwrap_or_default();
        bool::from(shown.ct_eq(self.0.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0123456789abcdef";

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = ServiceToken::parse(TEXT).unwrap();
        let shown = |text: &str| {
            HeaderMap::from_iter([(SERVICE_TOKEN, HeaderValue::from_str(text).unwrap())])
        };
        assert!(token.is_shown_by(&shown(TEXT)));
        for other in ["", "0", "0123456789abcdeF", "0123456789abcdef0"] {
            assert!(!token.is_shown_by(&shown(other)), "{other}");
        }
        assert!(!token.is_shown_by(&HeaderMap::new()));
        assert!(!format!("{token:?} {:?}", token.value()).contains(TEXT));
    }

    #[test]
    fn a_random_token_has_no_twin() {
        let [one, other] = [ServiceToken::random(), ServiceToken::random()];
        let shown = HeaderMap::from_iter([(SERVICE_TOKEN, one.value().clone())]);
        assert!(one.is_shown_by(&shown) && !other.is_shown_by(&shown));
    }

    #[test]
    fn what_could_be_guessed_or_not_be_sent_is_no_token() {
        for bad in ["", "short", "0123456789abcde", "0123456789 abcdef", "0123456789äbcdef"] {
            assert!(ServiceToken::parse(bad).is_none(), "{bad}");
        }
    }
}
