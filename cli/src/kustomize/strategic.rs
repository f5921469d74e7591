//! Changes that look like what they change: maps are merged, `null` removes, and the items of some lists are known by a key.

use serde_json::{Map, Value};

/// What tells the items of a list apart, by the name of the list. Other lists are replaced as a whole.
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
/// What a patch says about the patch itself.
const DIRECTIVE: &str = "$patch";

/// Changes a map as a patch says; the error names what chefcito does not do.
pub(super) fn merge(
    target: &mut Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<(), String> {
    if let Some(unknown) = patch.keys().find(|key| key.starts_with('$')) {
        return Err(format!("chefcito does not do `{unknown}` here"));
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

/// Changes a list. What the patch names comes first, in its order.
fn merge_list(before: &mut Vec<Value>, patch: &[Value], name: &str) -> Result<(), String> {
    let mut known = KEYS.iter().filter(|(list, _)| *list == name).map(|(_, keys)| *keys).peekable();
    let is_replaced = known.peek().is_none();
    let has = |item: &Value, keys: &[&str]| keys.iter().all(|key| item.get(key).is_some());
    let keys = known.find(|keys| patch.iter().all(|item| has(item, keys)));
    let Some(keys) = keys else {
        // Nobody would find what is meant.
        if !is_replaced || patch.iter().any(|item| item.get(DIRECTIVE).is_some()) {
            return Err(format!("an item of `{name}` does not say which one it is"));
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
            Some(other) => return Err(format!("chefcito does not do `{DIRECTIVE}: {other}`")),
        }
    }
    merged.append(before);
    *before = merged;
    Ok(())
}

/// Returns what a patch adds. Where nothing was, nothing can be removed: Kustomize would write the word.
fn added(value: &Value) -> Result<Value, String> {
    Ok(match value {
        Value::Null => return Err("there is nothing that `null` could remove".into()),
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
