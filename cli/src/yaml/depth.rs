//! Bounds how deep a text nests, before the parser reads it.
//!
//! The parser applies its own limit only after it has read a whole document, and until then it looks at up to all open
//! brackets for each token: time that grows with the square of the text. This scanner finds the same tokens as the parser
//! (libyaml) in one pass, and builds nothing. Where a text is not YAML it stops: the parser says so, at the same place.

use std::str::Chars;

use super::NotYaml;

/// How many lists and maps may be inside each other, counted as the parser counts them: its own limit. What is written by hand
/// has about ten.
pub(super) const DEPTH_MAX: usize = 128;

/// Looks for the first place that nests deeper than [`DEPTH_MAX`], in time linear to what is before it.
///
/// # Errors
/// [`NotYaml`] with that place.
pub(super) fn check(text: &str) -> Result<(), NotYaml> {
    let mut scanner = Scanner::new(text);
    while scanner.token() {
        if scanner.depth() > DEPTH_MAX {
            let (line, column) = (scanner.line, scanner.column);
            let what = format!(
                "it nests deeper than {DEPTH_MAX} lists and maps at line {line} column {column}"
            );
            return Err(NotYaml { line, what });
        }
    }
    Ok(())
}

struct Scanner<'a> {
    rest: Chars<'a>,
    line: usize,
    /// How many characters of the line are behind.
    column: usize,
    /// The columns of the open collections that indentation holds together, ascending.
    blocks: Vec<usize>,
    /// How many brackets are open.
    flows: usize,
    /// The column of what is a key if a colon follows on the same line. It is kept only outside of brackets.
    key: Option<usize>,
}

const fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn ends_word(next: Option<char>) -> bool {
    next.is_none_or(|c| is_blank(c) || is_break(c))
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        let rest = text.strip_prefix('\u{feff}').unwrap_or(text).chars();
        Self { rest, line: 1, column: 0, blocks: Vec::new(), flows: 0, key: None }
    }

    const fn depth(&self) -> usize {
        self.blocks.len() + self.flows
    }

    /// Passes one token; returns whether another may follow.
    fn token(&mut self) -> bool {
        self.skip_to_token();
        if self.flows == 0 {
            while self.blocks.last().is_some_and(|column| *column > self.column) {
                self.blocks.pop();
            }
        }
        let (Some(first), second) = (self.peek(0), self.peek(1)) else { return false };
        if self.is_document_mark() {
            self.key = None;
            self.blocks.clear();
            self.skip(3);
            return true;
        }
        let in_flow = self.flows > 0;
        match first {
            '%' if self.column == 0 => self.skip_while(|c| !is_break(c)),
            '[' | '{' => {
                self.note_key();
                self.flows += 1;
                self.skip(1);
            }
            ']' | '}' => {
                self.flows = self.flows.saturating_sub(1);
                self.skip(1);
            }
            ',' => self.skip(1),
            '-' if ends_word(second) => self.open_block(self.column),
            '?' if in_flow || ends_word(second) => self.open_block(self.column),
            ':' if in_flow || ends_word(second) => {
                self.open_block(self.key.unwrap_or(self.column));
            }
            '*' | '&' => {
                self.note_key();
                self.skip(1);
                self.skip_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
            }
            '!' => self.tag(),
            '|' | '>' if !in_flow => self.block_scalar(),
            '\'' | '"' => self.quoted(first),
            '#' | '@' | '`' | '%' | '|' | '>' => return false,
            _ => self.plain(),
        }
        true
    }

    fn peek(&self, at: usize) -> Option<char> {
        self.rest.clone().nth(at)
    }

    /// Passes a character; a line break of two counts as one.
    fn bump(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if is_break(c) {
            if c == '\r' && self.peek(0) == Some('\n') {
                self.rest.next();
            }
            self.line += 1;
            self.column = 0;
            self.key = None;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.bump();
        }
    }

    fn skip_while(&mut self, goes_on: impl Fn(char) -> bool) {
        while self.peek(0).is_some_and(&goes_on) {
            self.bump();
        }
    }

    fn skip_to_token(&mut self) {
        loop {
            self.skip_while(|c| is_blank(c) || is_break(c));
            if self.peek(0) != Some('#') {
                return;
            }
            self.skip_while(|c| !is_break(c));
        }
    }

    fn is_document_mark(&self) -> bool {
        let text = self.rest.as_str();
        self.column == 0
            && (text.starts_with("---") || text.starts_with("..."))
            && ends_word(self.peek(3))
    }

    fn note_key(&mut self) {
        if self.flows == 0 {
            self.key = self.key.or(Some(self.column));
        }
    }

    /// Passes an indicator, which begins a collection in this column unless one is open there.
    fn open_block(&mut self, column: usize) {
        if self.flows == 0 && self.blocks.last().is_none_or(|open| *open < column) {
            self.blocks.push(column);
        }
        self.key = None;
        self.skip(1);
    }

    fn tag(&mut self) {
        self.note_key();
        if self.peek(1) == Some('<') {
            self.skip_while(|c| c != '>' && !is_blank(c) && !is_break(c));
            return self.skip_while(|c| c == '>');
        }
        let in_tag = |c: char| c.is_ascii_alphanumeric() || "_-;/?:@&=+$.%!~*'()".contains(c);
        self.skip_while(in_tag);
    }

    fn quoted(&mut self, quote: char) {
        self.note_key();
        self.skip(1);
        while let Some(c) = self.bump() {
            if c == '\\' && quote == '"' || c == '\'' && quote == '\'' && self.peek(0) == Some('\'')
            {
                self.skip(1);
            } else if c == quote {
                return;
            }
        }
    }

    fn plain(&mut self) {
        self.note_key();
        let indent = self.blocks.last().map_or(0, |column| column + 1);
        loop {
            if self.is_document_mark() || self.peek(0) == Some('#') {
                return;
            }
            while let Some(c) = self.peek(0).filter(|c| !is_blank(*c) && !is_break(*c)) {
                let ends_value = c == ':' && ends_word(self.peek(1));
                if ends_value || self.flows > 0 && ",[]{}".contains(c) {
                    return;
                }
                self.bump();
            }
            self.skip_while(|c| is_blank(c) || is_break(c));
            if self.peek(0).is_none() || self.flows == 0 && self.column < indent {
                return;
            }
        }
    }

    /// Passes a text whose lines are kept, and which ends with the first line that is indented less.
    fn block_scalar(&mut self) {
        self.key = None;
        self.skip(1);
        let mut given = None;
        while let Some(c) = self.peek(0).filter(|c| matches!(c, '+' | '-' | '0'..='9')) {
            given = c.to_digit(10).map(|digit| digit as usize).or(given);
            self.skip(1);
        }
        self.skip_while(is_blank);
        if self.peek(0) == Some('#') {
            self.skip_while(|c| !is_break(c));
        }
        let least = self.blocks.last().map_or(0, |column| column + 1);
        let given = given.map(|given| self.blocks.last().map_or(given, |column| column + given));
        if self.peek(0).is_some_and(is_break) {
            self.bump();
        }
        let widest = self.skip_indentation(given);
        let indent = given.unwrap_or_else(|| widest.max(least).max(1));
        while self.column == indent && self.peek(0).is_some() {
            self.skip_while(|c| !is_break(c));
            self.bump();
            self.skip_indentation(Some(indent));
        }
    }

    /// Passes lines of spaces, and the spaces before the text of the next line, up to `indent` of each; returns the widest.
    fn skip_indentation(&mut self, indent: Option<usize>) -> usize {
        let mut widest = 0;
        loop {
            while indent.is_none_or(|indent| self.column < indent) && self.peek(0) == Some(' ') {
                self.bump();
            }
            widest = widest.max(self.column);
            if !self.peek(0).is_some_and(is_break) {
                return widest;
            }
            self.bump();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, fmt};

    use proptest::{prelude::*, sample::select};
    use serde::{
        Deserializer,
        de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
    };

    use super::*;

    /// How deep the scanner says that a text nests.
    fn scanned(text: &str) -> usize {
        let mut scanner = Scanner::new(text);
        let mut deepest = 0;
        while scanner.token() {
            deepest = deepest.max(scanner.depth());
        }
        deepest
    }

    /// How deep the parser says that a text nests; `None` if it says that it is not YAML.
    fn parsed(text: &str) -> Option<usize> {
        let deepest = Cell::new(0);
        for document in serde_yaml::Deserializer::from_str(text) {
            Depth { here: 0, deepest: &deepest }.deserialize(document).ok()?;
        }
        Some(deepest.get())
    }

    /// Measures how deep a value nests.
    #[derive(Clone, Copy)]
    struct Depth<'a> {
        here: usize,
        deepest: &'a Cell<usize>,
    }

    impl Depth<'_> {
        fn deeper(self) -> Self {
            let here = self.here + 1;
            self.deepest.set(self.deepest.get().max(here));
            Self { here, ..self }
        }
    }

    impl<'de> DeserializeSeed<'de> for Depth<'_> {
        type Value = ();

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_any(self)
        }
    }

    impl<'de> Visitor<'de> for Depth<'_> {
        type Value = ();

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a value")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
            let deeper = self.deeper();
            while list.next_element_seed(deeper)?.is_some() {}
            Ok(())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let deeper = self.deeper();
            while map.next_entry_seed(deeper, deeper)?.is_some() {}
            Ok(())
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            self.deserialize(deserializer)
        }

        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }

        fn visit_none<E>(self) -> Result<(), E> {
            Ok(())
        }

        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            Ok(())
        }

        fn visit_i64<E>(self, _: i64) -> Result<(), E> {
            Ok(())
        }

        fn visit_u64<E>(self, _: u64) -> Result<(), E> {
            Ok(())
        }

        fn visit_f64<E>(self, _: f64) -> Result<(), E> {
            Ok(())
        }

        fn visit_str<E>(self, _: &str) -> Result<(), E> {
            Ok(())
        }
    }

    #[test]
    fn brackets_in_texts_and_comments_open_nothing() {
        let texts = [
            ("a: b [[[ c\n  [[[\nd: 'it''s [[[' # [[[\n", 1),
            ("a: \"\\\"[[[\"\nb: it's [ok]\nc: {it's: [\"]\", ']']}\n", 3),
            ("a: |\n  [[[\n\n   {{{\nb: >2-  # [[[\n     [[[\nc: [x]\n", 2),
            ("- - a: |\n      [[[\n    b: [x]\n", 4),
            ("a:\n    |\n  [[[\nb: c\n", 1),
            ("? |\n  [[[\n: - [{}]\n", 4),
            ("--- >\n [[[\n--- [a]\n", 1),
            ("%YAML 1.1\n---\n!!map {a: &x [b], c: *x}\n", 2),
            ("# x\u{85}[[a]]", 2),
        ];
        for (text, depth) in texts {
            assert_eq!((scanned(text), parsed(text).is_some()), (depth, true), "{text}");
        }
    }

    #[test]
    fn a_text_is_refused_at_the_place_where_it_is_too_deep() {
        let deep = |unit: &str| unit.repeat(500_000);
        for unit in ["[", "[? ", "{a: ", "[\n", "['[',", "- ", "? "] {
            let levels = 1 + DEPTH_MAX;
            let (lines, columns) = match unit {
                "[\n" => (levels, 1),
                _ => (1, unit.chars().count() * DEPTH_MAX + 1),
            };
            let error = check(&deep(unit)).unwrap_err();
            assert_eq!(error.line, lines, "{unit}");
            let place = format!("at line {lines} column {columns}");
            assert!(error.what.ends_with(&place), "{unit}: {error}, not {place}");
        }
        assert!(check(&format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX))).is_ok());
        assert!(check(&"[{}]\n---\n".repeat(10_000)).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_096, failure_persistence: None, ..Default::default() })]

        /// The scanner misses lists that are not indented and maps that are pairs in a list: half of the levels at most.
        #[test]
        fn the_scanner_and_the_parser_see_the_same_brackets(
            lines in prop::collection::vec(
                (0..4usize, prop::collection::vec(
                    select(vec![
                        "- ", "? ", ": ", "a: ", "b:", "'x: '", "\"[\"", "'['", "[", "]", "{", "}", ", ", "# [", "|", ">", "|2", "a",
                        "é", " ", "it's", "&x ", "*x", "!t ", "a[", "\\", "---", "\u{2028}",
                    ]), 0..6)),
                1..7)
        ) {
            let text: String = lines
                .iter()
                .map(|(indent, words)| format!("{}{}\n", "  ".repeat(*indent), words.concat()))
                .collect();
            if let Some(parsed) = parsed(&text) {
                let scanned = scanned(&text);
                prop_assert!(scanned <= parsed && parsed <= 2 * scanned + 1, "{scanned} {parsed} {text:?}");
            }
        }
    }
}
