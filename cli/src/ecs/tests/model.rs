//! Our task definitions against the API of ECS as AWS publishes it: `service-2.json`, the source of its clients.

use super::*;

/// Returns the problems that the model finds in a value.
fn problems(model: &Value, shape: &str, value: &Value, at: &str) -> Vec<String> {
    let shape = &model["shapes"][shape];
    let wrong = |what: String| vec![format!("{at}: {what}")];
    match (shape["type"].as_str().unwrap(), value) {
        ("structure", Value::Object(members)) => {
            let required = shape["required"].as_array().into_iter().flatten();
            let missing = required
                .map(|name| name.as_str().unwrap())
                .filter(|name| !members.contains_key(*name))
                .map(|name| format!("{at}: no {name}"));
            let members = members.iter().flat_map(|(name, value)| {
                match shape["members"][name]["shape"].as_str() {
                    Some(shape) => problems(model, shape, value, &format!("{at}.{name}")),
                    None => wrong(format!("unknown field {name}")),
                }
            });
            missing.chain(members).collect()
        }
        ("list", Value::Array(items)) => {
            let member = shape["member"]["shape"].as_str().unwrap();
            let items = items.iter().enumerate();
            let inside = items
                .clone()
                .flat_map(|(n, item)| problems(model, member, item, &format!("{at}[{n}]")));
            out_of_bounds(shape, items.len())
                .map(|what| format!("{at}: {what}"))
                .into_iter()
                .chain(inside)
                .collect()
        }
        ("map", Value::Object(pairs)) => {
            let [key, value] = ["key", "value"].map(|part| shape[part]["shape"].as_str().unwrap());
            let inside = pairs.iter().flat_map(|(name, one)| {
                let at = format!("{at}.{name}");
                [problems(model, key, &json!(name), &at), problems(model, value, one, &at)].concat()
            });
            inside.collect()
        }
        ("string", Value::String(text)) => {
            let allowed = shape["enum"].as_array();
            match allowed.is_none_or(|allowed| allowed.contains(value)) {
                true => out_of_bounds(shape, text.chars().count()).map_or_else(Vec::new, wrong),
                false => wrong(format!("{value} is none of its values")),
            }
        }
        ("integer", Value::Number(number)) => match number.as_i64().map(i32::try_from) {
            Some(Ok(_)) => {
                let size = usize::try_from(number.as_i64().unwrap()).unwrap_or(0);
                out_of_bounds(shape, size).map_or_else(Vec::new, wrong)
            }
            _ => wrong(format!("{number} is no integer")),
        },
        ("boolean", Value::Bool(_)) => Vec::new(),
        (kind, value) => wrong(format!("{value} is no {kind}")),
    }
}

fn out_of_bounds(shape: &Value, size: usize) -> Option<String> {
    let size = size as u64;
    let is_within = shape["min"].as_u64().is_none_or(|min| size >= min)
        && shape["max"].as_u64().is_none_or(|max| size <= max);
    (!is_within).then(|| format!("{size} is not from {} to {}", shape["min"], shape["max"]))
}

fn model() -> Option<Value> {
    let Ok(path) = std::env::var("CHEFCITO_TEST_ECS_MODEL") else {
        test_support::lacking(
            "the API model of ECS; set CHEFCITO_TEST_ECS_MODEL to the file that `.ci/ecs-model` prints",
        );
        return None;
    };
    Some(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
}

fn request(model: &Value) -> String {
    let input = &model["operations"]["RegisterTaskDefinition"]["input"]["shape"];
    input.as_str().unwrap().to_owned()
}

#[test]
fn ecs_knows_every_field_of_every_task_definition() {
    let Some(model) = model() else { return };
    for definition in OVERLAYS.into_iter().flat_map(definitions) {
        let found = problems(&model, &request(&model), &definition, "");
        assert!(found.is_empty(), "{}: {found:#?}", definition["family"]);
    }
}

/// The check finds mistakes.
#[test]
fn what_ecs_does_not_know_is_seen() {
    let Some(model) = model() else { return };
    let mut definition = definitions(Overlay::Production).remove(1);
    let removed = definition.as_object_mut().unwrap().remove("family");
    assert!(removed.is_some());
    definition["colour"] = json!("red");
    definition["networkMode"] = json!("carrier pigeon");
    definition["tags"] = json!([{ "key": "", "value": 1 }]);
    let container = &mut definition["containerDefinitions"][0];
    container["memory"] = json!("128");
    container["stopTimeout"] = json!(1.5);
    container["secrets"][0] = json!({ "name": "A" });
    container["logConfiguration"]["options"]["mode"] = json!(true);
    let found = problems(&model, &request(&model), &definition, "").join("\n");
    insta::assert_snapshot!(found, @r#"
    : no family
    : unknown field colour
    .containerDefinitions[0].logConfiguration.options.mode: true is no string
    .containerDefinitions[0].memory: "128" is no integer
    .containerDefinitions[0].secrets[0]: no valueFrom
    .containerDefinitions[0].stopTimeout: 1.5 is no integer
    .networkMode: "carrier pigeon" is none of its values
    .tags[0].key: 0 is not from 1 to 128
    .tags[0].value: 1 is no string
    "#);
}
