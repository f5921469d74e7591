//! Splits a command into words as a shell would, without running one.

/// Returns the words of a command; `None` if a quote is not closed, or if it has a character that only a shell understands: docker
/// compose drops what follows it.
pub(super) fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '\'' => break,
                        letter => word.push(letter),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '"' => break,
                        '\\' => match letters.next()? {
                            escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                            other => word.extend(['\\', other]),
                        },
                        letter => word.push(letter),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(letters.next()?),
            '`' | '(' | ')' | ';' | '&' | '|' | '<' | '>' => return None,
            letter if letter.is_whitespace() => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_together_what_belongs_together() {
        assert_eq!(
            words(r#"/bin/sh -c "echo \"a b\" \n" 'it''s' a\ b '' "#).unwrap(),
            ["/bin/sh", "-c", r#"echo "a b" \n"#, "its", "a b", ""]
        );
        assert_eq!(words("  ").unwrap(), [""; 0]);
        for open in ["'a", "\"a", "a\\", "\"a\\", "a > b", "a; b", "`a`", "a && b", "(a)"] {
            assert_eq!(words(open), None, "{open}");
        }
    }
}
