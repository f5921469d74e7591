//! Parses YAML into plain values without interpretation, and writes it. Only this module uses the parser.

mod depth;
mod write;

use std::{cell::Cell, fmt};

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

pub(crate) use self::write::text_of;

/// The most values and bytes of text that aliases may repeat: more than a person would write.
const REPEATED_MAX: usize = 64 * 1024;

/// A YAML value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// `null`, `~` or an empty value.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Whole(i64),
    /// Any other number.
    Number(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values in the order of the text, duplicates included.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Returns its type with an article, for an error about another expected type.
    pub(crate) fn kind(&self) -> String {
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

    /// Returns it as JSON; the error names a duplicate key.
    pub(crate) fn to_json(&self) -> Result<Value, String> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Whole(value) => (*value).into(),
            Self::Number(value) => (*value).into(),
            Self::Text(text) => text.clone().into(),
            Self::List(list) => list.iter().map(Self::to_json).collect::<Result<_, _>>()?,
            Self::Map(entries) => {
                let mut map = Map::new();
                for (key, node) in entries {
                    if map.insert(key.clone(), node.to_json()?).is_some() {
                        return Err(format!("`{key}` is a duplicate"));
                    }
                }
                Value::Object(map)
            }
        })
    }
}

/// A text that is not valid YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(crate) struct NotYaml {
    /// The line, from 1; 0 if it is not known.
    pub(crate) line: usize,
    /// The error.
    pub(crate) what: String,
}

/// Parses all documents of a text.
///
/// # Errors
/// [`NotYaml`] for the first error in the text, or if it nests or repeats more than a person would write.
pub(crate) fn documents(text: &str) -> Result<Vec<Node>, NotYaml> {
    depth::check(text)?;
    // A text has no more values and no more text than bytes; more of them come from aliases. The parser bounds how
    // often an alias is followed, but not the size of its content.
    let room = Cell::new(2 * text.len() + REPEATED_MAX);
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Room(&room).deserialize(document).map_err(|error| not_yaml(&error)))
        .collect()
}

fn not_yaml(error: &serde_yaml::Error) -> NotYaml {
    NotYaml {
        line: error.location().map_or(0, |location| location.line()),
        what: error.to_string(),
    }
}

/// Reads values as long as the budget lasts.
#[derive(Clone, Copy)]
struct Room<'a>(&'a Cell<usize>);

impl Room<'_> {
    fn take<E: de::Error>(self, size: usize) -> Result<(), E> {
        let left = self.0.get().checked_sub(size);
        self.0.set(left.ok_or_else(|| E::custom("its aliases repeat too much"))?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Room<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        self.take(1)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Room<'_> {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a plain YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    // An empty document is skipped.
    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Whole(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "far beyond anything that is accepted")]
    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(i64::try_from(value).map_or(Node::Number(value as f64), Node::Whole))
    }

    #[expect(clippy::cast_precision_loss, reason = "far beyond anything that is accepted")]
    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Number(value as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "far beyond anything that is accepted")]
    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(Node::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        self.take(value.len())?;
        Ok(Node::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = sequence.next_element_seed(self)? {
            list.push(value);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = entries.next_entry_seed(self, self)? {
            map.push((key_text(key), value));
        }
        Ok(Node::Map(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _tagged: A) -> Result<Node, A::Error> {
        Err(de::Error::custom("tags (`!…`) are not supported here"))
    }
}

fn key_text(key: Node) -> String {
    match key {
        Node::Text(text) => text,
        other => other.kind(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_read_as_what_it_is() {
        let text = "a: [1, -2.5, yes, true, ~, 99999999999999999999]\nb: {c: x, c: y}\n1: z\n---\n- 0.5s\n";
        insta::assert_snapshot!(format!("{:?}", documents(text).unwrap()));
    }

    #[test]
    fn what_is_large_only_by_repeating_is_not_read() {
        let list = format!("a: &a [{}x]\nb: [{}*a]\n", "x, ".repeat(10_000), "*a, ".repeat(10_000));
        let long = format!("a: &a {}\nb: [{}*a]\n", "x".repeat(100_000), "*a, ".repeat(10_000));
        for text in [list, long] {
            let error = documents(&text).unwrap_err();
            assert!(error.what.contains("aliases repeat too much"), "{error}");
        }
        let by_hand = "a: &a {rice: 1, onion: 1}\nb: [*a, *a, *a]\n";
        assert!(documents(by_hand).is_ok());
    }

    #[test]
    fn invalid_yaml_is_reported_with_its_line() {
        let deep = "[".repeat(1_000);
        let laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n\
                      c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n\
                      e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                      g: [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
        let texts = ["a: b: c", "a:\n\t- x", "- !secret x", "a: *nobody", deep.as_str(), laughs];
        let said: Vec<_> = texts
            .map(|text| {
                documents(text).map_or_else(
                    |error| format!("{}: {error}", error.line),
                    |node| format!("{node:?}"),
                )
            })
            .into();
        insta::assert_snapshot!(said.join("\n"));
    }
}
