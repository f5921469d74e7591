//! What a failure of Redis means to an operator.

use ::redis::RedisError;

use store::chain;

/// How Redis says that it takes no writes, and what that means. The code stands anywhere in the text: an error within a
/// pipeline or a script is wrapped into another one, and the client library writes some of the codes in other letters.
const REFUSALS: [(&str, &str); 3] = [
    ("READONLY", "it is a read-only replica; use the address of the primary (READONLY)"),
    ("OOM", "its memory is full; raise `maxmemory` (OOM)"),
    ("MISCONF", "it can't save to its disk; see the log of Redis (MISCONF)"),
];

/// Returns what Redis does, as the rest of a sentence, and why.
pub(super) fn describe(error: &RedisError) -> (&'static str, String) {
    let text = chain(error);
    let is_word = |code: &str| {
        text.split(|one: char| !one.is_ascii_alphanumeric())
            .any(|word| word.eq_ignore_ascii_case(code))
    };
    match REFUSALS.into_iter().find(|(code, _)| is_word(code)) {
        Some((_, why)) => ("refuses writes", why.to_owned()),
        None => ("does not answer", text),
    }
}
