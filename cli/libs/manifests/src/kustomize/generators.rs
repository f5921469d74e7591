//! Generates ConfigMaps and Secrets from files and literals.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{
    accumulate::Gathered,
    kustomization::{Behavior, Entry, Generator},
    object::Object,
};
use crate::error::{Error, Result};

/// The default type of a Secret.
const OPAQUE: &str = "Opaque";

/// Generates a ConfigMap or a Secret. `read` reads the files that the generator names, `bad` makes the error for a field.
pub(super) fn generate(
    generator: &Generator,
    read: &mut dyn FnMut(&Entry) -> Result<String>,
    bad: &dyn Fn(&str, String) -> Error,
) -> Result<Gathered> {
    let mut data = BTreeMap::new();
    for entry in &generator.envs {
        let text = read(entry)?;
        for (at, line) in text.lines().enumerate() {
            let pair = variable(line).map_err(|what| {
                bad(&entry.at, format!("line {} of `{}`: {what}", at + 1, entry.text))
            })?;
            if let Some((key, value)) = pair {
                add(&mut data, key, value).map_err(|what| bad(&entry.at, what))?;
            }
        }
    }
    for entry in &generator.files {
        let (key, path) = match entry.text.split_once('=') {
            Some((key, path)) => (key, path),
            None => (entry.text.rsplit('/').next().unwrap_or(&entry.text), entry.text.as_str()),
        };
        let text = read(&Entry { at: entry.at.clone(), text: path.to_owned() })?;
        add(&mut data, key, &text).map_err(|what| bad(&entry.at, what))?;
    }
    for entry in &generator.literals {
        let Some((key, value)) = entry.text.split_once('=') else {
            return Err(bad(&entry.at, "it should be like NAME=value".into()));
        };
        add(&mut data, key, without_quotes(value)).map_err(|what| bad(&entry.at, what))?;
    }
    let kind = if generator.is_secret { "Secret" } else { "ConfigMap" };
    let mut value =
        json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": generator.name } });
    for (field, pairs) in [("labels", &generator.labels), ("annotations", &generator.annotations)] {
        if !pairs.is_empty() {
            value["metadata"][field] = json!(pairs);
        }
    }
    if generator.is_secret {
        value["type"] = generator.secret_type.as_deref().unwrap_or(OPAQUE).into();
    }
    // As Kustomize has it; it is part of the hash.
    if generator.is_secret || !data.is_empty() {
        value["data"] = data_of(&data, generator.is_secret);
    }
    let object = Object::new(value).map_err(|what| bad(&generator.at, what))?;
    Ok(Gathered::new(object, generator.has_hash))
}

/// Returns the data of a ConfigMap, or of a Secret.
pub(super) fn data_of(data: &BTreeMap<String, String>, is_secret: bool) -> Value {
    let entry = |(key, value): (&String, &String)| {
        let value = if is_secret { STANDARD.encode(value) } else { value.clone() };
        (key.clone(), Value::from(value))
    };
    Value::Object(data.iter().map(entry).collect())
}

/// Merges generated data into an object, or replaces its data.
pub(super) fn change(
    before: &mut Object,
    mut after: Object,
    behavior: Behavior,
) -> Result<(), String> {
    if before.value().get("binaryData").is_some() {
        return Err("chefcito does not change binaryData".into());
    }
    for path in [&["metadata", "labels"][..], &["metadata", "annotations"], &["data"]] {
        let is_data = path == ["data"];
        let kept = match before.map_at(path) {
            Some(map) if !(is_data && behavior == Behavior::Replace) => map.clone(),
            _ => Map::new(),
        };
        let Some(map) = after.map_at(path) else { continue };
        for (key, value) in kept {
            map.entry(key).or_insert(value);
        }
    }
    let is_secret = after.kind() == "Secret";
    // Looking a key up may have created the map.
    for path in ["/metadata", ""] {
        if let Some(Value::Object(map)) = after.value_mut().pointer_mut(path) {
            let is_kept = |key: &str| key == "data" && is_secret && behavior == Behavior::Replace;
            map.retain(|key, value| {
                is_kept(key) || value.as_object().is_none_or(|map| !map.is_empty())
            });
        }
    }
    if let (Some(namespace), Some(map)) =
        (before.value().pointer("/metadata/namespace"), after.map_at(&["metadata"]))
    {
        map.insert("namespace".into(), namespace.clone());
    }
    *before = after;
    Ok(())
}

fn add(data: &mut BTreeMap<String, String>, key: &str, value: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if key.is_empty() || !key.bytes().all(is_plain) {
        return Err(format!(
            "`{key}` is not a valid name: it should be letters, digits, `-`, `_` and `.`"
        ));
    }
    match data.insert(key.to_owned(), value.to_owned()) {
        Some(_) => Err(format!("`{key}` is a duplicate")),
        None => Ok(()),
    }
}

/// Parses a line of a file of variables; `None` if it is empty or a comment.
fn variable(line: &str) -> Result<Option<(&str, &str)>, String> {
    let line = line.trim_start_matches('\u{feff}').trim_start();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    // Kustomize accepts it as an empty value, but more often it is a mistake.
    line.split_once('=').map(Some).ok_or_else(|| "it should be like NAME=value".into())
}

/// Returns the text without quotes around it.
fn without_quotes(text: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_variables_are_read_as_they_are_written() {
        assert_eq!(variable("  a=b = c "), Ok(Some(("a", "b = c "))));
        assert_eq!(variable("# a=b"), Ok(None));
        assert_eq!(variable(""), Ok(None));
        assert!(variable("half a line").is_err());
        assert_eq!(without_quotes("'a'"), "a");
        assert_eq!(without_quotes("\"a'"), "\"a'");
        assert_eq!(without_quotes("'"), "'");
    }
}
