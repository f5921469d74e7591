//! Every object matches its Kubernetes type, field by field.

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    batch::v1::Job,
    core::v1::{ConfigMap, Namespace, Secret, Service},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{OVERLAYS, objects};

/// Deserialises an object as a type, and serialises it again: that drops unknown fields.
fn again<T: DeserializeOwned + Serialize>(value: &Value) -> serde_json::Result<Value> {
    serde_json::to_value(serde_json::from_value::<T>(value.clone())?)
}

fn of_its_type(value: &Value) -> serde_json::Result<Value> {
    let text = |key: &str| value[key].as_str().unwrap_or_default();
    match (text("apiVersion"), text("kind")) {
        ("apps/v1", "Deployment") => again::<Deployment>(value),
        ("apps/v1", "StatefulSet") => again::<StatefulSet>(value),
        ("autoscaling/v2", "HorizontalPodAutoscaler") => again::<HorizontalPodAutoscaler>(value),
        ("batch/v1", "Job") => again::<Job>(value),
        ("networking.k8s.io/v1", "Ingress") => again::<Ingress>(value),
        ("networking.k8s.io/v1", "NetworkPolicy") => again::<NetworkPolicy>(value),
        ("policy/v1", "PodDisruptionBudget") => again::<PodDisruptionBudget>(value),
        ("v1", "ConfigMap") => again::<ConfigMap>(value),
        ("v1", "Namespace") => again::<Namespace>(value),
        ("v1", "Secret") => again::<Secret>(value),
        ("v1", "Service") => again::<Service>(value),
        (version, kind) => panic!("no test type for {kind} of {version}"),
    }
}

#[test]
fn every_object_is_read_and_written_again_without_loss() {
    for overlay in OVERLAYS {
        for object in objects(overlay) {
            let again = of_its_type(object.value()).unwrap_or_else(|error| {
                panic!("{overlay:?}: {} {}: {error}", object.kind(), object.name())
            });
            assert_eq!(&again, object.value(), "{overlay:?}: {} {}", object.kind(), object.name());
        }
    }
}

#[test]
fn an_unknown_field_is_found() {
    let objects = objects(OVERLAYS[0]);
    let service = objects.iter().find(|object| object.kind() == "Service").unwrap();
    let mut value = service.value().clone();
    value["spec"]["ports"][0]["portocol"] = "TCP".into();
    assert_ne!(of_its_type(&value).unwrap(), value);
}
