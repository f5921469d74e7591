//! The labels of containers, networks and volumes. They include those of `docker compose`, so that `docker compose -p
//! NAME ps`, `logs` and `down` work on what chefcito started, and chefcito on what compose did.

use std::collections::HashMap;

use manifests::compose_file::Need;

use super::spec::Spec;
use crate::state::Mark;

/// The environment: compose's project.
pub(super) const PROJECT: &str = "com.docker.compose.project";
/// The service of a container.
pub(super) const SERVICE: &str = "com.docker.compose.service";
/// The number of a container among those of its service, from 1.
pub(super) const NUMBER: &str = "com.docker.compose.container-number";
/// `True` if `docker compose run` made it.
pub(super) const ONE_OFF: &str = "com.docker.compose.oneoff";
/// The hash of the configuration. Compose lists only containers that have one, and accepts any.
pub(super) const CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// The services that it needs, `name:condition:restart`.
pub(super) const NEEDS: &str = "com.docker.compose.depends_on";
const WORKING_DIR: &str = "com.docker.compose.project.working_dir";
const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
const NETWORK: &str = "com.docker.compose.network";
const VOLUME: &str = "com.docker.compose.volume";
/// The configuration, field by field; only chefcito sets it.
pub(super) const SPEC: &str = "dev.chefcito.spec";
/// The id of the environment; only chefcito sets it.
const ENVIRONMENT_ID: &str = "dev.chefcito.environment-id";
/// The owner of the environment.
const OWNER: &str = "dev.chefcito.owner";

/// Returns the mark among labels; `None` if there is none: docker compose made the object, or an earlier version.
pub(super) fn mark_among(labels: &HashMap<String, String>) -> Option<Mark> {
    let owner = labels.get(OWNER).cloned().unwrap_or_default();
    Some(Mark { id: labels.get(ENVIRONMENT_ID)?.clone(), owner })
}

/// Returns whether an object is of another environment than the one with this mark. One without a mark is not.
pub(super) fn is_of_another(labels: &HashMap<String, String>, mark: &Mark) -> bool {
    mark_among(labels).is_some_and(|found| found.id != mark.id)
}

/// Returns labels with the mark of their environment.
pub(super) fn marked(labels: &HashMap<String, String>, mark: &Mark) -> HashMap<String, String> {
    let mark = [(ENVIRONMENT_ID.into(), mark.id.clone()), (OWNER.into(), mark.owner.clone())];
    labels.clone().into_iter().chain(mark).collect()
}

/// Returns the label of everything in an environment.
pub(super) fn of_project(project: &str) -> String {
    format!("{PROJECT}={project}")
}

/// The compose file of an environment.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// Its folder.
    pub(super) folder: String,
    /// The file itself.
    pub(super) file: String,
}

/// Returns the labels of a container.
pub(super) fn of_container<'a>(
    project: &str,
    (service, number): (&str, u32),
    spec: &Spec,
    needs: impl Iterator<Item = (&'a String, &'a Need)>,
    origin: &Origin,
) -> HashMap<String, String> {
    let need = |(name, need): (&String, &Need)| {
        format!("{name}:{}:{}", need.condition.name(), need.restart)
    };
    let needs: Vec<String> = needs.map(need).collect();
    HashMap::from([
        (PROJECT.into(), project.into()),
        (SERVICE.into(), service.into()),
        (NUMBER.into(), number.to_string()),
        (ONE_OFF.into(), "False".into()),
        (CONFIG_HASH.into(), spec.hash()),
        (NEEDS.into(), needs.join(",")),
        (WORKING_DIR.into(), origin.folder.clone()),
        (CONFIG_FILES.into(), origin.file.clone()),
        (SPEC.into(), spec.label()),
    ])
}

/// Returns the labels of a network.
pub(super) fn of_network(project: &str, key: &str, spec: &Spec) -> HashMap<String, String> {
    of_thing(project, NETWORK, key, spec)
}

/// Returns the labels of a volume.
pub(super) fn of_volume(project: &str, key: &str, spec: &Spec) -> HashMap<String, String> {
    of_thing(project, VOLUME, key, spec)
}

fn of_thing(project: &str, kind: &str, key: &str, spec: &Spec) -> HashMap<String, String> {
    HashMap::from([
        (PROJECT.into(), project.into()),
        (kind.into(), key.into()),
        (CONFIG_HASH.into(), spec.hash()),
        (SPEC.into(), spec.label()),
    ])
}

#[cfg(test)]
mod tests {
    use contracts::services::KITCHEN;

    use super::*;
    use manifests::compose_file::Service;

    #[test]
    fn docker_compose_lists_our_containers() {
        let spec = Spec::of(&Service { image: "i".into(), ..Service::default() });
        let origin = Origin { folder: "/f".into(), file: "/f/compose.yaml".into() };
        let labels = of_container("lunch", (KITCHEN, 2), &spec, [].into_iter(), &origin);
        // Compose's filter, from pkg/compose/containers.go.
        assert_eq!(labels["com.docker.compose.project"], "lunch");
        assert!(!labels["com.docker.compose.config-hash"].is_empty());
        assert_eq!(labels["com.docker.compose.oneoff"], "False");
        // What compose reads of each container.
        assert_eq!(labels["com.docker.compose.service"], KITCHEN);
        assert_eq!(labels["com.docker.compose.container-number"].parse(), Ok(2));
    }
}
