//! The configuration of a container, a network or a volume as names and values: hashed to detect a change, and kept in
//! a label to show what changed.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Increased when a name gets another meaning. A new field does not need that: fields that a file does not set have no
/// name here, so the hash stays the same.
const SCHEMA: u32 = 1;
/// Longer values are shown as their hash.
const TOLD_CHARS_MAX: usize = 120;

/// Names and values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec(BTreeMap<String, String>);

impl Spec {
    /// Returns the configuration of a thing. Omits what is `null`, `false` or an empty list.
    pub(super) fn of(thing: &impl Serialize) -> Self {
        let mut fields = BTreeMap::new();
        // Plain fields can always be serialised.
        flatten("", serde_json::to_value(thing).unwrap_or_default(), &mut fields);
        Self(fields)
    }

    /// Returns a hash of all names and values.
    pub(super) fn hash(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(SCHEMA.to_be_bytes());
        for text in self.0.iter().flat_map(|(name, value)| [name, value]) {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        hex(&hash.finalize())
    }

    /// Returns the names and values for a label, secrets and long texts as hashes.
    pub(super) fn label(&self) -> String {
        let shown: BTreeMap<&String, String> =
            self.0.iter().map(|(name, value)| (name, shown(name, value))).collect();
        serde_json::to_string(&shown).unwrap_or_default()
    }

    /// Returns the differences from a label's configuration: `environment CHEFCITO_STOVES 8 → 4`.
    pub(super) fn differences(&self, label: &str) -> Vec<String> {
        let Ok(was) = serde_json::from_str::<BTreeMap<String, String>>(label) else {
            return vec!["its former configuration can't be read".into()];
        };
        let names = self.0.keys().chain(was.keys().filter(|name| !self.0.contains_key(*name)));
        let difference = |name: &String| {
            let is = self.0.get(name).map(|value| shown(name, value));
            let was = was.get(name);
            (is.as_ref() != was).then(|| {
                let name = name.replacen('.', " ", 1);
                let is_hash =
                    |value: Option<&String>| value.is_some_and(|value| value.starts_with('#'));
                if is_hash(is.as_ref()) && is_hash(was) {
                    return format!("{name} changed");
                }
                let word = |value: Option<&String>| match value {
                    None => "unset".to_owned(),
                    Some(value) if value.is_empty() => "empty".into(),
                    Some(value) => value.clone(),
                };
                format!("{name} {} → {}", word(was), word(is.as_ref()))
            })
        };
        names.filter_map(difference).collect()
    }
}

fn shown(name: &str, value: &str) -> String {
    const SECRETS: [&str; 4] = ["PASSWORD", "SECRET", "TOKEN", "KEY"];
    let upper = name.to_ascii_uppercase();
    let is_secret = upper.starts_with("ENVIRONMENT.")
        && !upper.ends_with("_FILE")
        && (SECRETS.iter().any(|word| upper.contains(word)) || value.contains('@'));
    if is_secret || value.chars().count() > TOLD_CHARS_MAX || value.starts_with('#') {
        return format!("#{}", &hex(&Sha256::digest(value))[..12]);
    }
    value.to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn flatten(name: &str, value: Value, fields: &mut BTreeMap<String, String>) {
    match value {
        Value::Null | Value::Bool(false) => {}
        Value::Array(list) if list.is_empty() => {}
        Value::Object(map) => match duration(&map) {
            Some(duration) => {
                fields.insert(name.into(), duration);
            }
            None => {
                for (key, value) in map {
                    let name = if name.is_empty() { key } else { format!("{name}.{key}") };
                    flatten(&name, value, fields);
                }
            }
        },
        Value::Array(list) => {
            let words: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            let text = match words {
                Some(words) if words.iter().all(|word| !word.contains(' ') && !word.is_empty()) => {
                    words.join(" ")
                }
                _ => Value::Array(list.into_iter().map(without_nothing).collect()).to_string(),
            };
            fields.insert(name.into(), text);
        }
        Value::String(text) => {
            fields.insert(name.into(), text);
        }
        other => {
            fields.insert(name.into(), other.to_string());
        }
    }
}

/// Returns the value without empty parts, so that a new field changes nothing.
fn without_nothing(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .filter(|(_, value)| !matches!(value, Value::Null | Value::Bool(false)))
            .collect(),
        other => other,
    }
}

/// Returns a duration in the usual notation, if the map is one.
fn duration(map: &serde_json::Map<String, Value>) -> Option<String> {
    let (secs, nanos) = (map.get("secs")?.as_u64()?, map.get("nanos")?.as_u64()?);
    let nanos = u32::try_from(nanos).ok()?;
    Some(humantime::format_duration(std::time::Duration::new(secs, nanos)).to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use manifests::compose_file::Service;

    fn kitchen() -> Service {
        let environment =
            [("CHEFCITO_STOVES", "8"), ("CHEFCITO_COOKING_TIME", ""), ("API_TOKEN", "s3cret")];
        Service {
            image: "chefcito-kitchen:c-1".into(),
            environment: environment.map(|(name, value)| (name.into(), value.into())).into(),
            stop_grace_period: Some(Duration::from_secs(5)),
            cap_drop: vec!["ALL".into()],
            read_only: true,
            ..Service::default()
        }
    }

    #[test]
    fn what_changed_is_named_and_secrets_are_not() {
        let before = Spec::of(&kitchen());
        let mut kitchen = kitchen();
        kitchen.environment.insert("CHEFCITO_STOVES".into(), "4".into());
        kitchen.environment.remove("CHEFCITO_COOKING_TIME");
        kitchen.environment.insert("API_TOKEN".into(), "other".into());
        kitchen.stop_grace_period = None;
        kitchen.mem_limit = Some(1024);
        let after = Spec::of(&kitchen);
        assert_ne!(before.hash(), after.hash());
        insta::assert_snapshot!(after.differences(&before.label()).join("\n"), @r"
        environment API_TOKEN changed
        environment CHEFCITO_STOVES 8 → 4
        mem_limit unset → 1024
        environment CHEFCITO_COOKING_TIME empty → unset
        stop_grace_period 5s → unset
        ");
        assert!(!before.label().contains("s3cret"));
        assert_eq!(before.differences(&before.label()), [""; 0]);
        assert_eq!(after.differences("?"), ["its former configuration can't be read"]);
    }

    #[test]
    fn what_a_file_does_not_mention_has_no_part_in_the_hash() {
        let spec = Spec::of(&Service { image: "i".into(), ..Service::default() });
        assert_eq!(spec.0.keys().collect::<Vec<_>>(), ["image", "restart"]);
    }
}
