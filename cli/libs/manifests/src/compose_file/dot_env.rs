//! `.env` beside a compose file, as docker compose reads it: `NAME=value`, `export NAME=value`, `NAME: value`, `#` comments,
//! values in single quotes as they are, in double quotes with escapes, and `${VARIABLE}` of the shell and of lines before.
//! Quoted values may have several lines.

use std::{collections::BTreeMap, io::Read, path::Path};

use super::interpolation::fill;
use crate::{
    error::{Error, Result},
    quantities::size,
};

/// The name of the file.
const FILE_NAME: &str = ".env";
/// The largest file that is read.
const BYTES_MAX: u64 = 1024 * 1024;

/// The variables of a file, and those of the shell, which go before them.
type Shell<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads the file of a folder; there may be none.
///
/// # Errors
/// [`Error::Io`] if it can't be read; [`Error::BadFile`] with the line that docker compose would not read either.
pub(super) fn read(folder: &Path, shell: Shell<'_>) -> Result<BTreeMap<String, String>> {
    let path = folder.join(FILE_NAME);
    let file = match files::open_regular(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(Error::Io { path, source }),
    };
    let mut text = String::new();
    if let Err(source) = file.take(BYTES_MAX + 1).read_to_string(&mut text) {
        return Err(Error::Io { path, source });
    }
    if text.len() as u64 > BYTES_MAX {
        return Err(Error::BadFile {
            path,
            detail: format!("it has more than {}", size(BYTES_MAX)),
        });
    }
    parsed(&text, shell).map_err(|detail| Error::BadFile { path, detail })
}

/// Parses the text of a file. The error names the line.
fn parsed(text: &str, shell: Shell<'_>) -> Result<BTreeMap<String, String>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut values = BTreeMap::new();
    let mut rest = text.as_str();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(values);
        }
        let line = 1 + text[..text.len() - rest.len()].matches('\n').count();
        if rest.starts_with('#') {
            rest = after_line(rest);
            continue;
        }
        let (statement, after) = statement(rest).map_err(|what| format!("line {line}: {what}"))?;
        rest = after;
        // A name alone means the variable of the shell, which is read anyway.
        let Some((name, value)) = statement else { continue };
        let known = |name: &str| shell(name).or_else(|| values.get(name).cloned());
        let value = match value {
            Value::AsIs(text) => text,
            Value::ToFill(text) => {
                fill(&text, &known).map_err(|what| format!("line {line}: {what}"))?
            }
        };
        values.insert(name.to_owned(), value);
    }
}

/// A value as it is written.
enum Value {
    AsIs(String),
    /// With variables to fill in.
    ToFill(String),
}

type Statement<'a> = (Option<(&'a str, Value)>, &'a str);

/// Returns the first statement of a text, and what follows it.
fn statement(text: &str) -> Result<Statement<'_>, String> {
    let text = match text.strip_prefix("export") {
        Some(after) if after.starts_with([' ', '\t']) => after.trim_start_matches([' ', '\t']),
        _ => text,
    };
    let end = text.find(['=', ':', '\n']).unwrap_or(text.len());
    let name = text[..end].trim_end();
    let is_in = |letter: char| letter.is_alphanumeric() || "_.-[]".contains(letter);
    if let Some(odd) = name.chars().find(|letter| !is_in(*letter)) {
        return Err(format!("`{odd}` can't be in the name of a variable"));
    }
    let after = &text[end..];
    if after.is_empty() || after.starts_with('\n') {
        return Ok((None, after));
    }
    if name.is_empty() {
        return Err("there is no name before the value".into());
    }
    let (value, after) = value(after[1..].trim_start_matches([' ', '\t']), name)?;
    Ok((Some((name, value)), after))
}

/// Returns the value at the beginning of a text, and what follows it.
fn value<'a>(text: &'a str, name: &str) -> Result<(Value, &'a str), String> {
    let Some(quote) = text.chars().next().filter(|first| ['"', '\''].contains(first)) else {
        let line = text.split('\n').next().unwrap_or_default();
        let comment = [" #", "\t#"].into_iter().filter_map(|mark| line.find(mark)).min();
        let comment = if line.starts_with('#') { Some(0) } else { comment };
        let value = line[..comment.unwrap_or(line.len())].trim_end();
        return Ok((Value::ToFill(value.to_owned()), &text[line.len()..]));
    };
    let inside = &text[1..];
    let end = closing(inside, quote).ok_or_else(|| {
        format!("the value of {name} begins with a quote, and does not end with one")
    })?;
    let value = &inside[..end];
    let value = match quote {
        '\'' => Value::AsIs(value.to_owned()),
        _ => Value::ToFill(unescaped(value)),
    };
    Ok((value, &inside[end + 1..]))
}

/// Returns the position of the quote that is not escaped.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices() {
        if letter == quote && !is_escaped {
            return Some(at);
        }
        is_escaped = letter == '\\' && !is_escaped;
    }
    None
}

/// Replaces the escapes of a value in double quotes. An escaped dollar is no variable.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('t') => plain.push('\t'),
            Some('$') => plain.push_str("$$"),
            Some(escaped @ ('"' | '\\')) => plain.push(escaped),
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    plain
}

/// Returns what follows the first line.
fn after_line(text: &str) -> &str {
    text.find('\n').map_or("", |end| &text[end..])
}

#[cfg(test)]
mod tests;
