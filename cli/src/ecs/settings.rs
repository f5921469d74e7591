//! The variables of a container. Values in a ConfigMap become plain values; values in a Secret become references, and
//! so do files of a ConfigMap that is not in the manifests. On Kubernetes a service reads such a file, named by
//! `NAME_FILE`; on ECS it gets the content in `NAME`, and nothing is optional.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, PodSpec};
use manifests::kustomize::Object;
use serde_json::Value;

use super::definition::{Secret, Variable};

const FILE: &str = "_FILE";

/// The sources of an environment's settings.
#[derive(Debug)]
pub(super) struct Settings<'a> {
    /// The data of each ConfigMap.
    maps: BTreeMap<&'a str, BTreeMap<&'a str, &'a str>>,
    /// Headless Services, which give each pod of another Service a name. ECS has no such names.
    headless: BTreeSet<&'a str>,
    /// The prefix of the names of secrets.
    secrets: &'a str,
}

impl<'a> Settings<'a> {
    /// Collects them from the objects of an environment.
    pub(super) fn of(objects: &'a [Object], secrets: &'a str) -> Self {
        let of_kind = |kind: &'static str| objects.iter().filter(move |one| one.kind() == kind);
        let data = |object: &'a Object| {
            let data = object.value().get("data").and_then(Value::as_object).into_iter().flatten();
            data.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect()
        };
        let is_headless = |object: &&Object| {
            object.value().pointer("/spec/clusterIP").and_then(Value::as_str) == Some("None")
        };
        Self {
            maps: of_kind("ConfigMap").map(|object| (object.name(), data(object))).collect(),
            headless: of_kind("Service").filter(is_headless).map(Object::name).collect(),
            secrets,
        }
    }

    /// Returns the plain and secret variables of a container, by name.
    ///
    /// # Errors
    /// A setting of the container that can't be a variable.
    pub(super) fn of_container(
        &self,
        pod: &PodSpec,
        container: &Container,
    ) -> Result<(Vec<Variable>, Vec<Secret>), String> {
        let mut files = files(pod, container)?;
        let (mut plain, mut secret) = (Vec::new(), Vec::new());
        for (name, value) in self.variables(container)? {
            let Some(own) = name.strip_suffix(FILE) else {
                plain.push(Variable { name: name.into(), value: self.reachable(value) });
                continue;
            };
            let key = files.remove(value);
            let key =
                key.ok_or_else(|| format!("{name}, a file that no Secret or ConfigMap has"))?;
            secret.push(Secret { name: own.into(), value_from: self.reference(&key) });
        }
        match files.into_keys().next() {
            Some(path) => Err(format!("the file {path}, which no variable ending in _FILE names")),
            None => Ok((plain, secret)),
        }
    }

    fn variables<'b>(
        &'b self,
        container: &'b Container,
    ) -> Result<BTreeMap<&'b str, &'b str>, String> {
        let mut variables = BTreeMap::new();
        for source in container.env_from.iter().flatten() {
            let map = match (&source.config_map_ref, &source.secret_ref, &source.prefix) {
                (Some(map), None, None) => &map.name,
                _ => return Err("variables from another source than a whole ConfigMap".into()),
            };
            let data = self.maps.get(map.as_str());
            let data = data.ok_or_else(|| format!("no ConfigMap `{map}`"))?;
            variables.extend(data.iter().map(|(name, value)| (*name, *value)));
        }
        for variable in container.env.iter().flatten() {
            if variable.value_from.is_some() {
                return Err(format!("{}, whose value has another source", variable.name));
            }
            let value = variable.value.as_deref().unwrap_or_default();
            let _before = variables.insert(variable.name.as_str(), value);
        }
        Ok(variables)
    }

    fn reference(&self, key: &str) -> String {
        let prefix = self.secrets;
        match prefix.starts_with("arn:") && prefix.contains(":secretsmanager:") {
            // A key of the newest version of the JSON document.
            true => format!("{prefix}:{key}::"),
            false => format!("{prefix}{key}"),
        }
    }

    /// Returns the addresses of a list that exist on ECS.
    fn reachable(&self, value: &str) -> String {
        let host = |address: &str| {
            let (_, rest) = address.split_once("://")?;
            rest.split([':', '/']).next().map(str::to_owned)
        };
        let is_reachable =
            |one: &&str| host(one).is_none_or(|host| !self.headless.contains(host.as_str()));
        value.split(',').filter(is_reachable).collect::<Vec<_>>().join(",")
    }
}

/// Returns the files with secrets and certificates of a container, each with the name of its content.
fn files(pod: &PodSpec, container: &Container) -> Result<BTreeMap<String, String>, String> {
    let mut files = BTreeMap::new();
    for mount in container.volume_mounts.iter().flatten() {
        let volume = pod.volumes.iter().flatten().find(|volume| volume.name == mount.name);
        let items = volume.and_then(|volume| match (&volume.secret, &volume.config_map) {
            (Some(secret), None) => secret.items.as_ref(),
            (None, Some(map)) => map.items.as_ref(),
            _ => None,
        });
        let items = items.ok_or_else(|| {
            let name = &mount.name;
            format!("the volume `{name}`, which is no Secret or ConfigMap whose files are named")
        })?;
        let folder = mount.mount_path.trim_end_matches('/');
        files.extend(items.iter().map(|one| (format!("{folder}/{}", one.path), one.key.clone())));
    }
    Ok(files)
}
