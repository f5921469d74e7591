//! Rules for every pod.

use std::collections::BTreeSet;

use contracts::services::{Program, TABLE};
use serde_json::{Value, json};

use super::{OVERLAYS, Overlay, objects, pods, table::program_of};

fn containers(template: &Value) -> Vec<&Value> {
    let list = |name: &str| template["spec"][name].as_array().into_iter().flatten();
    list("initContainers").chain(list("containers")).collect()
}

/// The rules of Pod Security's level `restricted`, and more.
#[test]
fn every_pod_can_do_nothing_but_its_work() {
    for overlay in OVERLAYS {
        let objects = objects(overlay);
        assert_eq!(
            objects[0].label("pod-security.kubernetes.io/enforce"),
            "restricted",
            "{overlay:?}"
        );
        for (object, template) in pods(&objects) {
            let (name, pod) = (object.name(), &template["spec"]);
            assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
            assert_eq!(pod["enableServiceLinks"], false, "{name}");
            let context = &pod["securityContext"];
            assert_eq!(context["runAsNonRoot"], true, "{name}");
            assert_eq!(context["seccompProfile"], json!({ "type": "RuntimeDefault" }), "{name}");
            // Images of others have a user of their own.
            let user = program_of(name).map_or(999, |program| program.uid);
            for id in ["runAsUser", "runAsGroup", "fsGroup"] {
                assert_eq!(context[id], user, "{name}");
            }
            for container in containers(template) {
                let expected = json!({
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"] },
                    "readOnlyRootFilesystem": true,
                });
                assert_eq!(container["securityContext"], expected, "{name}");
                assert!(container["resources"]["requests"]["cpu"].is_string(), "{name}");
                assert!(container["resources"]["requests"]["memory"].is_string(), "{name}");
                assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
                assert_eq!(container["imagePullPolicy"], "IfNotPresent", "{name}");
            }
        }
    }
}

#[test]
fn every_service_is_there_and_asked_how_it_is_and_replaced_without_a_gap() {
    for overlay in OVERLAYS {
        let objects = objects(overlay);
        let deployments: BTreeSet<&str> = objects
            .iter()
            .filter(|one| one.kind() == "Deployment" && one.name() != "redis")
            .map(|one| one.name())
            .collect();
        let is_wanted = |program: &&Program| {
            program.is_service() && (overlay == Overlay::Local || !program.development_only)
        };
        let wanted = TABLE.iter().filter(is_wanted).map(|program| program.name);
        assert_eq!(deployments, wanted.collect(), "{overlay:?}");
        for object in objects.iter().filter(|one| deployments.contains(one.name())) {
            if object.kind() != "Deployment" {
                continue;
            }
            let (name, spec) = (object.name(), &object.value()["spec"]);
            let strategy = json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } });
            assert_eq!(spec["strategy"], strategy, "{name}");
            let container = &spec["template"]["spec"]["containers"][0];
            let probed = |probe: &str| container[probe]["httpGet"].clone();
            assert_eq!(probed("startupProbe"), json!({ "path": "/health", "port": "http" }));
            assert_eq!(probed("readinessProbe"), json!({ "path": "/ready", "port": "http" }));
            assert_eq!(probed("livenessProbe"), json!({ "path": "/health", "port": "http" }));
        }
    }
}

/// Old servers need the field, and new ones would add it: so it makes no difference.
#[test]
fn every_port_says_its_protocol() {
    fn check(value: &Value, path: &str) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    if key == "ports" {
                        for port in value.as_array().unwrap() {
                            assert!(port["protocol"].is_string(), "{path}: {port}");
                        }
                    }
                    check(value, &format!("{path}.{key}"));
                }
            }
            Value::Array(list) => list.iter().for_each(|one| check(one, path)),
            _ => {}
        }
    }
    for object in OVERLAYS.into_iter().flat_map(objects) {
        check(object.value(), object.name());
    }
}

#[test]
fn selectors_find_the_pods_that_they_mean() {
    for overlay in OVERLAYS {
        let objects = objects(overlay);
        for object in &objects {
            let value = object.value();
            let selector = match object.kind() {
                "Deployment" | "StatefulSet" => &value["spec"]["selector"]["matchLabels"],
                "PodDisruptionBudget" => &value["spec"]["selector"]["matchLabels"],
                "Service" => &value["spec"]["selector"],
                _ => continue,
            };
            let selector = selector.as_object().unwrap();
            let found: Vec<&str> = pods(&objects)
                .into_iter()
                .filter(|(_, template)| {
                    let labels = &template["metadata"]["labels"];
                    selector.iter().all(|(name, value)| labels[name] == *value)
                })
                .map(|(object, _)| object.name())
                .collect();
            let meant = object.name().trim_end_matches("-pods");
            assert_eq!(found, [meant], "{overlay:?}: {} {}", object.kind(), object.name());
        }
    }
}

#[test]
fn every_variable_is_one_that_the_code_reads_and_every_secret_is_there() {
    let documented = include_str!("../../../../.env.example");
    for overlay in OVERLAYS {
        let objects = objects(overlay);
        let data = |kind: &str, name: &str| {
            let found = objects.iter().find(|one| one.kind() == kind && one.name() == name);
            found.map(|one| one.value()["data"].as_object().unwrap().clone())
        };
        for (object, template) in pods(&objects) {
            let mut variables = Vec::new();
            for container in containers(template) {
                let env = container["env"].as_array().into_iter().flatten();
                variables.extend(env.map(|one| one["name"].as_str().unwrap().to_owned()));
                for from in container["envFrom"].as_array().into_iter().flatten() {
                    let name = from["configMapRef"]["name"].as_str().unwrap();
                    variables.extend(
                        data("ConfigMap", name).expect(name).into_iter().map(|(name, _)| name),
                    );
                }
            }
            for name in variables.iter().filter(|name| name.starts_with("CHEFCITO_")) {
                let name = name.trim_end_matches("_FILE");
                assert!(documented.contains(&format!("\n# {name}=")), "{}: {name}", object.name());
            }
            for volume in template["spec"]["volumes"].as_array().into_iter().flatten() {
                let Some(secret) = volume["secret"]["secretName"].as_str() else { continue };
                let Some(data) = data("Secret", secret) else {
                    // It is not in the manifests.
                    assert_eq!((secret, overlay == Overlay::Local), ("secrets", false));
                    continue;
                };
                for item in volume["secret"]["items"].as_array().unwrap() {
                    assert!(data.contains_key(item["key"].as_str().unwrap()), "{item}");
                }
            }
        }
    }
}

/// Certificates are public, so they are not in a Secret; environments with public authorities only have none.
#[test]
fn elsewhere_pods_see_the_certificates_that_are_given_and_need_none() {
    for overlay in OVERLAYS {
        for (object, template) in pods(&objects(overlay)) {
            let of_name = |list: &Value, name: &str| {
                list.as_array().into_iter().flatten().find(|one| one["name"] == name).cloned()
            };
            let volume = of_name(&template["spec"]["volumes"], "certificates");
            let mount = of_name(&containers(template)[0]["volumeMounts"], "certificates");
            if overlay == Overlay::Local {
                assert_eq!((volume, mount), (None, None), "{}", object.name());
                continue;
            }
            let volume = volume.unwrap();
            assert_eq!(volume["configMap"]["name"], "trusted-certificates", "{}", object.name());
            assert_eq!(volume["configMap"]["optional"], true, "{}", object.name());
            assert_eq!(mount.unwrap()["readOnly"], true, "{}", object.name());
        }
    }
}
