//! What a misspelt name may have meant.

/// How similar two names must be, from 0 to 1. Less similar ones have only letters in common: `pantry` and `inventory`.
const SIMILARITY_MIN: f64 = 0.8;

/// Returns the most similar name, if one is similar.
pub(crate) fn did_you_mean<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let similarity = |known: &str| strsim::jaro(name, known);
    let similar = known.into_iter().map(|known| (similarity(known), known));
    let (_, name) = similar
        .filter(|(similarity, _)| *similarity > SIMILARITY_MIN)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    Some(name)
}

/// Returns names in a list for people: `a`, `b`.
pub(crate) fn one_of(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
