//! An object of Kubernetes as its manifest has it.

use std::fmt;

use serde_json::{Map, Value};

/// The label that says what part an object plays.
const COMPONENT: &str = "app.kubernetes.io/component";
/// The part of what the services keep their data in, which comes before them.
const DATABASE: &str = "database";

/// The kinds that chefcito knows: what they are called, and when they are applied. Of another kind nobody here knows what it
/// mentions, nor whether it has a namespace.
const KINDS: [(&str, u8); 13] = [
    ("Namespace", 0),
    // Before the pods that they are for.
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

/// An object of Kubernetes: a map with an API version, a kind and a name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object(Value);

/// What an object is told apart by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    /// What it is.
    pub(crate) kind: String,
    /// Its name.
    pub(crate) name: String,
    /// Where it is; empty if nobody says.
    pub(crate) namespace: String,
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} `{}`", self.kind, self.name)
    }
}

impl Object {
    /// Takes a value for an object; the error says what it lacks, or that nobody knows its kind.
    pub(crate) fn new(value: Value) -> Result<Self, String> {
        let has = |pointer| {
            value.pointer(pointer).and_then(Value::as_str).is_some_and(|text| !text.is_empty())
        };
        let lacking =
            ["/apiVersion", "/kind", "/metadata/name"].into_iter().find(|pointer| !has(pointer));
        if let Some(pointer) = lacking {
            return Err(format!(
                "this is no object of Kubernetes: it has no {}",
                pointer[1..].replace('/', ".")
            ));
        }
        let object = Self(value);
        match KINDS.iter().find(|(kind, _)| *kind == object.kind()) {
            Some(_) => Ok(object),
            None => Err(format!("chefcito does not know the kind {}", object.kind())),
        }
    }

    /// Returns it as JSON.
    pub(crate) const fn value(&self) -> &Value {
        &self.0
    }

    /// Gives it away as JSON.
    pub(crate) fn into_value(self) -> Value {
        self.0
    }

    pub(super) const fn value_mut(&mut self) -> &mut Value {
        &mut self.0
    }

    /// Returns its API version, as `apps/v1`.
    pub(crate) fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    /// Returns what it is.
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

    /// Returns when it is applied: smaller comes first.
    pub(crate) fn rank(&self) -> u8 {
        let rank =
            KINDS.iter().find(|(kind, _)| *kind == self.kind()).map_or(u8::MAX, |(_, rank)| *rank);
        if rank == 7 && self.label(COMPONENT) == DATABASE { DATABASES } else { rank }
    }

    /// Returns a map in it, made if it is not there; `None` if something else is in its place.
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
