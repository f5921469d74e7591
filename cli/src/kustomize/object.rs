//! An object of a manifest.

use std::fmt;

use serde_json::{Map, Value};

/// The label with the role of an object.
const COMPONENT: &str = "app.kubernetes.io/component";
/// The role of the services' databases, which are applied before them.
const DATABASE: &str = "database";

/// The supported kinds, with the order in which they are applied. Of other kinds it is not known which names they refer
/// to, or whether they have a namespace.
const KINDS: [(&str, u8); 13] = [
    ("Namespace", 0),
    // Before the pods that need them.
    ("NetworkPolicy", 1),
    ("ServiceAccount", 1),
    ("ConfigMap", 2),
    ("Secret", 2),
    ("PersistentVolumeClaim", 3),
    ("Service", 4),
    // 5: databases.
    ("Job", 6),
    ("Deployment", 7),
    ("StatefulSet", 7),
    ("PodDisruptionBudget", 8),
    ("HorizontalPodAutoscaler", 8),
    ("Ingress", 9),
];
const DATABASES: u8 = 5;

/// An object: a map with an API version, a kind and a name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object(Value);

/// The identity of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    /// Its kind.
    pub(crate) kind: String,
    /// Its name.
    pub(crate) name: String,
    /// Its namespace; empty if it has none.
    pub(crate) namespace: String,
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} `{}`", self.kind, self.name)
    }
}

impl Object {
    /// Parses an object; the error says what it lacks, or that its kind is not supported.
    pub(crate) fn new(value: Value) -> Result<Self, String> {
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
        match KINDS.iter().find(|(kind, _)| *kind == object.kind()) {
            Some(_) => Ok(object),
            None => Err(format!("chefcito does not support the kind {}", object.kind())),
        }
    }

    /// Returns it as JSON.
    pub(crate) const fn value(&self) -> &Value {
        &self.0
    }

    /// Returns it as JSON, by value.
    pub(crate) fn into_value(self) -> Value {
        self.0
    }

    pub(super) const fn value_mut(&mut self) -> &mut Value {
        &mut self.0
    }

    /// Returns its API version, such as `apps/v1`.
    pub(crate) fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    /// Returns its kind.
    pub(crate) fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// Returns its name.
    pub(crate) fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// Returns its namespace; empty if it has none.
    pub(crate) fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }

    /// Returns one of its labels; empty if it does not have it.
    pub(crate) fn label(&self, name: &str) -> &str {
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
    pub(crate) fn rank(&self) -> u8 {
        let rank =
            KINDS.iter().find(|(kind, _)| *kind == self.kind()).map_or(u8::MAX, |(_, rank)| *rank);
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
