//! `${VARIABLE}` in texts, as in `docker compose`: `$VARIABLE`, `${VARIABLE}`, `${VARIABLE:-default}`,
//! `${VARIABLE-default}`, `${VARIABLE:?error}`, `${VARIABLE?error}`, `${VARIABLE:+other}`, `${VARIABLE+other}`, and
//! `$$` for a dollar. Keys are not interpolated.

use std::collections::BTreeSet;

use yaml::Node;

use crate::at::{Flaw, Result, below};

/// How deep defaults may be nested.
const DEPTH_MAX: usize = 16;

type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Returns the value with the variables of all its texts replaced. Variables that are not set and have no default are
/// noted, and count as empty.
pub(super) fn interpolated(
    node: &Node,
    path: &str,
    variables: Variables<'_>,
    unset: &mut BTreeSet<String>,
) -> Result<Node> {
    match node {
        Node::Text(text) => {
            let mut filling = Filling { variables, unset };
            filling.fill(text, 0).map(Node::Text).map_err(|what| Flaw::new(path, what))
        }
        Node::List(list) => list
            .iter()
            .enumerate()
            .map(|(at, node)| interpolated(node, &format!("{path}[{at}]"), variables, unset))
            .collect::<Result<_>>()
            .map(Node::List),
        Node::Map(entries) => entries
            .iter()
            .map(|(key, node)| {
                Ok((key.clone(), interpolated(node, &below(path, key), variables, unset)?))
            })
            .collect::<Result<_>>()
            .map(Node::Map),
        plain => Ok(plain.clone()),
    }
}

/// Returns a text with its variables replaced; those that are not set count as empty.
///
/// # Errors
/// What is wrong with it.
pub(super) fn fill(text: &str, variables: Variables<'_>) -> Result<String, String> {
    Filling { variables, unset: &mut BTreeSet::new() }.fill(text, 0)
}

struct Filling<'a> {
    variables: Variables<'a>,
    unset: &'a mut BTreeSet<String>,
}

impl Filling<'_> {
    fn fill(&mut self, text: &str, depth: usize) -> Result<String, String> {
        if depth > DEPTH_MAX {
            return Err("its defaults are nested too deep".into());
        }
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            filled.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                filled.push('$');
                rest = after;
            } else if let Some(inside) = rest.strip_prefix('{') {
                let end =
                    closing(inside).ok_or_else(|| format!("`${rest}` has no closing `}}`"))?;
                filled.push_str(&self.braced(&inside[..end], depth)?);
                rest = &inside[end + 1..];
            } else {
                let name = name_of(rest);
                if name.is_empty() {
                    return Err("a literal `$` is written `$$`".into());
                }
                filled.push_str(&self.plain(name));
                rest = &rest[name.len()..];
            }
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn plain(&mut self, name: &str) -> String {
        (self.variables)(name).unwrap_or_else(|| {
            self.unset.insert(name.to_owned());
            String::new()
        })
    }

    /// Replaces the expression between `${` and `}`.
    fn braced(&mut self, inside: &str, depth: usize) -> Result<String, String> {
        let name = name_of(inside);
        if name.is_empty() {
            return Err(format!("`${{{inside}}}` names no variable"));
        }
        let rule = &inside[name.len()..];
        if rule.is_empty() {
            return Ok(self.plain(name));
        }
        let (empty_counts, rule) = match rule.strip_prefix(':') {
            Some(rule) => (false, rule),
            None => (true, rule),
        };
        let value = (self.variables)(name).filter(|value| empty_counts || !value.is_empty());
        let mut rule = rule.chars();
        match (rule.next(), value) {
            (Some('-' | '?'), Some(value)) => Ok(value),
            (Some('-'), None) | (Some('+'), Some(_)) => self.fill(rule.as_str(), depth + 1),
            (Some('+'), None) => Ok(String::new()),
            (Some('?'), None) if rule.as_str().is_empty() => Err(format!("{name} must be set")),
            (Some('?'), None) => Err(format!("{name} must be set: {}", rule.as_str())),
            _ => Err(format!("`${{{inside}}}` is not supported")),
        }
    }
}

/// Returns the name at the beginning of a text; empty if there is none.
fn name_of(text: &str) -> &str {
    let is_in = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return "";
    }
    &text[..text.find(|letter| !is_in(letter)).unwrap_or(text.len())]
}

/// Returns the position of the matching `}`.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    let mut before = ' ';
    for (at, letter) in text.char_indices() {
        match letter {
            '{' if before == '$' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
        before = letter;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> String {
        let variables = |name: &str| match name {
            "SET" => Some("x".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let mut unset = BTreeSet::new();
        match interpolated(&Node::Text(text.into()), "a.b", &variables, &mut unset) {
            Ok(Node::Text(text)) if unset.is_empty() => text,
            Ok(Node::Text(text)) => format!("{text} unset {unset:?}"),
            other => other.map_or_else(|flaw| flaw.to_string(), |node| node.kind()),
        }
    }

    #[test]
    fn variables_are_filled_in_as_compose_does() {
        for (text, expected) in [
            ("a-$SET-${SET}b", "a-x-xb"),
            ("${EMPTY:-d}|${EMPTY-d}|${NO:-d}|${NO-d}|${NO:-}", "d||d|d|"),
            ("${NO:-${NO:-${SET}}}/${NO:-{a}}", "x/{a}"),
            ("${SET:+y}|${EMPTY:+y}|${EMPTY+y}|${NO+y}", "y||y|"),
            ("$$SET $${SET}", "$SET ${SET}"),
            ("${SET:?why}", "x"),
            ("[$NO]", "[] unset {\"NO\"}"),
            ("${NO:?set it}", "a.b: NO must be set: set it"),
            ("${NO?}", "a.b: NO must be set"),
            ("${", "a.b: `${` has no closing `}`"),
            ("${}", "a.b: `${}` names no variable"),
            ("${SET/a/b}", "a.b: `${SET/a/b}` is not supported"),
            ("1$", "a.b: a literal `$` is written `$$`"),
        ] {
            assert_eq!(filled(text), expected, "{text}");
        }
    }
}
