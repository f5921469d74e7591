//! The fields of an object by manager (`metadata.managedFields`, in the format `FieldsV1`), and the part of an object
//! that has certain fields.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Map, Value, json};

use super::objects::{FIELD_MANAGER, Object};

impl Object {
    /// Returns whether we are the only manager of its fields. The answer to a creation shows that.
    pub fn is_only_ours(&self) -> bool {
        self.managed_fields().iter().all(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER))
    }

    /// Returns whether we have applied it.
    pub fn is_applied_by_us(&self) -> bool {
        self.managed_fields().iter().any(is_our_own)
    }

    /// Returns the object to apply to restore our part of its former content, given its content `now`: the fields that
    /// were ours, and those that only we manage since. Other managers' changes stay: applying the whole object would
    /// make us a manager of all its fields, and the next manifest without one would unset it.
    ///
    /// # Errors
    /// The part that it lacks to be an object.
    pub fn as_it_was(&self, now: &Self) -> Result<Self, String> {
        let version = self.api_version();
        let is_readable =
            |entry: &&ManagedFieldsEntry| entry.api_version.as_deref() == Some(version);
        // Fields of a former API version may have other names.
        if self.managed_fields().iter().any(|entry| is_our_own(entry) && !is_readable(&entry)) {
            return Ok(self.as_wanted());
        }
        let fields_of = |object: &Self, is_whose: fn(&ManagedFieldsEntry) -> bool| {
            let mut all = Fields::default();
            let entries = object.managed_fields().iter().filter(is_readable);
            for entry in entries.filter(|entry| is_whose(entry)) {
                all.add(entry.fields_v1.as_ref().map(|it| Fields::read(&it.0)).unwrap_or_default());
            }
            all
        };
        let mut fields = fields_of(now, is_our_own);
        fields.take_away(&fields_of(now, |entry| !is_our_own(entry)));
        fields.add(fields_of(self, is_our_own));
        let wanted = self.as_wanted().to_value();
        let mut kept = fields.of(&wanted).unwrap_or_else(|| json!({}));
        for named in ["apiVersion", "kind"] {
            kept[named] = wanted[named].clone();
        }
        for named in ["name", "namespace"] {
            kept["metadata"][named] = wanted["metadata"][named].clone();
        }
        Self::from_value(kept)
    }
}

fn is_our_own(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some("Apply")
}

/// A set of fields, by the steps of their paths: `f:image` is a field, `k:{"name":"kitchen"}` an item of a list by its
/// key, `v:"x"` a value of a list that is a set, `i:0` an item by its index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    /// Whether the field itself is in the set. Without fields below, that is its whole value.
    is_set: bool,
    below: BTreeMap<String, Self>,
}

impl Fields {
    /// Parses `FieldsV1`.
    pub(super) fn read(fields: &Value) -> Self {
        let Some(fields) = fields.as_object().filter(|fields| !fields.is_empty()) else {
            return Self { is_set: true, below: BTreeMap::new() };
        };
        let below = fields.iter().filter(|(step, _)| *step != ".");
        Self {
            is_set: fields.contains_key("."),
            below: below.map(|(step, fields)| (step.clone(), Self::read(fields))).collect(),
        }
    }

    fn is_empty(&self) -> bool {
        !self.is_set && self.below.is_empty()
    }

    /// Adds other fields.
    pub(super) fn add(&mut self, others: Self) {
        self.is_set |= others.is_set;
        for (step, fields) in others.below {
            self.below.entry(step).or_default().add(fields);
        }
    }

    /// Removes other fields.
    pub(super) fn take_away(&mut self, others: &Self) {
        self.is_set &= !others.is_set;
        self.below.retain(|step, fields| {
            if let Some(others) = others.below.get(step) {
                fields.take_away(others);
            }
            !fields.is_empty()
        });
    }

    /// Returns the part of a value that has these fields, with the keys of list items; `None` if it has none of them.
    pub(super) fn of(&self, value: &Value) -> Option<Value> {
        if self.below.is_empty() {
            return self.is_set.then(|| value.clone());
        }
        let (has_any, kept) = match value {
            Value::Object(fields) => {
                let kept = self.of_object(fields);
                (!kept.is_empty(), kept.into())
            }
            Value::Array(items) => {
                let items = items.iter().enumerate();
                let kept: Vec<Value> =
                    items.filter_map(|(at, item)| self.of_item(at, item)).collect();
                (!kept.is_empty(), kept.into())
            }
            // The value has another shape by now.
            other => (true, other.clone()),
        };
        (has_any || self.is_set).then_some(kept)
    }

    fn of_object(&self, fields: &Map<String, Value>) -> Map<String, Value> {
        let kept = self.below.iter().filter_map(|(step, below)| {
            let name = step.strip_prefix("f:")?;
            Some((name.to_owned(), below.of(fields.get(name)?)?))
        });
        kept.collect()
    }

    fn of_item(&self, at: usize, item: &Value) -> Option<Value> {
        self.below.iter().find_map(|(step, below)| {
            let (how, which) = step.split_once(':')?;
            let which: Value = serde_json::from_str(which).ok()?;
            match (how, which) {
                ("k", Value::Object(key)) => {
                    let fields = item.as_object()?;
                    if key.iter().any(|(name, value)| fields.get(name) != Some(value)) {
                        return None;
                    }
                    let mut kept = below.of(item)?;
                    kept.as_object_mut()?.extend(key);
                    Some(kept)
                }
                ("v", which) => (which == *item).then_some(which),
                ("i", which) => (which == at).then(|| below.of(item))?,
                _ => None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kitchen() -> Value {
        json!({
            "metadata": {"labels": {"app": "kitchen", "of": "others"}, "finalizers": ["a", "b"]},
            "spec": {
                "replicas": 4,
                "strategy": {},
                "containers": [
                    {"name": "proxy", "image": "proxy:1"},
                    {"name": "kitchen", "image": "kitchen:1", "args": ["--fast", "--hot"], "tty": true},
                ],
            },
        })
    }

    fn ours() -> Value {
        json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}, "f:finalizers": {"v:\"b\"": {}}},
            "f:spec": {
                "f:strategy": {},
                "f:gone": {"f:long": {}},
                "f:containers": {"k:{\"name\":\"kitchen\"}": {".": {}, "f:image": {}, "f:args": {}}},
            },
        })
    }

    #[test]
    fn an_object_is_cut_down_to_the_fields_of_a_manager() {
        assert_eq!(
            Fields::read(&ours()).of(&kitchen()),
            Some(json!({
                "metadata": {"labels": {"app": "kitchen"}, "finalizers": ["b"]},
                "spec": {
                    "strategy": {},
                    "containers": [
                        {"name": "kitchen", "image": "kitchen:1", "args": ["--fast", "--hot"]},
                    ],
                },
            }))
        );
        assert_eq!(Fields::default().of(&kitchen()), None);
    }

    #[test]
    fn what_others_have_set_too_is_taken_away_and_what_is_set_besides_is_added() {
        let theirs = json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:containers": {"k:{\"name\":\"kitchen\"}": {".": {}, "f:args": {}}},
            },
        });
        let mut fields = Fields::read(&ours());
        fields.take_away(&Fields::read(&theirs));
        fields.add(Fields::read(&json!({"f:spec": {"f:containers": {"i:0": {"f:image": {}}}}})));
        assert_eq!(
            fields.of(&kitchen()),
            Some(json!({
                "metadata": {"finalizers": ["b"]},
                "spec": {
                    "strategy": {},
                    "containers": [{"image": "proxy:1"}, {"name": "kitchen", "image": "kitchen:1"}],
                },
            }))
        );
        fields.take_away(&fields.clone());
        assert_eq!(fields, Fields::default());
    }
}
