//! The fields in which an object and its forecast differ, by their paths.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::objects::Object;

/// Fields that the server maintains.
const OF_THE_SERVER: [&str; 7] = [
    "managedFields",
    "resourceVersion",
    "uid",
    "creationTimestamp",
    "generation",
    "selfLink",
    "deletionGracePeriodSeconds",
];
/// The most characters of a value that are shown.
const SHOWN_MAX: usize = 60;

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its path: `spec.template.spec.containers[kitchen].image`.
    pub field: String,
    /// Its value; `None` if it is not set.
    pub is: Option<String>,
    /// Its value after an apply; `None` if that removes it.
    pub becomes: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "unset".into());
        write!(formatter, "{} {} → {}", self.field, value(&self.is), value(&self.becomes))
    }
}

/// Returns the fields that differ, in the order of their paths. Hides values of secrets.
pub fn changes(is: &Object, becomes: &Object) -> Vec<Change> {
    let mut walk = Walk { is_secret: is.kind() == "Secret", found: Vec::new() };
    walk.compare("", Some(&is.to_value()), Some(&becomes.to_value()));
    walk.found
}

struct Walk {
    is_secret: bool,
    found: Vec<Change>,
}

impl Walk {
    fn compare(&mut self, field: &str, is: Option<&Value>, becomes: Option<&Value>) {
        if is == becomes {
            return;
        }
        match (is, becomes) {
            (Some(Value::Object(is)), Some(Value::Object(becomes))) => {
                let keys = is.keys().chain(becomes.keys().filter(|key| !is.contains_key(*key)));
                for key in keys {
                    if !passed_over(field, key) {
                        self.compare(&below(field, key), is.get(key), becomes.get(key));
                    }
                }
            }
            (Some(Value::Array(is)), Some(Value::Array(becomes))) => {
                self.compare_lists(field, is, becomes);
            }
            (is, becomes) => self.note(field, is, becomes),
        }
    }

    /// Compares lists: by name if their items have names, else by index.
    fn compare_lists(&mut self, field: &str, is: &[Value], becomes: &[Value]) {
        match (names(is), names(becomes)) {
            (Some(old), Some(new)) if !(old.is_empty() && new.is_empty()) => {
                for (name, value) in &old {
                    let other =
                        new.iter().find(|(other, _)| other == name).map(|(_, value)| *value);
                    self.compare(&format!("{field}[{name}]"), Some(value), other);
                }
                for (name, value) in &new {
                    if !old.iter().any(|(other, _)| other == name) {
                        self.compare(&format!("{field}[{name}]"), None, Some(value));
                    }
                }
            }
            _ => {
                for at in 0..is.len().max(becomes.len()) {
                    self.compare(&format!("{field}[{at}]"), is.get(at), becomes.get(at));
                }
            }
        }
    }

    fn note(&mut self, field: &str, is: Option<&Value>, becomes: Option<&Value>) {
        let is_hidden =
            self.is_secret && (field.starts_with("data") || field.starts_with("stringData"));
        let shown = |value: &Value| if is_hidden { "(hidden)".into() } else { shown(value) };
        self.found.push(Change {
            field: field.to_owned(),
            is: is.map(shown),
            becomes: becomes.map(shown),
        });
    }
}

fn passed_over(field: &str, key: &str) -> bool {
    match field {
        "" => key == "status",
        "metadata" => OF_THE_SERVER.contains(&key),
        // The server counts the versions of a Deployment's template here.
        "metadata.annotations" => key == "deployment.kubernetes.io/revision",
        _ => false,
    }
}

fn below(field: &str, key: &str) -> String {
    if field.is_empty() { key.to_owned() } else { format!("{field}.{key}") }
}

/// Returns the items of a list by name; `None` if one has no name, or two have the same.
fn names(list: &[Value]) -> Option<Vec<(&str, &Value)>> {
    let named: Option<Vec<(&str, &Value)>> =
        list.iter().map(|value| Some((value.get("name")?.as_str()?, value))).collect();
    let named = named?;
    let mut sorted: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
    sorted.sort_unstable();
    let has_twins = sorted.windows(2).any(|pair| pair[0] == pair[1]);
    (!has_twins).then_some(named)
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use contracts::services::KITCHEN;
    use serde_json::json;

    use super::*;

    fn object(kind: &str, rest: Value) -> Object {
        let mut value = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": KITCHEN}});
        let fields = rest.as_object().unwrap().clone();
        value.as_object_mut().unwrap().extend(fields);
        Object::from_value(value).unwrap()
    }

    fn shown(is: &Object, becomes: &Object) -> Vec<String> {
        changes(is, becomes).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_field_is_named_by_its_place_and_what_it_becomes() {
        let pod = |image: &str, cpu: Value| {
            object(
                "Pod",
                json!({"spec": {"containers": [
                    {"name": "proxy", "image": "p"},
                    {"name": KITCHEN, "image": image, "limits": cpu},
                ]}}),
            )
        };
        assert_eq!(
            shown(&pod("c-1", json!({"cpu": "1"})), &pod("c-2", json!({}))),
            [
                "spec.containers[kitchen].image c-1 → c-2",
                "spec.containers[kitchen].limits.cpu 1 → unset"
            ]
        );
    }

    #[test]
    fn what_the_server_keeps_for_itself_is_no_change() {
        let with = |version: &str, ready: u32| {
            let mut it = object("Service", json!({"status": {"ready": ready}}));
            it.inner_mut().metadata.resource_version = Some(version.into());
            it
        };
        assert_eq!(shown(&with("1", 0), &with("2", 1)), Vec::<String>::new());
    }

    #[test]
    fn what_is_in_a_secret_is_not_shown() {
        let secret = |value: &str| object("Secret", json!({"data": {"key": value}}));
        assert_eq!(
            shown(&secret("b3BlbiE="), &secret("c2hoaA==")),
            ["data.key (hidden) → (hidden)"]
        );
    }

    #[test]
    fn lists_without_names_are_compared_by_place() {
        let policy = |ports: Value| object("NetworkPolicy", json!({"spec": {"ports": ports}}));
        assert_eq!(
            shown(&policy(json!([{"port": 1}])), &policy(json!([{"port": 2}, {"port": 3}]))),
            ["spec.ports[0].port 1 → 2", "spec.ports[1] unset → {\"port\":3}"]
        );
    }

    #[test]
    fn a_long_value_is_cut() {
        let map = |text: String| object("ConfigMap", json!({"data": {"page": text}}));
        let shown = shown(&map("é".repeat(500)), &map(String::new()));
        assert_eq!(shown, [format!("data.page {}… → ", "é".repeat(SHOWN_MAX))]);
    }
}
