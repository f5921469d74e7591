//! Makes text printable that comes from outside: files, answers, logs, names.
//!
//! Guarantees: what [`terminal_text`] and [`line()`] return has no escape sequence and no bidirectional control from outside; only
//! styles that are a [`Styling`] become escape sequences.
//!
//! Does not know: what prints, and where. JSON and files are exact: they do not pass through here.

use std::{
    borrow::Cow,
    fmt::{self, Write},
    path::Path,
};

/// Enclose the parameters of a style. Noncharacters, which no text for interchange contains: [`line()`] escapes them, so
/// that text from outside has no style.
const STYLE_BEGIN: char = '\u{fdd0}';
const STYLE_END: char = '\u{fdd1}';

/// Returns whether a character controls the terminal, breaks the line, or changes the order of others.
fn is_unprintable(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{206f}'
                | '\u{fdd0}'..='\u{fdef}'
                | '\u{feff}'
        )
}

/// Returns a text as part of one line: unprintable characters are escaped, such as `\u{1b}` and `\n`; tabs stay.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    let is_bad = |letter| is_unprintable(letter) && letter != '\t';
    if text.bytes().all(is_plain) || !text.contains(is_bad) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match is_bad(letter) {
            true => escaped.extend(letter.escape_debug()),
            false => escaped.push(letter),
        }
    }
    escaped.into()
}

/// Returns the text that the terminal gets: styles become escape sequences, line ends stay, the rest is as in [`line()`].
#[must_use]
pub fn terminal_text(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| is_plain(byte) || byte == b'\n') {
        return text.into();
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for (at, part) in text.split(STYLE_BEGIN).enumerate() {
        let style = part.split_once(STYLE_END).filter(|(style, _)| at > 0 && is_style(style));
        let rest = match style {
            Some((style, rest)) => {
                // Writing to a string can't fail.
                let _written = write!(clean, "\x1b[{style}m");
                rest
            }
            None => part,
        };
        for (at, part) in rest.split('\n').enumerate() {
            clean.push_str(if at > 0 { "\n" } else { "" });
            clean.push_str(&line(part));
        }
    }
    clean.into()
}

/// Returns a path as a word of a shell, for a command to be pasted.
#[must_use]
pub fn shell_word(path: &Path) -> String {
    let text = path.to_string_lossy();
    // Fails only for a zero byte, which no path has.
    shlex::try_quote(&text).map(Cow::into_owned).unwrap_or_default()
}

/// Returns what a program that we run, such as the compiler, has written for a terminal: its colours stay, its other escape
/// sequences go.
#[must_use]
pub fn with_colors(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut styled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|end: char| end.is_ascii_alphabetic()).unwrap_or(part.len());
        let (style, rest) = part.split_at(end);
        if rest.starts_with('m') && is_style(style) {
            styled.push_str(&Styling(style).to_string());
        }
        styled.push_str(rest.get(1..).unwrap_or_default());
    }
    styled
}

/// The beginning of a style, in parameters of the escape sequence SGR such as `1;31`; `0` ends all styles.
#[derive(Clone, Copy, Debug)]
pub struct Styling<'a>(pub &'a str);

impl fmt::Display for Styling<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{STYLE_BEGIN}{}{STYLE_END}", self.0)
    }
}

fn is_style(text: &str) -> bool {
    text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b';')
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controls_a_terminal_is_escaped() {
        let hostile = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}txt.exe\r\u{2028}a\tb é 🍕";
        let harmless =
            r"\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}txt.exe\r\u{2028}a".to_owned() + "\tb é 🍕";
        assert_eq!(line(hostile), harmless);
        assert_eq!(terminal_text(hostile), harmless);
        assert_eq!(line("two\nlines"), r"two\nlines");
        assert_eq!(terminal_text("two\nlines é"), "two\nlines é");
    }

    #[test]
    fn only_our_styles_become_escape_sequences() {
        let styled = format!("{}hot é{}", Styling("1;31"), Styling("0"));
        assert_eq!(terminal_text(&styled), "\u{1b}[1;31mhot é\u{1b}[0m");
        assert_eq!(terminal_text(&line(&styled)), line(&styled), "text from outside has no style");
        for incomplete in ["\u{fdd0}31", "\u{fdd0}2J\u{fdd1}", "\u{fdd1}\u{fdd0}"] {
            assert!(!terminal_text(incomplete).contains('\u{1b}'), "{incomplete:?}");
        }
    }

    #[test]
    fn colours_of_the_compiler_stay_and_other_sequences_do_not() {
        let said = with_colors("\u{1b}[1m\u{1b}[38;5;9merror\u{1b}[0m\u{1b}[2Kx");
        assert_eq!(terminal_text(&said), "\u{1b}[1m\u{1b}[38;5;9merror\u{1b}[0mx");
    }
}
