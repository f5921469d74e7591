//! What a failure of Redis means to an operator.

use ::redis::{ErrorKind, RedisError};

use store::chain;

/// How Redis says what it refuses, what that is, why, and what to try. The code stands anywhere in the text: an error within a
/// pipeline or a script is wrapped into another one, and the client library writes some of the codes in other letters.
const REFUSALS: [(&str, &str, &str); 6] = [
    ("READONLY", WRITES, "it is a read-only replica; use the address of the primary (READONLY)"),
    ("OOM", WRITES, "its memory is full; raise `maxmemory` (OOM)"),
    ("MISCONF", WRITES, "it can't save to its disk; see the log of Redis (MISCONF)"),
    ("WRONGPASS", PASSWORD, WRONG_PASSWORD),
    (
        "NOAUTH",
        CONNECTIONS,
        "it asks for a password and its address has none; write the address as redis://default:PASSWORD@HOST:PORT (NOAUTH)",
    ),
    (
        "NOPERM",
        "refuses a command",
        "its account lacks it; restart Redis if its file of users is new, else allow the account that command (NOPERM)",
    ),
];

const WRITES: &str = "refuses writes";
const PASSWORD: &str = "refuses the password";
const CONNECTIONS: &str = "refuses connections";
const WRONG_PASSWORD: &str =
    "the password in its address is not that of Redis; correct the one or the other (WRONGPASS)";

/// Returns what Redis does, as the rest of a sentence, and why.
pub(super) fn describe(error: &RedisError) -> (&'static str, String) {
    // The client library leaves out what Redis said of a password.
    if error.kind() == ErrorKind::AuthenticationFailed {
        return (PASSWORD, WRONG_PASSWORD.to_owned());
    }
    let text = chain(error);
    let is_word = |code: &str| {
        text.split(|one: char| !one.is_ascii_alphanumeric())
            .any(|word| word.eq_ignore_ascii_case(code))
    };
    match REFUSALS.into_iter().find(|(code, _, _)| is_word(code)) {
        Some((_, what, why)) => (what, why.to_owned()),
        None => ("does not answer", text),
    }
}
