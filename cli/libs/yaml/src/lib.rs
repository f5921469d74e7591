//! YAML as plain values, read and written.
//!
//! Guarantees: text of any depth, and aliases of any number, end in bounded time and memory; what is written means the same to every
//! reader; only this crate names the libraries.
//!
//! Does not know: what the values are for; callers say which are valid where.
//!
//! A value means what kubectl and docker compose take it for. A value that they round, or that some readers take for something else,
//! is refused.

mod plain;
mod write;

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, Tag};
use serde_json::{Number, Value};

pub use self::write::text_of;

/// How many lists and maps may be inside each other. What is written by hand has about ten.
const DEPTH_MAX: usize = 128;
/// The most values and bytes of text that aliases may repeat: more than a person would write.
const REPEATED_MAX: usize = 64 * 1024;
/// The key of a map that inherits keys of other maps.
const MERGE: &str = "<<";

/// A YAML value.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `null`, `~` or an empty value.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Whole(i64),
    /// Any other number.
    Number(Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values in the order of the text, those that are inherited last.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Returns its type with an article, for an error about another expected type.
    pub fn kind(&self) -> String {
        match self {
            Self::Null => "nothing".into(),
            Self::Bool(value) => format!("`{value}`"),
            Self::Whole(value) => format!("the number {value}"),
            Self::Number(value) => format!("the number {value}"),
            Self::Text(text) => format!("the text `{}`", text.chars().take(64).collect::<String>()),
            Self::List(_) => "a list".into(),
            Self::Map(_) => "a map".into(),
        }
    }

    /// Returns it as JSON.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Whole(value) => (*value).into(),
            Self::Number(value) => whole(value).map_or_else(|| value.clone().into(), Value::from),
            Self::Text(text) => text.clone().into(),
            Self::List(list) => list.iter().map(Self::to_json).collect(),
            Self::Map(entries) => Value::Object(
                entries.iter().map(|(key, node)| (key.clone(), node.to_json())).collect(),
            ),
        }
    }
}

/// Returns a number such as `1e3` as a whole one, which is all that Kubernetes reads into most fields.
#[expect(
    clippy::cast_possible_truncation,
    reason = "it is within the range in which all whole numbers are exact"
)]
fn whole(number: &Number) -> Option<i64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let float = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0)?;
    (float.abs() <= EXACT_MAX).then_some(float as i64)
}

/// A text that is not valid YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct NotYaml {
    /// The line, from 1.
    pub line: usize,
    /// The error.
    pub what: String,
}

impl NotYaml {
    fn at(place: Marker, what: impl std::fmt::Display) -> Self {
        let (line, column) = (place.line(), place.col() + 1);
        Self { line, what: format!("{what} at line {line} column {column}") }
    }
}

/// Parses the documents of a text, without empty ones. Duplicate keys of a map are all in it, and what is not a number that can be kept
/// is a text.
///
/// # Errors
/// [`NotYaml`] for the first error in the text, or if it nests or repeats more than a person would write.
pub fn documents(text: &str) -> Result<Vec<Node>, NotYaml> {
    Stream::parse(text)?.documents(Doubts::Kept)
}

/// Another program that reads a text as well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reader {
    /// docker compose.
    Compose,
    /// kubectl, which writes objects and reads them again before it changes them.
    Objects,
    /// kubectl, which reads a kustomization as YAML 1.1.
    Kustomization,
}

/// Parses the documents of a text as [`documents`], and refuses duplicate keys, and scalars that are something else for the other
/// reader.
///
/// # Errors
/// As [`documents`].
pub fn strict_documents(text: &str, other: Reader) -> Result<Vec<Node>, NotYaml> {
    let stream = Stream::parse(text)?;
    for (event, place) in &stream.events {
        let Event::Scalar(text, style, _, _) = event else { continue };
        let what = match (style, other) {
            (ScalarStyle::Plain, Reader::Kustomization) if plain::is_word(text) => format!(
                "kubectl takes `{text}` for a truth value: write it in quotes, or true or false"
            ),
            (ScalarStyle::Plain, _) if text.starts_with('?') => {
                format!("some readers take `{text}` for a key: write it in quotes")
            }
            (ScalarStyle::Folded, Reader::Objects)
                if text.trim_end_matches('\n').contains('\n') || text.ends_with("\n\n") =>
            {
                "kubectl adds lines to a text after `>` that keeps line breaks: write it after `|`"
                    .into()
            }
            _ => continue,
        };
        return Err(NotYaml::at(*place, what));
    }
    stream.documents(Doubts::Refused)
}

/// Returns the line of a value in the first document of a text, from 1, by its path, such as `services.orders.ports[0]`: that of the
/// last key or item that is found, and the line where its value begins if that is an alias; `None` if not even the first is found.
pub fn line_of(text: &str, path: &str) -> Option<(usize, Option<usize>)> {
    let stream = Stream::parse(text).ok()?;
    let is_start = |(event, _): &(Event<'_>, _)| matches!(event, Event::DocumentStart(..));
    let mut at = stream.events.iter().position(is_start)? + 1;
    let (mut rest, mut line) = (path, None);
    while let Some((found, value, after)) = stream.below(at, rest) {
        (at, rest, line) = (value, after, Some(stream.events[found].1.line()));
    }
    let anchor = match &stream.events[at].0 {
        Event::Alias(anchor) => stream.anchors.get(anchor).map(|at| stream.events[*at].1.line()),
        _ => None,
    };
    Some((line?, anchor))
}

/// Returns the line of the first key that is in its map already, from 1; `None` if there is none.
#[must_use]
pub fn line_of_duplicate(text: &str) -> Option<usize> {
    let read = Stream::parse(text).and_then(|stream| stream.documents(Doubts::KeysRefused));
    read.err().map(|error| error.line)
}

/// What becomes of duplicate keys, and of scalars whose meaning depends on the reader.
#[derive(Clone, Copy, PartialEq)]
enum Doubts {
    /// All keys are kept, and such scalars are texts.
    Kept,
    /// Duplicate keys are refused, and such scalars are texts.
    KeysRefused,
    Refused,
}

/// The events of a text, each with its place.
struct Stream<'a> {
    events: Vec<(Event<'a>, Marker)>,
    /// The positions of values by the numbers of their anchors.
    anchors: BTreeMap<usize, usize>,
    /// How many more values and bytes of text may be read. A text has no more of them than bytes; more come from aliases.
    room: Cell<usize>,
}

impl<'a> Stream<'a> {
    fn parse(text: &'a str) -> Result<Self, NotYaml> {
        let options = granit_parser::options! {
            block_nesting_limit: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            disallow_directives: true,
            emit_comments: false,
            block_scalar_eof_without_line_feed: true,
        };
        if let Some(at) = text.find(['\u{85}', '\u{2028}', '\u{2029}']) {
            let line = 1 + text[..at].lines().count().saturating_sub(1);
            let what = "some readers take this character for the end of the line: write it as an escape in double quotes";
            return Err(NotYaml { line, what: what.into() });
        }
        let mut events = Vec::new();
        let mut anchors = BTreeMap::new();
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.map_err(|error| match error.kind() {
                ErrorKind::RecursionLimitExceeded => too_deep(*error.marker()),
                _ => NotYaml::at(*error.marker(), error.info()),
            })?;
            if let Some(anchor) = event.anchor_id() {
                anchors.insert(anchor, events.len());
            }
            events.push((event, span.start));
        }
        Ok(Self { events, anchors, room: Cell::new(2 * text.len() + REPEATED_MAX) })
    }

    fn documents(&self, doubts: Doubts) -> Result<Vec<Node>, NotYaml> {
        let mut documents = Vec::new();
        let mut at = 0;
        while let Some((event, _)) = self.events.get(at) {
            at += 1;
            if matches!(event, Event::DocumentStart(..)) {
                documents.push(self.value(&mut at, 0, doubts)?);
            }
        }
        documents.retain(|document| *document != Node::Null);
        Ok(documents)
    }

    fn take(&self, size: usize, place: Marker) -> Result<(), NotYaml> {
        let left = self.room.get().checked_sub(size);
        self.room.set(left.ok_or_else(|| NotYaml::at(place, "its aliases repeat too much"))?);
        Ok(())
    }

    /// Reads the value at a position, and moves the position behind it.
    fn value(&self, at: &mut usize, depth: usize, doubts: Doubts) -> Result<Node, NotYaml> {
        let (event, place) = &self.events[*at];
        self.take(1, *place)?;
        if depth > DEPTH_MAX {
            return Err(too_deep(*place));
        }
        *at += 1;
        match event {
            Event::Alias(anchor) => {
                self.value(&mut self.anchors[anchor].clone(), depth + 1, doubts)
            }
            Event::SequenceStart(_, _, tag) => {
                refuse_tag(tag.as_deref(), *place)?;
                let mut list = Vec::new();
                while !matches!(self.events[*at].0, Event::SequenceEnd) {
                    list.push(self.value(at, depth + 1, doubts)?);
                }
                *at += 1;
                Ok(Node::List(list))
            }
            Event::MappingStart(_, _, tag) => {
                refuse_tag(tag.as_deref(), *place)?;
                self.map(at, depth + 1, doubts)
            }
            Event::Scalar(text, style, _, tag) => {
                self.take(text.len(), *place)?;
                let is_text = tag.as_deref().is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                if is_text || tag.is_none() && *style != ScalarStyle::Plain {
                    return Ok(Node::Text(text.clone().into_owned()));
                }
                refuse_tag(tag.as_deref(), *place)?;
                match plain::meaning(text) {
                    Err(_) if doubts != Doubts::Refused => {
                        Ok(Node::Text(text.clone().into_owned()))
                    }
                    read => read.map_err(|what| NotYaml::at(*place, what)),
                }
            }
            _ => Err(NotYaml::at(*place, "a value is missing")),
        }
    }

    /// Reads the entries of a map. Its own keys override inherited ones, and those of an earlier map override those of a later one.
    fn map(&self, at: &mut usize, depth: usize, doubts: Doubts) -> Result<Node, NotYaml> {
        let mut own = Vec::new();
        let mut seen = BTreeMap::new();
        let mut inherited = Vec::new();
        while !matches!(self.events[*at].0, Event::MappingEnd) {
            let place = self.events[*at].1;
            let is_merge = self.is_merge(*at);
            let key = match self.value(at, depth, doubts)? {
                Node::Text(key) => key,
                other => {
                    let what =
                        format!("a key should be a text, not {}: write it in quotes", other.kind());
                    return Err(NotYaml::at(place, what));
                }
            };
            if let Some(first) = seen.insert((is_merge, key.clone()), place.line())
                && doubts != Doubts::Kept
            {
                return Err(NotYaml::at(place, format!("`{key}` is a duplicate of line {first}")));
            }
            let value = self.value(at, depth, doubts)?;
            match (is_merge, value) {
                (false, value) => own.push((key, value)),
                (true, Node::List(list)) => {
                    inherited.extend(list.into_iter().map(|one| (place, one)))
                }
                (true, value) => inherited.push((place, value)),
            }
        }
        *at += 1;
        let mut known: BTreeSet<String> = own.iter().map(|(key, _)| key.clone()).collect();
        for (place, value) in inherited {
            let Node::Map(entries) = value else {
                let what =
                    format!("`{MERGE}` should be a map or a list of maps, not {}", value.kind());
                return Err(NotYaml::at(place, what));
            };
            own.extend(entries.into_iter().filter(|(key, _)| known.insert(key.clone())));
        }
        Ok(Node::Map(own))
    }

    fn is_merge(&self, at: usize) -> bool {
        matches!(&self.events[at].0, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == MERGE)
    }

    /// Returns the position behind the value at a position.
    fn behind(&self, at: usize) -> usize {
        let mut open = 0_usize;
        for (one, (event, _)) in self.events.iter().enumerate().skip(at) {
            match event {
                Event::SequenceStart(..) | Event::MappingStart(..) => open += 1,
                Event::SequenceEnd | Event::MappingEnd => open -= 1,
                _ => {}
            }
            if open == 0 {
                return one + 1;
            }
        }
        self.events.len()
    }

    /// Finds the first step of a path in the value at a position: returns the positions of its key or item and of its value, and the
    /// rest of the path.
    fn below<'p>(&self, at: usize, path: &'p str) -> Option<(usize, usize, &'p str)> {
        self.take(1, self.events[at].1).ok()?;
        match &self.events[at].0 {
            Event::Alias(anchor) => self.below(*self.anchors.get(anchor)?, path),
            Event::SequenceStart(..) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                let mut item = at + 1;
                let mut left = index.parse::<usize>().ok()?;
                while !matches!(self.events[item].0, Event::SequenceEnd) {
                    if left == 0 {
                        return Some((item, item, rest.strip_prefix('.').unwrap_or(rest)));
                    }
                    (item, left) = (self.behind(item), left - 1);
                }
                None
            }
            Event::MappingStart(..) => {
                let mut merges = Vec::new();
                let mut key = at + 1;
                while !matches!(self.events[key].0, Event::MappingEnd) {
                    let value = self.behind(key);
                    if let Some(rest) = self.text_at(key).and_then(|text| after_key(path, text)) {
                        return Some((key, value, rest));
                    }
                    if self.is_merge(key) {
                        merges.push(value);
                    }
                    key = self.behind(value);
                }
                merges.into_iter().find_map(|merge| self.below_merged(merge, path))
            }
            _ => None,
        }
    }

    fn below_merged<'p>(&self, at: usize, path: &'p str) -> Option<(usize, usize, &'p str)> {
        if !matches!(self.events[at].0, Event::SequenceStart(..)) {
            return self.below(at, path);
        }
        let mut item = at + 1;
        while !matches!(self.events[item].0, Event::SequenceEnd) {
            if let Some(found) = self.below(item, path) {
                return Some(found);
            }
            item = self.behind(item);
        }
        None
    }

    fn text_at(&self, at: usize) -> Option<&str> {
        match &self.events[at].0 {
            Event::Scalar(text, ..) => Some(text),
            Event::Alias(anchor) => self.text_at(*self.anchors.get(anchor)?),
            _ => None,
        }
    }
}

/// Returns what follows a key at the beginning of a path.
fn after_key<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(key)?;
    if rest.is_empty() || rest.starts_with('[') { Some(rest) } else { rest.strip_prefix('.') }
}

fn too_deep(place: Marker) -> NotYaml {
    NotYaml::at(place, format!("it nests deeper than {DEPTH_MAX} lists and maps"))
}

fn refuse_tag(tag: Option<&Tag>, place: Marker) -> Result<(), NotYaml> {
    let refused = |tag: &Tag| {
        NotYaml::at(place, format!("the tag `{}` is not supported here", tag.original()))
    };
    tag.map_or(Ok(()), |tag| Err(refused(tag)))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn every_value_is_read_as_what_it_is() {
        let text = "\u{feff}a: [1, -2.5, yes, true, ~, !!str 1.10, &k 't']\nb: {\"1\": x, *k : y}\n\
                    ---\n---\n- 0.5s\n...\n# nothing\n";
        insta::assert_snapshot!(format!("{:?}", documents(text).unwrap()));
    }

    #[test]
    fn a_map_inherits_the_keys_of_others() {
        let text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b, {w: 3}], z: 4}\nd: {<<: *b, \"<<\": text}\n";
        let json: Vec<_> = documents(text).unwrap().iter().map(Node::to_json).collect();
        assert_eq!(json[0]["c"], serde_json::json!({ "w": 3, "x": 1, "y": 1, "z": 4 }));
        assert!(documents("a: {<<: 7}").unwrap_err().what.contains("should be a map"));
    }

    #[test]
    fn a_duplicate_key_has_a_line() {
        assert_eq!(line_of_duplicate("a:\n- x: 1\n  y: 2\n  x: 3\na: 1\n"), Some(4));
        assert_eq!(line_of_duplicate("a: {x: 1, b: [x, x]}\n---\na: {x: 1}\n"), None);
    }

    #[test]
    fn what_is_large_only_by_repeating_is_not_read() {
        let list = format!("a: &a [{}x]\nb: [{}*a]\n", "x, ".repeat(10_000), "*a, ".repeat(10_000));
        let long = format!("a: &a {}\nb: [{}*a]\n", "x".repeat(100_000), "*a, ".repeat(10_000));
        let laughs: String =
            (1..30).map(|n| format!("l{n}: &l{n} [*l{0}, *l{0}]\n", n - 1)).collect();
        let merges: String =
            (1..30).map(|n| format!("l{n}: &l{n} {{<<: [*l{0}, *l{0}]}}\n", n - 1)).collect();
        for text in
            [list, long, format!("l0: &l0 x\n{laughs}"), format!("l0: &l0 {{a: b}}\n{merges}")]
        {
            let error = documents(&text).unwrap_err();
            assert!(error.what.contains("aliases repeat too much"), "{error}");
            assert_eq!(line_of(&text, "l29.none").is_some(), text.starts_with("l0"));
        }
        let by_hand = "a: &a {rice: 1, onion: 1}\nb: [*a, *a, *a]\n";
        assert!(documents(by_hand).is_ok());
    }

    #[test]
    fn invalid_yaml_is_reported_with_its_line() {
        let texts = [
            "a: b: c",
            "a:\n\t- x",
            "- !secret x",
            "a: *nobody",
            "a: &a [*a]",
            "a: 1\nb: {c: x, d: y,\n  c: z}",
            "9000: x",
            "? [a]\n: b",
            "# x\na: 2026-01-31",
            "a: b\n# \u{2028}",
            "a: 'b",
            "a: [b\nc: d",
            "%YAML 3.0\n--- a",
            "a: \u{feff}",
        ];
        let said: Vec<_> = texts
            .map(|text| {
                strict_documents(text, Reader::Compose).map_or_else(
                    |error| format!("{}: {error}", error.line),
                    |node| format!("{node:?}"),
                )
            })
            .into();
        insta::assert_snapshot!(said.join("\n"));
    }

    #[test]
    fn a_text_is_refused_in_little_time_at_the_place_where_it_is_too_deep() {
        for unit in ["[", "[? ", "{a: ", "[\n", "['[',", "- ", "? "] {
            let levels = 1 + DEPTH_MAX;
            let (lines, columns) = match unit {
                "[\n" => (levels, 1),
                _ => (1, unit.chars().count() * DEPTH_MAX + 1),
            };
            let began = Instant::now();
            let error = documents(&unit.repeat(500_000)).unwrap_err();
            assert!(began.elapsed() < Duration::from_secs(5), "{unit}");
            assert_eq!(error.line, lines, "{unit}");
            let place = format!("at line {lines} column {columns}");
            assert!(error.what.ends_with(&place), "{unit}: {error}, not {place}");
        }
        assert!(documents(&format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX))).is_ok());
        assert!(documents(&"[{}]\n---\n".repeat(10_000)).is_ok());
    }

    #[test]
    fn a_value_is_found_where_it_is_written() {
        let text = "\
x-all: &all
  limit: 1
  ports:
    - a
    - {b: c}
x-more: &more {more: 1}
services:
  'a.b':
    image: i
    <<: [*all, *more]
  c: *all
";
        for (path, line, anchor) in [
            ("services.a.b.image", 9, None),
            ("services.a.b.limit", 2, None),
            ("services.a.b.more", 6, None),
            ("services.a.b.ports[1].b", 5, None),
            ("services.c.ports[0]", 4, None),
            ("services.c.ports[7]", 3, None),
            ("services.c", 11, Some(2)),
            ("services.c.other", 11, Some(2)),
        ] {
            assert_eq!(line_of(text, path), Some((line, anchor)), "{path}");
        }
        assert_eq!(line_of(text, "other"), None);
        assert_eq!(line_of(text, ""), None);
    }
}
