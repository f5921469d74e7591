//! An object of a manifest.

use std::fmt;

use serde_json::{Map, Value};

/// The label with the role of an object.
const COMPONENT: &str = "app.kubernetes.io/component";
/// The role of the services' databases, which are applied before them.
const DATABASE: &str = "database";

/// The supported kinds, with their versions, the newest first, and the order in which they are applied. Older versions are those
/// of the oldest clusters. Of others it is not known which names they refer
/// to, which of their lists are merged, or whether they have a namespace.
const KINDS: [(&str, &[&str], u8); 13] = [
    ("Namespace", &["v1"], 0),
    // Before the pods that need them.
    ("NetworkPolicy", &["networking.k8s.io/v1"], 1),
    ("ServiceAccount", &["v1"], 1),
    ("ConfigMap", &["v1"], 2),
    ("Secret", &["v1"], 2),
    ("PersistentVolumeClaim", &["v1"], 3),
    ("Service", &["v1"], 4),
    // 5: databases.
    ("Job", &["batch/v1"], 6),
    ("Deployment", &["apps/v1"], 7),
    ("StatefulSet", &["apps/v1"], 7),
    ("PodDisruptionBudget", &["policy/v1", "policy/v1beta1"], 8),
    ("HorizontalPodAutoscaler", &["autoscaling/v2", "autoscaling/v2beta2"], 8),
    ("Ingress", &["networking.k8s.io/v1", "networking.k8s.io/v1beta1"], 9),
];
/// Annotations that tell Kustomize something about the object.
const KUSTOMIZE: [&str; 3] =
    ["config.kubernetes.io/", "internal.config.kubernetes.io/", "kustomize.config.k8s.io/"];
const DATABASES: u8 = 5;

/// An object: a map with an API version, a kind and a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Object(Value);

/// The identity of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace; empty if it has none.
    pub namespace: String,
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} `{}`", self.kind, self.name)
    }
}

impl Object {
    /// Parses an object.
    ///
    /// # Errors
    /// What it lacks, or that its kind is not supported.
    pub fn new(value: Value) -> Result<Self, String> {
        let has = |pointer| {
            value.pointer(pointer).and_then(Value::as_str).is_some_and(|text| !text.is_empty())
        };
        let lacking =
            ["/apiVersion", "/kind", "/metadata/name"].into_iter().find(|pointer| !has(pointer));
        if let Some(pointer) = lacking {
            return Err(format!(
                "this is not a Kubernetes object: it has no {}",
                pointer[1..].replace('/', ".")
            ));
        }
        let object = Self(value);
        object.check_metadata()?;
        match KINDS.iter().find(|(kind, _, _)| *kind == object.kind()) {
            Some((_, versions, _)) if versions.contains(&object.api_version()) => Ok(object),
            Some((kind, versions, _)) => Err(format!(
                "chefcito supports {kind} of {}, not of {}",
                versions[0],
                object.api_version()
            )),
            None => Err(format!("chefcito does not support the kind {}", object.kind())),
        }
    }

    /// Refuses labels and annotations that Kustomize changes: those that are no texts, empty maps, which it drops at some times, and
    /// annotations about itself.
    pub(super) fn check_metadata(&self) -> Result<(), String> {
        for field in ["labels", "annotations"] {
            let Some(pairs) = self.0["metadata"].get(field) else { continue };
            let pairs = pairs.as_object().ok_or_else(|| format!("its {field} should be a map"))?;
            if pairs.is_empty() {
                return Err(format!("its {field} are empty: leave them out"));
            }
            for (key, value) in pairs {
                if !value.is_string() {
                    return Err(format!("{field}.{key} should be a text: write it in quotes"));
                }
                if field == "annotations" && KUSTOMIZE.iter().any(|prefix| key.starts_with(prefix))
                {
                    return Err(format!("chefcito does not support the annotation `{key}`"));
                }
            }
        }
        Ok(())
    }

    /// Returns it as JSON.
    pub const fn value(&self) -> &Value {
        &self.0
    }

    /// Returns it as JSON, by value.
    pub fn into_value(self) -> Value {
        self.0
    }

    pub(super) const fn value_mut(&mut self) -> &mut Value {
        &mut self.0
    }

    /// Returns its API version, such as `apps/v1`.
    pub fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    /// Returns its kind.
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// Returns its namespace; empty if it has none.
    pub fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }

    /// Returns one of its labels; empty if it does not have it.
    pub fn label(&self, name: &str) -> &str {
        self.0
            .pointer("/metadata/labels")
            .and_then(|labels| labels.get(name))
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub(super) fn id(&self) -> Id {
        Id {
            kind: self.kind().into(),
            name: self.name().into(),
            namespace: self.namespace().into(),
        }
    }

    /// Returns whether objects of its kind are in a namespace.
    pub(super) fn is_namespaced(&self) -> bool {
        self.kind() != "Namespace"
    }

    /// Returns its rank: lower ranks are applied first.
    pub fn rank(&self) -> u8 {
        let rank = KINDS
            .iter()
            .find(|(kind, ..)| *kind == self.kind())
            .map_or(u8::MAX, |(.., rank)| *rank);
        if rank == 7 && self.label(COMPONENT) == DATABASE { DATABASES } else { rank }
    }

    /// Returns the map at a path, created if it does not exist; `None` if there is another value.
    pub(super) fn map_at(&mut self, path: &[&str]) -> Option<&mut Map<String, Value>> {
        let mut map = self.0.as_object_mut()?;
        for key in path {
            let value = map.entry(*key).or_insert(Value::Null);
            if value.is_null() {
                *value = Value::Object(Map::new());
            }
            map = value.as_object_mut()?;
        }
        Some(map)
    }

    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}
