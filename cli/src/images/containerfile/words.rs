//! The arguments of instructions.

/// Returns the only word.
///
/// # Errors
/// A sentence, if there are more or none, or it has a variable.
pub(super) fn word(arguments: &str) -> Result<String, String> {
    let mut words = words(arguments)?;
    match (words.pop(), words.is_empty()) {
        (Some(word), true) if !word.contains('$') => Ok(word),
        _ => Err(format!("`{arguments}` should be one word, without variables")),
    }
}

/// Returns the texts of a JSON list: a program and its arguments.
///
/// # Errors
/// A sentence, if it is not such a list.
pub(super) fn exec_form(arguments: &str) -> Result<Vec<String>, String> {
    serde_json::from_str(arguments)
        .map_err(|_| format!("`{arguments}` should be like [\"/orders\", \"--health\"]: there is no shell in the image"))
}

/// Returns the pairs of `name=value other="a value"`.
///
/// # Errors
/// A sentence, if a word is not a pair, or has a variable.
pub(super) fn pairs(arguments: &str) -> Result<Vec<(String, String)>, String> {
    words(arguments)?
        .iter()
        .map(|word| match word.split_once('=') {
            Some((_, value)) if value.contains('$') => {
                Err(format!("`{word}` has a variable, which is not supported"))
            }
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(format!("`{word}` should be like name=\"value\"")),
        })
        .collect()
}

/// Splits at blanks outside of quotes, and removes the quotes.
fn words(arguments: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = arguments.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                let _begun = word.get_or_insert_default();
            }
            (None, blank) if blank.is_whitespace() => words.extend(word.take()),
            (Some('"') | None, '\\') => word.get_or_insert_default().extend(characters.next()),
            (_, character) => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    match quote {
        Some(quote) => Err(format!("a {quote} is not closed")),
        None => Ok(words),
    }
}

/// Returns the nanoseconds of a time like `10s`.
///
/// # Errors
/// A sentence, if it is not a time.
pub(super) fn nanoseconds(text: &str) -> Result<u64, String> {
    service::config::parse_duration(text)
        .and_then(|duration| u64::try_from(duration.as_nanos()).ok())
        .ok_or_else(|| format!("`{text}` should be a time like 10s"))
}
