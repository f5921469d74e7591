//! The suffix of a generated object's name: a hash of its content, so that pods that use it are replaced when that
//! changes.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::object::Object;

/// The length of the suffix.
const CHARACTERS: usize = 10;

/// Returns the hash of a ConfigMap or a Secret, as Kustomize computes it.
pub(super) fn hash_of(object: &Object) -> String {
    let field = |name: &str| object.value().get(name).cloned().unwrap_or_else(|| "".into());
    // Kustomize looks for the name at a path where it is not, so the name is empty for it.
    let mut hashed = json!({ "kind": object.kind(), "name": "", "data": field("data") });
    if object.kind() == "Secret" {
        hashed["type"] = field("type");
        for value in hashed["data"].as_object_mut().into_iter().flat_map(Map::values_mut) {
            *value = value.as_str().map(in_lines).into();
        }
    }
    encoded(&hashed)
}

/// Returns base64 as Kustomize breaks it into lines.
fn in_lines(base64: &str) -> String {
    const LINE: usize = 70;
    if base64.len() < LINE {
        return base64.to_owned();
    }
    let mut lines = String::with_capacity(base64.len() + base64.len() / LINE + 1);
    for (at, letter) in base64.char_indices() {
        if at > 0 && at % LINE == 0 {
            lines.push('\n');
        }
        lines.push(letter);
    }
    lines + "\n"
}

fn encoded(value: &Value) -> String {
    // Without vowels and digits that look like one, it can't become a word.
    let letter = |digit| match digit {
        '0' => 'g',
        '1' => 'h',
        '3' => 'k',
        'a' => 'm',
        'e' => 't',
        other => other,
    };
    let digest = Sha256::digest(as_go_writes(value));
    let hex = digest.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    hex.chars().take(CHARACTERS).map(letter).collect()
}

/// Returns JSON as Go writes it: keys sorted, and characters escaped that could end a script.
fn as_go_writes(value: &Value) -> String {
    let mut text = value.to_string();
    for (letter, escaped) in [
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u{2028}", "\\u2028"),
        ("\u{2029}", "\\u2029"),
    ] {
        text = text.replace(letter, escaped);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hashes are those of Kustomize's own tests.
    #[test]
    fn hashes_are_those_of_kustomize() {
        let config_map = |data: Value| json!({ "kind": "ConfigMap", "name": "", "data": data });
        assert_eq!(encoded(&config_map(json!({ "one": "" }))), "9g67k2htb6");
        let three = json!({ "two": 2, "one": "", "three": 3 });
        assert_eq!(encoded(&config_map(three.clone())), "7757f9kkct");
        let secret =
            |data: Value| json!({ "kind": "Secret", "name": "", "type": "my-type", "data": data });
        assert_eq!(encoded(&secret("".into())), "5gmgkf8578");
        assert_eq!(encoded(&secret(json!({ "one": "" }))), "74bd68bm66");
        assert_eq!(encoded(&secret(three)), "4gf75c7476");
        assert_eq!(as_go_writes(&json!("a<b>&c")), r#""a\u003cb\u003e\u0026c""#);
    }
}
