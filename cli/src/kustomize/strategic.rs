//! Strategic merge patches: maps are merged, `null` removes a key, and the items of some lists are identified by a key.

use serde_json::{Map, Value};

/// The keys that identify the items of a list, by the name of the list. Other lists are replaced as a whole.
const KEYS: [(&str, &[&str]); 9] = [
    ("containers", &["name"]),
    ("env", &["name"]),
    ("imagePullSecrets", &["name"]),
    ("initContainers", &["name"]),
    // Those of containers, and those of Services.
    ("ports", &["containerPort", "protocol"]),
    ("ports", &["port", "protocol"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("volumeMounts", &["mountPath"]),
    ("volumes", &["name"]),
];
/// The key of a patch about the patch itself.
const DIRECTIVE: &str = "$patch";

/// Merges a patch into a map; the error names a feature that chefcito does not support.
pub(super) fn merge(
    target: &mut Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<(), String> {
    if let Some(unknown) = patch.keys().find(|key| key.starts_with('$')) {
        return Err(format!("chefcito does not support `{unknown}` here"));
    }
    for (key, change) in patch {
        match (target.get_mut(key), change) {
            (Some(_), Value::Null) => drop(target.remove(key)),
            (Some(Value::Object(before)), Value::Object(change)) => merge_map(before, change)?,
            (Some(Value::Array(before)), Value::Array(change)) => merge_list(before, change, key)?,
            (_, change) => {
                target.insert(key.clone(), added(change)?);
            }
        }
    }
    Ok(())
}

fn merge_map(before: &mut Map<String, Value>, change: &Map<String, Value>) -> Result<(), String> {
    if change.get(DIRECTIVE).and_then(Value::as_str) != Some("replace") {
        return merge(before, change);
    }
    *before = change.clone();
    before.remove(DIRECTIVE);
    Ok(())
}

/// Merges a patch into a list. The patch's items come first, in its order.
fn merge_list(before: &mut Vec<Value>, patch: &[Value], name: &str) -> Result<(), String> {
    let mut known = KEYS.iter().filter(|(list, _)| *list == name).map(|(_, keys)| *keys).peekable();
    let is_replaced = known.peek().is_none();
    let has = |item: &Value, keys: &[&str]| keys.iter().all(|key| item.get(key).is_some());
    let keys = known.find(|keys| patch.iter().all(|item| has(item, keys)));
    let Some(keys) = keys else {
        // Without the key, no item could match.
        if !is_replaced || patch.iter().any(|item| item.get(DIRECTIVE).is_some()) {
            return Err(format!("an item of `{name}` has none of its merge keys"));
        }
        *before = patch.iter().map(added).collect::<Result<_, _>>()?;
        return Ok(());
    };
    let mut merged = Vec::new();
    for item in patch {
        let Some(change) = item.as_object() else { continue };
        let is_same = |one: &Value| keys.iter().all(|key| one.get(key) == item.get(key));
        let found = before.iter().position(is_same).map(|at| before.remove(at));
        match change.get(DIRECTIVE).and_then(Value::as_str) {
            Some("delete") => {}
            None | Some("replace") => match found {
                Some(Value::Object(mut map)) => {
                    merge_map(&mut map, change)?;
                    merged.push(Value::Object(map));
                }
                _ => merged.push(added(item)?),
            },
            Some(other) => return Err(format!("chefcito does not support `{DIRECTIVE}: {other}`")),
        }
    }
    merged.append(before);
    *before = merged;
    Ok(())
}

/// Returns the value that a patch adds. `null` can't remove what does not exist: Kustomize would write it out.
fn added(value: &Value) -> Result<Value, String> {
    Ok(match value {
        Value::Null => return Err("`null` has nothing to remove".into()),
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(key, _)| *key != DIRECTIVE)
                .map(|(key, value)| Ok((key.clone(), added(value)?)))
                .collect::<Result<_, String>>()?,
        ),
        Value::Array(list) => Value::Array(list.iter().map(added).collect::<Result<_, _>>()?),
        other => other.clone(),
    })
}
