//! Parses a line in one pass: of a hundred thousand lines, most are only passed on.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

/// The fields of a line.
#[derive(Debug, Default)]
pub(super) struct ParsedFields<'a> {
    pub(super) time: Option<Cow<'a, str>>,
    pub(super) level: Option<Cow<'a, str>>,
    pub(super) service: Option<Cow<'a, str>>,
    pub(super) message: Option<Cow<'a, str>>,
    pub(super) order: Option<String>,
    /// All other fields.
    pub(super) fields: Map<String, Value>,
}

impl<'a> Deserialize<'a> for ParsedFields<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object)
    }
}

struct Object;

impl<'a> Visitor<'a> for Object {
    type Value = ParsedFields<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a line of a log")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut object: M) -> Result<ParsedFields<'a>, M::Error> {
        let mut parsed = ParsedFields::default();
        while let Some(Key(name)) = object.next_key()? {
            let known = match name.as_ref() {
                "time" => &mut parsed.time,
                "level" => &mut parsed.level,
                "service" => &mut parsed.service,
                "message" => &mut parsed.message,
                _ => {
                    parsed.fields.insert(name.into_owned(), object.next_value()?);
                    continue;
                }
            };
            let Text(text) = object.next_value()?;
            *known = Some(text);
        }
        let mut names = ["order_id", "order.id", "order"].into_iter();
        parsed.order = names.find_map(|name| parsed.fields.remove(name)).map(text_of);
        Ok(parsed)
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// A text, or another value as text.
struct Text<'a>(Cow<'a, str>);

impl<'a> Deserialize<'a> for Text<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let quoted = raw.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        match quoted.filter(|text| !text.contains('\\')) {
            Some(text) => Ok(Self(text.into())),
            None => serde_json::from_str(raw)
                .map(|value| Self(text_of(value).into()))
                .map_err(D::Error::custom),
        }
    }
}

fn text_of(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_fields_are_read_as_text_and_the_rest_is_kept() {
        let line = r#"{"message":"Hot \u2668 \"pan\"","level":3,"time":null,"order":7,"order.id":"8","n":[1, 2],"n\u0061me":"a"}"#;
        let parsed: ParsedFields<'_> = serde_json::from_str(line).unwrap();
        assert_eq!(parsed.message.as_deref(), Some("Hot \u{2668} \"pan\""));
        assert_eq!((parsed.level.as_deref(), parsed.time.as_deref()), (Some("3"), Some("null")));
        assert_eq!((parsed.service.as_deref(), parsed.order.as_deref()), (None, Some("8")));
        assert_eq!(Value::Object(parsed.fields).to_string(), r#"{"n":[1,2],"name":"a","order":7}"#);
        assert!(serde_json::from_str::<ParsedFields<'_>>("[1]").is_err());
    }
}
