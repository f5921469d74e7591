//! What guests send is taken in its own shape only, at every level.

use std::fmt::Debug;

use contracts::{
    api::{
        audit::Ledger,
        gateway::AddKey,
        inventory::{AdjustStock, OpenStock},
        kitchen::Menu,
        market_sim::{ChangeMarketSim, Sale},
        orders::{AskStates, PlaceOrders},
    },
    json::{JsonError, from_slice},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Returns the JSON with one of its parts in another shape, for each part and each other shape.
fn misshapen(value: &Value) -> Vec<Value> {
    let mut all = vec![json!([value]), json!({ "other": value })];
    match value {
        Value::Object(fields) => {
            all.push(Value::Array(fields.values().cloned().collect()));
            for (key, field) in fields {
                all.extend(misshapen(field).into_iter().map(|field| {
                    let mut fields = fields.clone();
                    fields.insert(key.clone(), field);
                    Value::Object(fields)
                }));
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                all.extend(misshapen(item).into_iter().map(|item| {
                    let mut items = items.clone();
                    items[at] = item;
                    Value::Array(items)
                }));
            }
        }
        _ => {}
    }
    all
}

fn takes_only<T: DeserializeOwned + Serialize + Debug>(good: Value) {
    let text = good.to_string();
    let read: T = from_slice(text.as_bytes()).unwrap_or_else(|error| panic!("{good}: {error}"));
    let without_ignored = |mut value: Value| {
        value.as_object_mut().unwrap().remove("version");
        value
    };
    assert_eq!(
        without_ignored(serde_json::to_value(&read).unwrap()),
        without_ignored(good.clone())
    );
    for bad in misshapen(&good) {
        let read = from_slice::<T>(bad.to_string().as_bytes());
        assert!(matches!(read, Err(JsonError::Shape { .. })), "{bad} is read as {read:?}");
    }
    for cut in 1..text.len() {
        let read = from_slice::<T>(&text.as_bytes()[..cut]);
        assert!(matches!(read, Err(JsonError::Syntax(_))), "{} is read as {read:?}", &text[..cut]);
    }
}

#[test]
fn nothing_is_taken_for_what_it_is_not() {
    let id = "0192f3c4-5a6b-7c8d-9e0f-112233445566";
    takes_only::<PlaceOrders>(json!({"dish": "pizza"}));
    takes_only::<PlaceOrders>(json!({"orders": [{"dish": "pizza"}, {}, {"dish": "soup"}]}));
    takes_only::<AskStates>(json!({"ids": [id]}));
    takes_only::<Ledger>(json!({"ids": [id]}));
    let soup =
        json!({"name": "soup", "ingredients": {"rice": 1}, "cooking_time_ms": 1, "version": 0});
    takes_only::<Menu>(json!({"recipes": [soup], "version": 0}));
    takes_only::<OpenStock>(json!({"opening": {"rice": 5, "meat": 0}}));
    takes_only::<AdjustStock>(json!({"set": {"rice": 5}}));
    takes_only::<AddKey>(json!({"name": "a guest", "role": "viewer"}));
    takes_only::<ChangeMarketSim>(json!({"zeros": 0.5, "delay_ms": 3, "outage": true}));
    takes_only::<Sale>(json!({"quantitySold": 3}));
}

#[test]
fn a_whole_number_may_have_a_fraction_of_nothing() {
    let read = |json: &str| from_slice::<AdjustStock>(json.as_bytes()).map(|read| read.set);
    assert_eq!(read(r#"{"set":{"rice":5.0}}"#).unwrap(), read(r#"{"set":{"rice":5}}"#).unwrap());
    for other in ["5.5", "1e300", "9007199254740993.0"] {
        assert!(read(&format!(r#"{{"set":{{"rice":{other}}}}}"#)).is_err(), "{other}");
    }
    let half = from_slice::<ChangeMarketSim>(br#"{"zeros":1.0,"errors":0.5}"#).unwrap();
    assert_eq!((half.zeros, half.errors), (Some(1.0), Some(0.5)));
}

#[test]
fn a_key_that_is_there_twice_is_refused_with_its_place() {
    let why = |json: &str| from_slice::<Menu>(json.as_bytes()).unwrap_err().to_string();
    insta::assert_snapshot!(
        why(r#"{"recipes":[{"name":"soup","cooking_time_ms":1,"ingredients":{"rice":1,"rice":2}}]}"#),
        @"`recipes[0].ingredients`: `rice` is there twice at line 1 column 77"
    );
    insta::assert_snapshot!(why(r#"{"recipes":[],"recipes":[]}"#), @"`recipes` is there twice at line 1 column 23");
    insta::assert_snapshot!(why(r#"{"recipes":[["soup",{"rice":1},1]]}"#), @"`recipes[0]`: it should be an object, not a list");
    insta::assert_snapshot!(why(r#"["soup"]"#), @"it should be an object, not a list");
    insta::assert_snapshot!(why(r#"{"recipes":[]} {}"#), @"trailing characters at line 1 column 16");
    let names = from_slice::<AddKey>(br#"{"name":"x","role":{"viewer":null}}"#).unwrap_err();
    insta::assert_snapshot!(names, @"`role`: invalid type: map, expected a name");
}
