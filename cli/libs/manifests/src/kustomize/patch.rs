//! Finds the targets of a patch, and applies it.

use serde_json::{Map, Value};

use super::{
    accumulate::Accumulated,
    json_patch,
    kustomization::{self, Target},
    object::Object,
    strategic,
};
use crate::at::{Flaw, Result};

/// Applies the text of a patch.
///
/// # Errors
/// [`Flaw`] if it is invalid, can't be applied, or changes nothing: a patch without a target is a mistake.
pub(super) fn apply(text: &str, target: Option<&Target>, all: &mut Accumulated) -> Result<()> {
    let mut changes = kustomization::values(text)?;
    // Operations may also be a YAML list.
    if let [Value::Array(operations)] = changes.as_mut_slice() {
        let operations = std::mem::take(operations);
        let Some(target) = target else {
            return Err(Flaw::new("", "a list of operations needs a `target`"));
        };
        return change_each(all, |object| is_meant(target, object), &|value| {
            json_patch::apply(value, &operations)
        });
    }
    if changes.is_empty() {
        return Err(Flaw::new("", "it has no change"));
    }
    for change in changes {
        let Value::Object(mut change) = change else {
            return Err(Flaw::new("", "it should be an object, or a list of operations"));
        };
        // Kustomize requires these fields even with a `target`.
        let Some(own) = named_by(&change) else {
            return Err(Flaw::new("", "it has no apiVersion, kind and metadata.name"));
        };
        // With a `target`, the name in the patch is ignored.
        for key in ["apiVersion", "kind"] {
            change.remove(key);
        }
        if let Some(Value::Object(metadata)) = change.get_mut("metadata") {
            metadata.remove("name");
        }
        let target = target.cloned().unwrap_or(own);
        change_each(all, |object| is_meant(&target, object), &|value| {
            let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
            value.as_object_mut().map_or(Ok(()), |map| strategic::merge(&kind, map, &change))
        })?;
    }
    Ok(())
}

fn change_each(
    all: &mut Accumulated,
    is_meant: impl Fn(&Object) -> bool,
    change: &dyn Fn(&mut Value) -> Result<(), String>,
) -> Result<()> {
    let mut found = false;
    for object in all.iter_mut().filter(|object| is_meant(object)) {
        found = true;
        let before = object.id();
        change(object.value_mut()).map_err(|what| Flaw::new("", format!("{before}: {what}")))?;
        if object.id() != before {
            return Err(Flaw::new("", format!("it changes the identity of {before}")));
        }
    }
    if found { Ok(()) } else { Err(Flaw::new("", "no object matches it")) }
}

/// Returns the target that a patch names itself.
fn named_by(change: &Map<String, Value>) -> Option<Target> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let api_version = text(change.get("apiVersion"))?;
    let (group, version) = group_and_version(&api_version);
    Some(Target {
        group: Some(group.to_owned()),
        version: Some(version.to_owned()),
        kind: Some(text(change.get("kind"))?),
        name: Some(text(change.get("metadata").and_then(|metadata| metadata.get("name")))?),
        ..Target::default()
    })
}

fn group_and_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

fn is_meant(target: &Target, object: &Object) -> bool {
    let (group, version) = group_and_version(object.api_version());
    let is =
        |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
    is(&target.group, group)
        && is(&target.version, version)
        && is(&target.kind, object.kind())
        && is(&target.name, object.name())
        && target.labels.iter().all(|(name, value)| object.label(name) == value)
}
