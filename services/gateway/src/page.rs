//! The page: three files, which are part of the program.

use std::{io::Write, sync::LazyLock};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};

/// What a browser may do on the page: run its scripts, apply its styles, ask this gateway. Nothing of elsewhere, no text as code.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
require-trusted-types-for 'script'; trusted-types 'none'";

/// Where the page is.
pub(crate) const PATH: &str = "/board";
/// What is before the token in the fragment of a sign-in link.
pub(crate) const SIGN_IN: &str = "sign-in=";

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum File {
    Document,
    Script,
    Style,
}

/// A file as it is sent.
struct Prepared {
    bytes: &'static [u8],
    gzipped: Vec<u8>,
    /// Names the content, in quotes.
    tag: HeaderValue,
}

impl Prepared {
    fn new(bytes: &'static [u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Writing to memory does not fail; an empty one would be seen at once, and is never sent.
        let gzipped = match encoder.write_all(bytes) {
            Ok(()) => encoder.finish().unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let hash = blake3::hash(bytes).to_hex();
        let tag = HeaderValue::from_str(&format!("\"{}\"", &hash[..16]));
        Self { bytes, gzipped, tag: tag.unwrap_or(HeaderValue::from_static("\"\"")) }
    }
}

/// The page's document. It refers to the other two as `/board/app.js` and `/board/app.css`.
pub const DOCUMENT: &str = include_str!("../page/dist/index.html");
/// The page's script, a module. A snapshot, which is in the document as the JSON of the element `snapshot`, is shown by it without a
/// gateway.
pub const SCRIPT: &str = include_str!("../page/dist/app.js");
/// The page's style.
pub const STYLE: &str = include_str!("../page/dist/app.css");

static PREPARED_DOCUMENT: LazyLock<Prepared> = LazyLock::new(|| Prepared::new(DOCUMENT.as_bytes()));
static PREPARED_SCRIPT: LazyLock<Prepared> = LazyLock::new(|| Prepared::new(SCRIPT.as_bytes()));
static PREPARED_STYLE: LazyLock<Prepared> = LazyLock::new(|| Prepared::new(STYLE.as_bytes()));

impl File {
    /// Returns its media type.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Document => "text/html; charset=utf-8",
            Self::Script => "text/javascript; charset=utf-8",
            Self::Style => "text/css; charset=utf-8",
        }
    }

    fn prepared(self) -> &'static Prepared {
        match self {
            Self::Document => &PREPARED_DOCUMENT,
            Self::Script => &PREPARED_SCRIPT,
            Self::Style => &PREPARED_STYLE,
        }
    }

    /// Answers who asks for it; a browser that has it is told so.
    pub(crate) fn answer(self, asked: &HeaderMap) -> Response {
        let Prepared { bytes, gzipped, tag } = self.prepared();
        // A proxy that compresses marks the tag as that of a weaker sameness.
        let is_known = parts(asked, &header::IF_NONE_MATCH)
            .any(|has| has.trim_start_matches("W/").as_bytes() == tag.as_bytes());
        let takes_gzip = parts(asked, &header::ACCEPT_ENCODING)
            .any(|encoding| encoding.split(';').next() == Some("gzip"));
        let mut response = match (is_known, takes_gzip && !gzipped.is_empty()) {
            (true, _) => StatusCode::NOT_MODIFIED.into_response(),
            (false, true) => Body::from(gzipped.as_slice()).into_response(),
            (false, false) => Body::from(*bytes).into_response(),
        };
        let fixed = |text: &'static str| HeaderValue::from_static(text);
        let headers = response.headers_mut();
        if !is_known && takes_gzip && !gzipped.is_empty() {
            headers.insert(header::CONTENT_ENCODING, fixed("gzip"));
        }
        let said = [
            (header::CONTENT_TYPE, fixed(self.media_type())),
            (header::ETAG, tag.clone()),
            // A newer gateway has another page under the same name.
            (header::CACHE_CONTROL, fixed("no-cache")),
            (header::VARY, fixed("accept-encoding")),
            (header::CONTENT_SECURITY_POLICY, fixed(CONTENT_SECURITY_POLICY)),
            (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
            (header::X_FRAME_OPTIONS, fixed("DENY")),
            (header::REFERRER_POLICY, fixed("no-referrer")),
            (HeaderName::from_static("cross-origin-opener-policy"), fixed("same-origin")),
            (HeaderName::from_static("cross-origin-resource-policy"), fixed("same-origin")),
        ];
        headers.extend(said);
        response
    }
}

/// Returns the parts of a header that is a list.
fn parts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let text = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(',').map(str::trim)
}
