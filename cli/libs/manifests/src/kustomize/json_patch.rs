//! Patches of RFC 6902: a list of operations, each with a path.

use serde_json::Value;

/// Applies all operations in order; the error names the operation that fails, and the cause.
pub(super) fn apply(target: &mut Value, operations: &[Value]) -> Result<(), String> {
    for (at, operation) in operations.iter().enumerate() {
        apply_one(target, operation).map_err(|what| format!("operation {}: {what}", at + 1))?;
    }
    Ok(())
}

fn apply_one(target: &mut Value, operation: &Value) -> Result<(), String> {
    let text = |name: &str| operation.get(name).and_then(Value::as_str);
    let path = text("path").ok_or("it has no `path`")?;
    let value = || operation.get("value").cloned().ok_or("it has no `value`");
    match text("op") {
        Some("add") => add(target, path, value()?),
        Some("replace") => {
            let found = target
                .pointer_mut(path)
                .ok_or_else(|| format!("there is nothing at {path} to replace"))?;
            *found = value()?;
            Ok(())
        }
        Some("remove") => remove(target, path).map(drop),
        Some("test") => match target.pointer(path) == Some(&value()?) {
            true => Ok(()),
            false => Err(format!("{path} is something else")),
        },
        Some(other) => {
            Err(format!("chefcito supports add, remove, replace and test, not `{other}`"))
        }
        None => Err("it has no `op`".into()),
    }
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let (parent, key) = split(path)?;
    match target.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.insert(key, value);
            Ok(())
        }
        Some(Value::Array(list)) => {
            let at = if key == "-" { Some(list.len()) } else { index(&key) };
            match at.filter(|at| *at <= list.len()) {
                Some(at) => {
                    list.insert(at, value);
                    Ok(())
                }
                None => Err(format!("{path} is beyond the end of the list")),
            }
        }
        _ => Err(format!("there is nothing at {parent} to add to")),
    }
}

fn remove(target: &mut Value, path: &str) -> Result<Value, String> {
    let (parent, key) = split(path)?;
    let removed = match target.pointer_mut(parent) {
        Some(Value::Object(map)) => map.remove(&key),
        Some(Value::Array(list)) => {
            index(&key).filter(|at| *at < list.len()).map(|at| list.remove(at))
        }
        _ => None,
    };
    removed.ok_or_else(|| format!("there is nothing at {path} to remove"))
}

/// Parses an index, which has neither a sign nor zeros in front.
fn index(key: &str) -> Option<usize> {
    key.parse().ok().filter(|at: &usize| at.to_string() == key)
}

/// Splits a path into its parent and the last key.
fn split(path: &str) -> Result<(&str, String), String> {
    let (parent, key) =
        path.rsplit_once('/').ok_or_else(|| format!("`{path}` should begin with /"))?;
    Ok((parent, key.replace("~1", "/").replace("~0", "~")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operations_are_done_in_their_order() {
        let mut target = json!({ "list": [1, 2], "a/b": { "c": 1 } });
        let operations = json!([
            { "op": "test", "path": "/list/0", "value": 1 },
            { "op": "add", "path": "/list/-", "value": 3 },
            { "op": "add", "path": "/list/0", "value": 0 },
            { "op": "replace", "path": "/a~1b/c", "value": 2 },
            { "op": "remove", "path": "/list/1" },
            { "op": "add", "path": "/new", "value": {} },
        ]);
        apply(&mut target, operations.as_array().unwrap()).unwrap();
        assert_eq!(target, json!({ "list": [0, 2, 3], "a/b": { "c": 2 }, "new": {} }));
    }

    #[test]
    fn what_can_not_be_done_is_named() {
        let said = |operation: Value| apply(&mut json!({ "list": [] }), &[operation]).unwrap_err();
        let errors = [
            json!({ "op": "replace", "path": "/none", "value": 1 }),
            json!({ "op": "remove", "path": "/list/0" }),
            json!({ "op": "add", "path": "/list/1", "value": 1 }),
            json!({ "op": "add", "path": "/a/b", "value": 1 }),
            json!({ "op": "add", "path": "/a" }),
            json!({ "op": "test", "path": "/list", "value": 1 }),
            json!({ "op": "move", "from": "/list", "path": "/b" }),
            json!({ "op": "add", "path": "list", "value": 1 }),
            json!({ "path": "/a", "value": 1 }),
        ]
        .map(said);
        insta::assert_snapshot!(errors.join("\n"));
    }
}
