//! How a browser comes in: by a link that works once, and then by a cookie.
//!
//! A cookie is sent along by whatever page asks, so a session counts for requests of this gateway's own page alone: the `Origin` must
//! be exactly the one under which the gateway was found, and `Host` a name that the gateway goes by. Otherwise a page elsewhere could
//! ask in the user's name, from another port of this machine too, or after it made its own name lead here.

use std::{str::FromStr, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, uri::Authority},
};
use contracts::{Timestamp, api::gateway::Role};
use subtle::ConstantTimeEq;

use crate::keys::{Holder, KeyRing, KeyText};

/// How long a sign-in link works.
pub(crate) const LINK_VALID_FOR: Duration = Duration::from_secs(600);
/// How long a session lasts: a shift and what comes before and after it. Longer than its link works, so that the session that a link
/// opened is still known when the link is tried again.
pub(crate) const SESSION_VALID_FOR: Duration = Duration::from_secs(12 * 3_600);
const _: () = assert!(SESSION_VALID_FOR.as_secs() > LINK_VALID_FOR.as_secs());
/// The names of this machine, which no page elsewhere can make lead anywhere else.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
/// Browsers say in it where a request comes from.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The address under which browsers reach a gateway that is behind another server: `https://chefcito.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    is_https: bool,
    authority: Authority,
}

/// A text that is no [`PublicUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the address of a page: it should be like https://chefcito.example.com, without a path"
)]
pub struct ParsePublicUrlError;

impl FromStr for PublicUrl {
    type Err = ParsePublicUrlError;

    fn from_str(text: &str) -> Result<Self, ParsePublicUrlError> {
        let parts = text.trim().parse::<Uri>().map_err(|_| ParsePublicUrlError)?.into_parts();
        let is_https = match parts.scheme.as_ref().map(|scheme| scheme.as_str()) {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(ParsePublicUrlError),
        };
        let authority = parts.authority.ok_or(ParsePublicUrlError)?;
        // Browsers leave the default port out.
        let default = if is_https { ":443" } else { ":80" };
        let authority = match authority.as_str().strip_suffix(default) {
            Some(host) => host.parse().map_err(|_| ParsePublicUrlError)?,
            None => authority,
        };
        let has_path = parts.path_and_query.is_some_and(|path| path != "/");
        if has_path || authority.as_str().contains('@') {
            return Err(ParsePublicUrlError);
        }
        Ok(Self { is_https, authority })
    }
}

/// Where a browser says that it found the gateway: a place that the gateway goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    is_https: bool,
    authority: Authority,
}

impl Site {
    /// Returns the site; `None` if the gateway goes by no such name.
    pub(crate) fn of(request: &Request, public: Option<&PublicUrl>) -> Option<Self> {
        let said = match request.uri().authority() {
            Some(authority) => authority.as_str(),
            None => only(request.headers(), &header::HOST)?,
        };
        let authority: Authority = said.parse().ok()?;
        let is_loopback = LOOPBACK.iter().any(|name| authority.host().eq_ignore_ascii_case(name));
        match public {
            Some(public) if public.authority == authority => {
                Some(Self { is_https: public.is_https, authority })
            }
            _ if is_loopback && !said.contains('@') => Some(Self { is_https: false, authority }),
            _ => None,
        }
    }

    /// Returns the origin of its pages.
    fn origin(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{}", self.authority).to_ascii_lowercase()
    }

    /// Returns whether a request comes from a page of this site. A browser names no origin when it only reads from the site itself, and
    /// asks for no WebSocket; one that says where the request comes from says so then, too.
    pub(crate) fn is_origin_of(&self, method: &Method, headers: &HeaderMap) -> bool {
        if headers.contains_key(header::ORIGIN) {
            return only(headers, &header::ORIGIN) == Some(self.origin().as_str());
        }
        let only_reads =
            matches!(*method, Method::GET | Method::HEAD) && !headers.contains_key(header::UPGRADE);
        let is_own = match headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes) {
            None | Some(b"same-origin" | b"none") => true,
            Some(_) => false,
        };
        only_reads && is_own
    }

    /// Returns the name of the cookie. Browsers send cookies to all ports of a host, so the port is in the name. Under https, browsers
    /// take one of this name from the very host alone, and not from one beside it
    /// (<https://www.rfc-editor.org/rfc/rfc6265bis>, 4.1.3).
    fn cookie_name(&self) -> String {
        let (prefix, default) = if self.is_https { ("__Host-", 443) } else { ("", 80) };
        format!("{prefix}chefcito-{}", self.authority.port_u16().unwrap_or(default))
    }

    /// Returns the header that gives a browser a session.
    pub(crate) fn cookie(&self, session: &str) -> Option<HeaderValue> {
        self.cookie_for(session, SESSION_VALID_FOR)
    }

    /// Returns the header that takes the session from the browser.
    pub(crate) fn no_cookie(&self) -> Option<HeaderValue> {
        self.cookie_for("", Duration::ZERO)
    }

    fn cookie_for(&self, session: &str, valid_for: Duration) -> Option<HeaderValue> {
        let secure = if self.is_https { "; Secure" } else { "" };
        let cookie = format!(
            "{}={session}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
            self.cookie_name(),
            valid_for.as_secs()
        );
        HeaderValue::from_str(&cookie).ok()
    }
}

/// What a request shows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown<'a> {
    Nothing,
    Key(KeyText<'a>),
    Session(KeyText<'a>),
    /// A session, from a page of another origin.
    Foreign,
}

impl<'a> Shown<'a> {
    /// Returns what a request shows, whether it is known or not. A key counts more than a cookie, which a browser adds by itself.
    pub(crate) fn by(request: &'a Request, public: Option<&PublicUrl>) -> Self {
        let headers = request.headers();
        if let Some(shown) = headers.get(header::AUTHORIZATION) {
            return bearer(shown).map_or(Self::Nothing, Self::Key);
        }
        if !headers.contains_key(header::COOKIE) {
            return Self::Nothing;
        }
        let Some(site) = Site::of(request, public) else { return Self::Nothing };
        match cookie(headers, &site.cookie_name()).and_then(KeyText::parse) {
            None => Self::Nothing,
            Some(_) if !site.is_origin_of(request.method(), headers) => Self::Foreign,
            Some(session) => Self::Session(session),
        }
    }

    /// Returns the key, or the session.
    pub(crate) const fn text(self) -> Option<KeyText<'a>> {
        match self {
            Self::Key(text) | Self::Session(text) => Some(text),
            Self::Nothing | Self::Foreign => None,
        }
    }
}

fn bearer(shown: &HeaderValue) -> Option<KeyText<'_>> {
    let (scheme, text) = shown.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    KeyText::parse(text.trim())
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(has, value)| (has == name).then_some(value))
}

/// Returns the header, if there is exactly one.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

/// What a sign-in link says, taken apart: `<key>_<session>_<role>_<second>_<code>`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link<'a> {
    /// The id of the key that made it.
    pub(crate) key: &'a str,
    /// The id of the session that it opens. It can be opened once, so the link works once.
    pub(crate) session: &'a str,
    pub(crate) role: Role,
    pub(crate) expires_at: Timestamp,
    signed: &'a str,
    code: &'a str,
}

impl<'a> Link<'a> {
    /// Returns the token of a new link by which a browser gets the session of this id and role.
    pub(crate) fn make(
        keys: &KeyRing,
        holder: &Holder,
        session: &str,
        role: Role,
        expires_at: Timestamp,
    ) -> String {
        let seconds = expires_at.as_micros() / 1_000_000;
        let signed = format!("{}_{session}_{role}_{seconds}", holder.id);
        let code = hex(&keys.code(holder, &signed));
        format!("{signed}_{code}")
    }

    /// Takes a token apart; `None` if it is none. Whether it is true is another question.
    pub(crate) fn parse(token: &'a str) -> Option<Self> {
        let (signed, code) = token.rsplit_once('_')?;
        let mut parts = signed.split('_');
        let (key, session) = (parts.next()?, parts.next()?);
        let (role, seconds) = (parts.next()?.parse().ok()?, parts.next()?.parse::<i64>().ok()?);
        let expires_at = Timestamp::from_micros(seconds.checked_mul(1_000_000)?);
        parts.next().is_none().then_some(Self { key, session, role, expires_at, signed, code })
    }

    /// Returns whether a gateway with these keys made it for this holder.
    pub(crate) fn is_of(&self, keys: &KeyRing, holder: &Holder) -> bool {
        let code = hex(&keys.code(holder, self.signed));
        code.as_bytes().ct_eq(self.code.as_bytes()).into()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
