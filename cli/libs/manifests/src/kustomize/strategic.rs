//! Strategic merge patches: maps are merged, `null` removes a key, and the items of some lists are identified by keys.

use serde_json::{Map, Value};

use crate::at::below;

/// The lists of pods whose items are merged, and the keys that identify an item. Those of initContainers are as those of containers.
const OF_PODS: [(&str, &[&str]); 9] = [
    ("containers", &["name"]),
    ("containers.env", &["name"]),
    ("containers.ports", &["containerPort", "protocol"]),
    ("containers.volumeDevices", &["devicePath"]),
    ("containers.volumeMounts", &["mountPath"]),
    ("hostAliases", &["ip"]),
    ("imagePullSecrets", &["name"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("volumes", &["name"]),
];
/// As above, by kind, for everything else that is supported.
const OF_KINDS: [(&str, &str, &[&str]); 2] =
    [("Service", "spec.ports", &["port", "protocol"]), ("ServiceAccount", "secrets", &["name"])];
/// Lists that Kustomize merges, and chefcito does not.
const UNSUPPORTED: [&str; 3] = ["ephemeralContainers", "finalizers", "ownerReferences"];
/// The key of a patch about the patch itself.
const DIRECTIVE: &str = "$patch";

/// Merges a patch into an object of this kind; the error names a place and the feature that chefcito does not support.
pub(super) fn merge(
    kind: &str,
    target: &mut Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<(), String> {
    let merging = Merging { kind };
    for (key, value) in &*target {
        merging.check_lists(value, key)?;
    }
    merging.map(target, patch, "")
}

struct Merging<'a> {
    kind: &'a str,
}

impl Merging<'_> {
    fn map(
        &self,
        target: &mut Map<String, Value>,
        patch: &Map<String, Value>,
        path: &str,
    ) -> Result<(), String> {
        if let Some(unknown) = patch.keys().find(|key| key.starts_with('$')) {
            return Err(format!("chefcito does not support `{unknown}` here: {path}"));
        }
        for (key, change) in patch {
            let place = below(path, key);
            if UNSUPPORTED.contains(&key.as_str()) || place == "status" {
                return Err(format!("chefcito does not patch {place}"));
            }
            match (target.get_mut(key), change) {
                (Some(_), Value::Null) => drop(target.remove(key)),
                (None | Some(Value::Null), change) => {
                    target.insert(key.clone(), self.added(change, &place)?);
                }
                (Some(Value::Object(before)), Value::Object(change)) => {
                    self.map_or_replace(before, change, &place)?;
                }
                (Some(Value::Array(before)), Value::Array(change)) => {
                    self.list(before, change, &place)?;
                }
                (Some(before), change) if is_collection(before) || is_collection(change) => {
                    return Err(format!("{place} is of another type in the object"));
                }
                (Some(before), change) => *before = change.clone(),
            }
        }
        Ok(())
    }

    fn map_or_replace(
        &self,
        before: &mut Map<String, Value>,
        change: &Map<String, Value>,
        path: &str,
    ) -> Result<(), String> {
        if !is_replacement(change) {
            return self.map(before, change, path);
        }
        *before = self.added_map(change, path)?;
        Ok(())
    }

    /// Merges a patch into a list. The patch's items come first, in its order.
    fn list(&self, before: &mut Vec<Value>, patch: &[Value], path: &str) -> Result<(), String> {
        let keys = self.keys(path);
        if keys.is_empty() {
            refuse_directives(patch, path)?;
            *before = patch.iter().map(|item| self.added(item, path)).collect::<Result<_, _>>()?;
            return Ok(());
        }
        let keys = common_keys(keys, before.iter().chain(patch), path)?;
        for items in [&before[..], patch] {
            refuse_twins(items, &keys, path)?;
        }
        let mut merged = Vec::new();
        for item in patch {
            let Some(change) = item.as_object() else { continue };
            let found = before.iter().position(|one| identity(one, &keys) == identity(item, &keys));
            let found = found.map(|at| before.remove(at));
            match (change.get(DIRECTIVE).and_then(Value::as_str), found) {
                (Some("delete"), _) => {}
                (_, Some(Value::Object(mut map))) => {
                    self.map_or_replace(&mut map, change, path)?;
                    merged.push(Value::Object(map));
                }
                _ => merged.push(Value::Object(self.added_map(change, path)?)),
            }
        }
        merged.append(before);
        *before = merged;
        Ok(())
    }

    /// Kustomize merges an object with its patch everywhere, so that it changes lists that the patch does not name, too.
    fn check_lists(&self, value: &Value, path: &str) -> Result<(), String> {
        match value {
            Value::Object(map) => {
                map.iter().try_for_each(|(key, value)| self.check_lists(value, &below(path, key)))
            }
            Value::Array(list) => {
                let keys = self.keys(path);
                if keys.first().is_some_and(|first| refuse_twins(list, &[first], path).is_err()) {
                    refuse_twins(list, &common_keys(keys, list.iter(), path)?, path)?;
                }
                list.iter().try_for_each(|item| self.check_lists(item, path))
            }
            _ => Ok(()),
        }
    }

    /// Returns the keys that identify the items of a list; none for a list that is replaced as a whole.
    fn keys(&self, path: &str) -> &'static [&'static str] {
        let has_pods = matches!(self.kind, "Deployment" | "Job" | "StatefulSet");
        let in_pod = path.strip_prefix("spec.template.spec.").filter(|_| has_pods);
        let of_pods = in_pod.and_then(|path| {
            let path = path.replacen("initContainers", "containers", 1);
            OF_PODS.iter().find(|(list, _)| *list == path).map(|(_, keys)| *keys)
        });
        let mut of_kinds = OF_KINDS.iter();
        let of_kind = of_kinds.find(|(kind, list, _)| *kind == self.kind && *list == path);
        of_pods.or(of_kind.map(|(_, _, keys)| *keys)).unwrap_or_default()
    }

    /// Returns the value that a patch adds. `null` can't remove what does not exist: Kustomize would write it out.
    fn added(&self, value: &Value, path: &str) -> Result<Value, String> {
        Ok(match value {
            Value::Null => return Err(format!("`null` has nothing to remove: {path}")),
            Value::Object(map) => Value::Object(self.added_map(map, path)?),
            Value::Array(list) => {
                let keys = self.keys(path);
                if keys.is_empty() {
                    refuse_directives(list, path)?;
                } else {
                    refuse_twins(list, &common_keys(keys, list.iter(), path)?, path)?;
                }
                list.iter().map(|item| self.added(item, path)).collect::<Result<_, _>>()?
            }
            other => other.clone(),
        })
    }

    fn added_map(
        &self,
        map: &Map<String, Value>,
        path: &str,
    ) -> Result<Map<String, Value>, String> {
        let mut added = Map::new();
        for (key, value) in map {
            match key.as_str() {
                DIRECTIVE if is_replacement(map) => {}
                key if key.starts_with('$') => {
                    return Err(format!("chefcito does not support `{key}` here: {path}"));
                }
                _ => drop(added.insert(key.clone(), self.added(value, &below(path, key))?)),
            }
        }
        Ok(added)
    }
}

fn is_collection(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

fn is_replacement(change: &Map<String, Value>) -> bool {
    change.get(DIRECTIVE).and_then(Value::as_str) == Some("replace")
}

/// Returns those of the keys that all items have. The first has to be one; of the others, each is in all items or in none.
fn common_keys<'a>(
    keys: &[&'static str],
    items: impl Iterator<Item = &'a Value> + Clone,
    path: &str,
) -> Result<Vec<&'static str>, String> {
    let mut common = Vec::new();
    for key in keys {
        let has = |item: &Value| item.get(key).is_some_and(|value| !is_collection(value));
        if items.clone().all(has) {
            common.push(*key);
        } else if common.is_empty() || items.clone().any(has) {
            return Err(format!("each item of {path} should have `{key}`, which identifies it"));
        }
    }
    Ok(common)
}

/// Kustomize would make one item of two with the same keys.
fn refuse_twins(items: &[Value], keys: &[&str], path: &str) -> Result<(), String> {
    let twins = |(at, one): (usize, &Value)| {
        items[..at].iter().any(|other| identity(other, keys) == identity(one, keys))
    };
    match items.iter().enumerate().any(twins) {
        true => Err(format!("two items of {path} have the same {}", keys.join(" and "))),
        false => Ok(()),
    }
}

/// Kustomize takes directives for data in the items of a list that is replaced.
fn refuse_directives(items: &[Value], path: &str) -> Result<(), String> {
    fn has_directive(value: &Value) -> bool {
        match value {
            Value::Object(map) => {
                map.iter().any(|(key, value)| key.starts_with('$') || has_directive(value))
            }
            Value::Array(list) => list.iter().any(has_directive),
            _ => false,
        }
    }
    match items.iter().any(has_directive) {
        true => {
            Err(format!("the items of {path} are replaced as a whole: they can't have directives"))
        }
        false => Ok(()),
    }
}

fn identity<'a>(item: &'a Value, keys: &[&str]) -> Vec<Option<&'a Value>> {
    keys.iter().map(|key| item.get(key)).collect()
}
