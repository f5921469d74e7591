//! Writes YAML that all parsers read alike, whatever version of YAML they support: texts that could be another type are
//! quoted.

use serde_json::Value;

/// Texts that some parser reads as another type, in lower case.
const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan"];

/// Returns the text of a document: block style, keys sorted.
pub(crate) fn text_of(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_block(&mut text, value, 0),
        Value::Array(list) if !list.is_empty() => write_block(&mut text, value, 0),
        scalar => text = scalar_text(scalar) + "\n",
    }
    text
}

/// Writes a map or a list, each item on lines of its own.
fn write_block(text: &mut String, value: &Value, indent: usize) {
    let margin = " ".repeat(indent);
    match value {
        Value::Object(map) => {
            for (at, (key, value)) in map.iter().enumerate() {
                // The first item continues the line of its list.
                if at > 0 || !text.ends_with("- ") {
                    text.push_str(&margin);
                }
                text.push_str(&string_text(key));
                text.push(':');
                write_value(text, value, indent);
            }
        }
        Value::Array(list) => {
            for (at, value) in list.iter().enumerate() {
                if at > 0 || !text.ends_with("- ") {
                    text.push_str(&margin);
                }
                text.push('-');
                match value {
                    Value::Object(map) if !map.is_empty() => {
                        text.push(' ');
                        write_block(text, value, indent + 2);
                    }
                    Value::Array(list) if !list.is_empty() => {
                        text.push(' ');
                        write_block(text, value, indent + 2);
                    }
                    scalar => {
                        text.push(' ');
                        text.push_str(&scalar_text(scalar));
                        text.push('\n');
                    }
                }
            }
        }
        scalar => text.push_str(&scalar_text(scalar)),
    }
}

/// Writes the value of a key: on its line, or below it.
fn write_value(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('\n');
            write_block(text, value, indent + 2);
        }
        // As kubectl writes lists: with the indentation of their key.
        Value::Array(list) if !list.is_empty() => {
            text.push('\n');
            write_block(text, value, indent);
        }
        scalar => {
            text.push(' ');
            text.push_str(&scalar_text(scalar));
            text.push('\n');
        }
    }
}

fn scalar_text(value: &Value) -> String {
    match value {
        Value::String(text) => string_text(text),
        // Empty ones, too: `{}` and `[]`.
        other => other.to_string(),
    }
}

fn string_text(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else {
        // A JSON string is a YAML string in double quotes.
        Value::from(text).to_string()
    }
}

/// Returns whether a text needs no quotes: it begins like a word or a path, and is none of those words.
fn is_plain(text: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'/';
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    // A colon within a word, as in images and URLs, does not end a key.
    let inner = |pair: &[u8]| rest(pair[0]) || (pair[0] == b':' && rest(pair[1]));
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|byte| first(*byte))
        && bytes.last().is_some_and(|byte| rest(*byte))
        && bytes.windows(2).all(inner)
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::yaml::documents;

    fn read(text: &str) -> Value {
        documents(text).unwrap()[0].to_json().unwrap()
    }

    #[test]
    fn people_can_read_it() {
        let value = json!({
            "args": [["a", ["b"]], [], {}, [{"deep": [1, {"x": null}]}]],
            "image": "registry.example:5000/chefcito-orders:c-0123456789ab",
            "list": [{"name": "orders", "port": 8080}, {"name": "on"}],
            "looks like": {"octal": "0777", "time": "12:30:45", "yes": "yes", "million": "1_000", "empty": "", "lines": "a\nb"},
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
            "[ -~\n\té€]{0,12}".prop_map(Value::from),
            "(y|No|0x1f|1e3|~|- a|a: b|a #b|:|a:|@x|`x|%x|!t|&a|\\*a|\\?|[|]|>)"
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
