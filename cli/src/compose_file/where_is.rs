//! Finds the line of a path in a text, since the parser does not report it: looks for the keys of the path, one below
//! the other.

use super::at::Flaw;

/// Returns the line, from 1, of the last key of the path that is found; `None` if not even the first is.
pub(crate) fn line_of(text: &str, flaw: &Flaw) -> Option<usize> {
    if flaw.line.is_some() {
        return flaw.line;
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut found = None;
    // The lines in which the next key may be: those that are indented further than its parent.
    let (mut from, mut to, mut indent_min) = (0, lines.len(), 0);
    for key in flaw.path.split('.') {
        let key = key.split('[').next().unwrap_or(key);
        let own = |line: &str| {
            let key_part = line.trim_start().trim_start_matches(['"', '\'']);
            let after = key_part.strip_prefix(key)?.trim_start_matches(['"', '\'']);
            (after.starts_with(':') && indent(line) >= indent_min).then(|| indent(line))
        };
        let Some((at, depth)) = (from..to).find_map(|at| Some((at, own(lines[at])?))) else {
            break;
        };
        found = Some(at + 1);
        let is_outside = |at: &usize| !is_blank(lines[*at]) && indent(lines[*at]) <= depth;
        to = (at + 1..to).find(is_outside).unwrap_or(to);
        (from, indent_min) = (at + 1, depth + 1);
    }
    found
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn is_blank(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}
