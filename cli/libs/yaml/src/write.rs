//! Writes YAML that all readers take for the same, whatever version of YAML they support.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use crate::{Node, plain};

/// Returns the text of a document: block style, keys sorted.
///
/// The library leaves some texts without quotes that other readers take for a number, a date or a truth value. They are written by
/// placeholders, and then put in their places as JSON, which is a YAML text in double quotes.
#[must_use]
pub fn text_of(value: &Value) -> String {
    let mut quoted = Quoted { name: unused_name(value), texts: Vec::new() };
    // Writing to a string can't fail; JSON is YAML, too.
    let text = serde_yaml::to_string(&quoted.replace(value)).unwrap_or_else(|_| value.to_string());
    let mut parts = text.split(&quoted.name);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (number, rest) = part.split_once('.').unwrap_or_default();
        let text = number.parse().ok().and_then(|number: usize| quoted.texts.get(number));
        whole.extend([&*text.map_or_else(String::new, |text| json(text)), rest]);
    }
    whole
}

/// The texts that have to be in quotes.
struct Quoted {
    name: String,
    texts: Vec<String>,
}

impl Quoted {
    fn placeholder(&self, number: usize) -> String {
        format!("{}{number}.", self.name)
    }

    /// Returns the value with placeholders; keys keep their order.
    fn replace(&mut self, value: &Value) -> serde_yaml::Value {
        match value {
            Value::Null => serde_yaml::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => serde_yaml::to_value(number).unwrap_or_default(),
            Value::String(text) => self.text(text).into(),
            Value::Array(list) => list.iter().map(|one| self.replace(one)).collect(),
            Value::Object(map) => serde_yaml::Value::Mapping(
                map.iter().map(|(key, one)| (self.text(key).into(), self.replace(one))).collect(),
            ),
        }
    }

    fn text(&mut self, text: &str) -> String {
        if is_text_to_all(text) {
            return text.to_owned();
        }
        self.texts.push(text.to_owned());
        self.placeholder(self.texts.len() - 1)
    }
}

/// Returns whether no reader takes it for anything but a text: a number, a date, sixties such as `12:30`, a key, or a truth value.
fn is_text_to_all(text: &str) -> bool {
    let is_text = plain::meaning(text).is_ok_and(|node| node == Node::Text(text.to_owned()));
    let may_be_other =
        text.starts_with(|first: char| first.is_ascii_digit() || "+-.?".contains(first));
    let is_key_of_yaml = ["<<", "="].contains(&text);
    is_text
        && !may_be_other
        && !is_key_of_yaml
        && !plain::is_word(text)
        && !text.contains(is_unprintable)
}

/// Returns whether YAML does not allow the character in a text, or takes it for the end of a line, although JSON allows it.
fn is_unprintable(character: char) -> bool {
    matches!(
        character,
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
    )
}

/// Returns a text in double quotes.
fn json(text: &str) -> String {
    let mut quoted = Value::from(text).to_string();
    for character in text.chars().filter(|character| is_unprintable(*character)) {
        quoted = quoted.replace(character, &format!("\\u{:04x}", u32::from(character)));
    }
    quoted
}

/// Returns a name that is nowhere in the value: no text has its own hash in it.
fn unused_name(value: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    format!("quoted-{:016x}-", hasher.finish())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{Node, documents};

    fn read(text: &str) -> Value {
        documents(text).unwrap().first().map_or(Value::Null, Node::to_json)
    }

    #[test]
    fn people_can_read_it() {
        let value = json!({
            "args": [["a", ["b"]], [], {}, [{"deep": [1, {"x": null}]}]],
            "image": "registry.example:5000/chefcito-orders:c-0123456789ab",
            "list": [{"name": "orders", "port": 8080}, {"name": "on"}],
            "looks like": {"octal": "0777", "time": "12:30:45", "yes": "yes", "million": "1_000", "day": "2001-12-14", "empty": "", "lines": "a\nb"},
            "nothing": {},
        });
        let text = text_of(&value);
        assert_eq!(read(&text), value);
        insta::assert_snapshot!(text);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~\n\té€\u{7f}\u{85}\u{2028}\u{feff}]{0,12}".prop_map(Value::from),
            "(y|No|0x1f|1_000|1:30|2001-12-14|0b1|.5|1e3|~|- a|a: b|a #b|:|a:|@x|`x|%x|!t|&a|\\*a|\\?|[|]|>)"
                .prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ -~]{0,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn everything_written_is_read_back(value in value()) {
            prop_assert_eq!(read(&text_of(&value)), value);
        }
    }
}
