//! The public contract.

use std::collections::BTreeSet;

use axum::http::Method;
use contracts::{
    QUANTITY_MAX,
    api::{
        kitchen::{COOKING_TIME_MS_MAX, RECIPES_MAX},
        orders::{DISH_BYTES_MAX, ORDERS_PER_REQUEST_MAX},
    },
};
use serde_json::Value;

use crate::stage::Stage;

async fn document() -> Value {
    let stage = Stage::open().await;
    let got = stage.ask(Method::GET, "/openapi.json", None, Value::Null).await;
    assert_eq!(got.headers["content-type"], "application/json");
    stage.close().await;
    got.json()
}

#[tokio::test]
async fn the_contract_is_what_it_was() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&document().await).unwrap());
}

#[tokio::test]
async fn the_contract_is_a_whole_document_of_openapi_3_1() {
    let document = document().await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());

    let mut names = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        assert!(path.starts_with('/'));
        for (method, operation) in methods.as_object().unwrap() {
            assert!(["get", "put", "post", "delete"].contains(&method.as_str()));
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()));
            assert!(operation["summary"].is_string());
            let declared: BTreeSet<&str> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| {
                    assert_eq!(parameter["required"], true);
                    parameter["name"].as_str().unwrap()
                })
                .collect();
            let variable: BTreeSet<&str> = path
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                .collect();
            assert_eq!(declared, variable, "{method} {path}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')));
            assert!(responses.values().all(|response| response["description"].is_string()));
            let is_public = operation.get("security").is_none();
            let signs_in = (method.as_str(), path.as_str()) == ("post", "/v1/session");
            let is_for_keys = (path.starts_with("/v1/") || path == "/metrics") && !signs_in;
            assert_eq!(is_public, !is_for_keys, "{method} {path}");
        }
    }
    assert_eq!(document["components"]["securitySchemes"]["key"]["scheme"], "bearer");
    every_reference_leads_somewhere(&document, &document);
}

fn every_reference_leads_somewhere(document: &Value, part: &Value) {
    match part {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                let target = reference.strip_prefix('#').expect("a reference within the document");
                assert!(document.pointer(target).is_some(), "{reference} leads nowhere");
            }
            fields.values().for_each(|part| every_reference_leads_somewhere(document, part));
        }
        Value::Array(parts) => {
            parts.iter().for_each(|part| every_reference_leads_somewhere(document, part));
        }
        _ => {}
    }
}

#[tokio::test]
async fn the_contract_has_the_bounds_that_the_services_keep() {
    let document = document().await;
    let bound = |pointer: &str| -> i64 {
        let found = document.pointer(&format!("/components/schemas/{pointer}"));
        found.and_then(Value::as_i64).unwrap_or_else(|| panic!("there is no {pointer}"))
    };
    let orders = i64::try_from(ORDERS_PER_REQUEST_MAX).unwrap();
    assert_eq!(bound("PlaceOrders/properties/orders/maxItems"), orders);
    assert_eq!(bound("AskStates/properties/ids/maxItems"), orders);
    let dish = i64::try_from(DISH_BYTES_MAX).unwrap();
    assert_eq!(bound("PlaceOrders/properties/dish/maxLength"), dish);
    assert_eq!(bound("OrderLine/properties/dish/maxLength"), dish);
    assert_eq!(bound("Menu/properties/recipes/maxItems"), i64::try_from(RECIPES_MAX).unwrap());
    assert_eq!(bound("Recipe/properties/cooking_time_ms/maximum"), COOKING_TIME_MS_MAX);
    assert_eq!(bound("Quantity/maximum"), QUANTITY_MAX);
}
