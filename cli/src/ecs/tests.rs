//! Our environments on ECS.

use std::path::Path;

use contracts::services::{MARKET, TABLE};
use manifests::kustomize::{Adjustments, Tree};
use serde_json::{Value, json};

use super::*;
use crate::overlays::{self, Overlay};

mod model;

const OVERLAYS: [Overlay; 2] = [Overlay::Staging, Overlay::Production];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn objects(overlay: Overlay) -> Vec<Object> {
    overlays::render(&Tree::find(root()), overlay, &Adjustments::default()).unwrap()
}

fn account() -> Account {
    Account {
        region: "eu-central-1".into(),
        log_group: "/chefcito/production".into(),
        execution_role: "chefcito-production-tasks".into(),
        secrets: "/chefcito/production/".into(),
    }
}

fn definitions(overlay: Overlay) -> Vec<Value> {
    let definitions = task_definitions(&objects(overlay), &account()).unwrap();
    definitions.iter().map(|one| serde_json::to_value(one).unwrap()).collect()
}

/// Changes the Deployment of the market, and returns why it can't be a task any more.
fn why_not(pointer: &str, value: Value) -> String {
    let mut objects = objects(Overlay::Production);
    let is_market = |one: &&mut Object| one.kind() == "Deployment" && one.name() == MARKET;
    let market = objects.iter_mut().find(is_market).unwrap();
    let mut changed = market.value().clone();
    *changed.pointer_mut(&format!("/spec/template/spec{pointer}")).unwrap() = value;
    *market = Object::new(changed).unwrap();
    task_definitions(&objects, &account()).unwrap_err().to_string()
}

#[test]
fn a_service_becomes_a_task_that_can_do_nothing_but_its_work() {
    let all = definitions(Overlay::Production);
    let market = all.iter().find(|one| one["family"] == "chefcito-market").unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(market).unwrap());
}

#[test]
fn every_service_and_the_job_before_them_are_tasks() {
    for overlay in OVERLAYS {
        let all = definitions(overlay);
        let names: Vec<&str> = all
            .iter()
            .map(|one| one["containerDefinitions"][0]["name"].as_str().unwrap())
            .collect();
        let services = TABLE.iter().filter(|one| one.is_service() && !one.development_only);
        let expected: Vec<&str> =
            ["roles"].into_iter().chain(services.map(|service| service.name)).collect();
        assert_eq!(names, expected, "{overlay:?}");
        assert_eq!(all[0]["containerDefinitions"][0]["command"], json!(["roles"]));
        assert_eq!(all[0]["containerDefinitions"][0]["healthCheck"], Value::Null);
    }
}

#[test]
fn secrets_are_references_and_nothing_else_is_taken_for_one() {
    for definition in OVERLAYS.into_iter().flat_map(definitions) {
        let container = &definition["containerDefinitions"][0];
        for variable in container["environment"].as_array().unwrap() {
            assert!(!variable["name"].as_str().unwrap().ends_with("_FILE"), "{variable}");
            for folder in ["/secrets", "/certificates"] {
                assert!(!variable["value"].as_str().unwrap().contains(folder), "{variable}");
            }
            assert!(!variable["value"].as_str().unwrap().contains("-pods:"), "{variable}");
        }
        let secrets = container["secrets"].as_array().unwrap();
        let name = container["name"].as_str().unwrap();
        let own = format!("/chefcito/production/{name}-database-url");
        let has_own = secrets.iter().any(|secret| secret["valueFrom"] == own.as_str());
        assert!(has_own || name == "roles", "{secrets:?}");
        let redis =
            json!({ "name": "CHEFCITO_REDIS_URL", "valueFrom": "/chefcito/production/redis-url" });
        let uses_bus = TABLE.iter().any(|program| program.name == name && program.uses_bus());
        assert_eq!(secrets.contains(&redis), uses_bus, "{name}: {secrets:?}");
        let certificates = json!({
            "name": "CHEFCITO_TRUSTED_CERTIFICATES",
            "valueFrom": "/chefcito/production/trusted-certificates",
        });
        assert!(secrets.contains(&certificates), "{name}: {secrets:?}");
    }
}

#[test]
fn all_secrets_may_be_in_one_of_the_secrets_manager() {
    let secret = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:chefcito-AbCdEf";
    let account = Account { secrets: secret.into(), ..account() };
    let all = task_definitions(&objects(Overlay::Staging), &account).unwrap();
    let text = serde_json::to_string(&all).unwrap();
    assert!(text.contains(&format!("\"{secret}:orders-database-url::\"")), "{text}");
}

/// The image's own health check, which ECS ignores, is the same as the task's.
#[test]
fn a_task_is_asked_for_its_health_as_its_image_says() {
    for definition in definitions(Overlay::Production) {
        let container = &definition["containerDefinitions"][0];
        let name = container["name"].as_str().unwrap();
        let Some(command) = container["healthCheck"]["command"].as_array() else { continue };
        let file = root().join("containerfiles").join(name).join("CONTAINERFILE");
        let text = std::fs::read_to_string(file).unwrap();
        let arguments = json!(command[1..]).to_string().replace(',', ", ");
        assert!(text.contains(&format!("CMD {arguments}")), "{name}: {arguments}");
    }
}

#[test]
fn what_a_task_can_not_have_is_named() {
    let container = "/containers/0";
    let at = |field: &str| format!("{container}/{field}");
    let extra = json!([{ "name": MARKET, "image": "a" }, { "name": "other", "image": "b" }]);
    let from = json!([{ "secretRef": { "name": "secrets" } }]);
    let unnamed = json!([{ "name": "A", "valueFrom": { "fieldRef": { "fieldPath": "x" } } }]);
    let said = [
        why_not("/containers", extra),
        why_not(&at("envFrom"), from),
        why_not(&at("env"), unnamed),
        why_not(&at("env/0/value"), json!("/elsewhere/url")),
        why_not(&at("env/0/name"), json!("CHEFCITO_DATABASE_URL")),
        why_not("/volumes/0", json!({ "name": "secrets", "emptyDir": {} })),
        why_not(&at("resources/limits/memory"), json!("500Gi")),
        why_not(&at("resources/requests/cpu"), json!("0.5")),
        why_not(&at("ports/0/name"), json!("smtp")),
        why_not("/securityContext/runAsUser", json!(0)),
        why_not(&at("securityContext"), json!({})),
        why_not("/containers", json!("none")),
    ];
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn databases_of_one_machine_can_not_be_tasks() {
    let secrets = bootstrap::new_env().unwrap();
    let tree = Tree::find(root()).with_file(overlays::SECRETS, secrets);
    let objects = overlays::render(&tree, Overlay::Local, &Adjustments::default()).unwrap();
    let said = task_definitions(&objects, &account()).unwrap_err().to_string();
    assert!(said.contains("`postgres`") && said.contains("StatefulSet"), "{said}");
}
