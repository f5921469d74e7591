//! An environment on its cluster, as one command works with it, and its wanted objects.

use std::{collections::BTreeMap, env, iter, time::Duration};

use cluster::{
    Cluster, KubeTarget, START_WAIT_MAX, has_context, kind::Kind, objects::Object, server_of,
};
use manifests::kustomize::{Adjustments, Tree};

use super::{GATEWAY, apply::Applying, labels, local, market_egress, wanted::Wanted};
use crate::{
    config::{ClusterSettings, Settings},
    error::{CliError, Result},
    images::Contents,
    output::Output,
    overlays::{self, Overlay, SECRETS},
    state::{ClusterRecord, Environment, EnvironmentName, Mark},
};

/// The gateway's port on the node in the local environment's manifests.
pub(super) const NODE_PORT: u16 = 30073;

/// An environment, its cluster, and the output that reports what happens.
#[derive(Clone, Debug)]
pub(super) struct Session<'a> {
    /// The cluster.
    pub(super) cluster: Cluster,
    /// The environment.
    pub(super) environment: &'a Environment,
    /// The output of the command.
    pub(super) output: &'a Output,
    /// The namespace of the environment.
    pub(super) namespace: String,
}

impl<'a> Session<'a> {
    /// Connects to the environment's cluster, or to the one that was asked for; `None` if that is the shared kind
    /// cluster, and it does not exist. Waits for a starting API server for up to `wait_max`.
    ///
    /// # Errors
    /// [`CliError::NoCluster`] if it does not answer, [`CliError::Failed`] if the environment is on another.
    pub(super) async fn find(
        settings: &Settings,
        environment: &'a Environment,
        output: &'a Output,
        wait_max: Duration,
    ) -> Result<Option<Self>> {
        let record = environment.cluster()?;
        let Some(target) = target(settings, record.as_ref(), environment).await? else {
            return Ok(None);
        };
        let unanswered = match Self::at(&target, environment, output, wait_max).await {
            Err(error) if error.is_lost_cluster() => error,
            Ok(session) => {
                session.check_moved(record.as_ref(), &target).await?;
                return Ok(Some(session));
            }
            Err(error) => return Err(error),
        };
        // Only now, so that kind is not called if the cluster answers.
        let is_shared = settings.cluster.are_of_shared() && local::is_at(&target);
        if !is_shared || record.is_none() {
            return Err(with_way_out(unanswered, environment)?);
        }
        match local::find_again(unanswered, environment).await {
            Ok(Some(target)) => {
                let found = Self::at(&target, environment, output, wait_max).await;
                found.map(Some).map_err(local::is_still_there)
            }
            Ok(None) => Ok(None),
            Err(error) => Err(with_way_out(error, environment)?),
        }
    }

    /// Connects to the environment's cluster.
    ///
    /// # Errors
    /// [`CliError::NotRunning`] if it is on none, [`CliError::NoCluster`] if that does not answer.
    pub(super) async fn of_running(
        environment: &'a Environment,
        output: &'a Output,
    ) -> Result<Self> {
        let not_running = || CliError::NotRunning { name: environment.name().clone() };
        let settings = environment.last_settings()?.ok_or_else(not_running)?;
        match environment.cluster()? {
            Some(_) => {
                let found = Self::find(&settings, environment, output, START_WAIT_MAX).await?;
                found.ok_or_else(not_running)
            }
            None => Err(not_running()),
        }
    }

    /// Connects to a cluster, and waits for a starting one for up to `wait_max`.
    ///
    /// # Errors
    /// [`CliError::NoCluster`] if it does not answer.
    pub(super) async fn at(
        target: &KubeTarget,
        environment: &'a Environment,
        output: &'a Output,
        wait_max: Duration,
    ) -> Result<Self> {
        let cluster =
            Cluster::connect(target, wait_max, |why| output.progress(format_args!("{why}")))
                .await?;
        output.detail(format_args!(
            "The cluster `{}` at {} has {}",
            cluster.context(),
            cluster.server(),
            cluster.version().text
        ));
        let namespace = environment.name().to_string();
        Ok(Self { cluster, environment, output, namespace })
    }

    /// Checks that a cluster that was found in another kubeconfig, at another address, is the one of the record.
    async fn check_moved(&self, record: Option<&ClusterRecord>, target: &KubeTarget) -> Result<()> {
        let moved = |record: &&ClusterRecord| {
            record.target != *target && record.server != self.cluster.server()
        };
        let Some(record) = record.filter(moved) else { return Ok(()) };
        let name = self.environment.name();
        let namespace = self.cluster.namespace(&self.namespace).await?;
        let found = namespace.as_ref().and_then(|one| one.label(labels::ENVIRONMENT));
        if found == Some(&name.to_string()) {
            return Ok(());
        }
        Err(CliError::NoCluster {
            what: format!(
                "the cluster `{}` at {} has no environment `{name}`, which was at {}",
                self.cluster.context(),
                self.cluster.server(),
                record.server
            ),
            hint: format!(
                "name the right context with `chefcito up --runtime kubernetes{0} --context`, or the right kubeconfig with \
                 `--kubeconfig`; if it is gone for good, `chefcito down --volumes{0}` removes its records here",
                name.flag()
            ),
            source: None,
            is_lost: true,
        })
    }

    /// Returns how to apply objects here, without taking over fields.
    pub(super) const fn applying(&self) -> Applying<'_> {
        Applying {
            cluster: &self.cluster,
            namespace: self.namespace.as_str(),
            force: false,
            output: self.output,
        }
    }

    /// Returns whether the gateway has a port on the node: in the shared kind cluster, and only for the default
    /// environment.
    pub(super) fn has_door(&self) -> bool {
        has_door(self.environment.name(), self.cluster.context())
    }

    /// Returns all objects of the environment.
    ///
    /// # Errors
    /// The cluster's refusal; [`CliError::Failed`] if any of them is of another environment of that name.
    pub(super) async fn observe(&self) -> Result<Vec<Object>> {
        let selector = labels::of_environment(&self.environment.name().to_string());
        let observed = self.cluster.labelled(&self.namespace, &selector, iter::empty()).await?;
        self.mark(&observed)?;
        Ok(observed)
    }

    /// Returns the mark of the environment that has these objects, as [`Environment::mark`] does.
    ///
    /// # Errors
    /// [`CliError::Failed`] if any of them is of another environment.
    pub(super) fn mark(&self, observed: &[Object]) -> Result<Mark> {
        let marks: Vec<Mark> = observed.iter().filter_map(labels::mark_of).collect();
        self.environment.mark(&marks, &format!("the cluster `{}`", self.cluster.context()))
    }

    /// Returns the wanted objects, with the mark of their environment.
    ///
    /// # Errors
    /// [`CliError::BadFile`] if the manifests can't be understood.
    pub(super) fn wanted(
        &self,
        settings: &Settings,
        secrets: &str,
        contents: &Contents,
        mark: &Mark,
    ) -> Result<Wanted> {
        let tree = Tree::find(&env::current_dir().unwrap_or_else(|_| "/".into()));
        let tree = tree.with_file(SECRETS, secrets);
        let images = overlays::images(settings.cluster.push.as_deref(), None, contents);
        let market_url = settings.market_url.as_deref();
        let adjustments = Adjustments {
            components: market_url.map(|_| market_egress::COMPONENT).into_iter().collect(),
            namespace: Some(self.namespace.clone()),
            labels: BTreeMap::from([(
                labels::ENVIRONMENT.to_owned(),
                self.environment.name().to_string(),
            )]),
            images,
            replicas: replicas(settings),
            settings: variables(settings),
        };
        let objects = overlays::render(&tree, Overlay::Local, &adjustments)?;
        let objects = objects.into_iter().map(|object| {
            let rank = object.rank();
            let mut object = Object::from_value(object.into_value()).map_err(CliError::failed)?;
            labels::mark(&mut object, mark);
            if !self.has_door() {
                hide(&mut object);
            }
            if let Some(url) = market_url {
                market_egress::narrow(url, &mut object);
            }
            Ok((rank, object))
        });
        let mut wanted = Wanted::of(objects.collect::<Result<_>>()?);
        // An explicit number makes another program's scaling, or `stop`, a difference.
        wanted.scale_all(|said| said);
        Ok(wanted)
    }
}

fn has_door(environment: &EnvironmentName, context: &str) -> bool {
    environment.is_default() && Kind::cluster_of(context) == Some(local::CLUSTER)
}

/// Removes the gateway's port on the node, which only one environment of a cluster can have.
fn hide(object: &mut Object) {
    if object.kind() != "Service" || object.name() != GATEWAY {
        return;
    }
    let Some(spec) = object.data_mut().get_mut("spec") else { return };
    spec["type"] = "ClusterIP".into();
    for port in spec["ports"].as_array_mut().into_iter().flatten() {
        if let Some(port) = port.as_object_mut() {
            let _unset = port.remove("nodePort");
        }
    }
}

/// Returns the target: that of the record, or the stated one, or the shared kind cluster; `None` if that does not exist.
///
/// # Errors
/// [`CliError::Failed`] if the environment is on another cluster than the given one; [`CliError::Lacking`] without
/// `kind`.
async fn target(
    settings: &Settings,
    record: Option<&ClusterRecord>,
    environment: &Environment,
) -> Result<Option<KubeTarget>> {
    let stated = &settings.cluster;
    match record {
        Some(record) => whereabouts(record, stated, environment).map(Some),
        None if stated.are_of_shared() => local::find(environment).await,
        None => Ok(Some(stated_target(stated, stated.context.clone()))),
    }
}

fn stated_target(stated: &ClusterSettings, context: Option<String>) -> KubeTarget {
    KubeTarget::of_file(stated.kubeconfig.as_deref(), context)
}

/// Returns the target of a record. A stated kubeconfig counts instead of the recorded one. If that no longer has its context,
/// today's kubeconfig may have it, or the one that is asked for.
///
/// # Errors
/// [`CliError::Failed`] if another cluster is asked for.
fn whereabouts(
    record: &ClusterRecord,
    stated: &ClusterSettings,
    environment: &Environment,
) -> Result<KubeTarget> {
    let recorded = record.target.context.as_deref().unwrap_or_default();
    let asked = stated.context.as_deref().unwrap_or(recorded);
    let today = stated_target(stated, Some(asked.to_owned()));
    let is_stated = stated.kubeconfig.is_some() && asked == recorded;
    if is_stated || !has_context(&record.target, recorded) && has_context(&today, asked) {
        return Ok(today);
    }
    if asked == recorded {
        return Ok(record.target.clone());
    }
    Err(CliError::Failed {
        what: format!("`{}` is on the cluster `{recorded}`, not on `{asked}`", environment.name()),
        hint: format!(
            "omit `--context`, take it down first with `chefcito down{}`, or choose another `--name`",
            environment.name().flag()
        ),
        source: None,
    })
}

/// Returns a record whose kubeconfig was moved with the place where it is today, if that is sure.
pub(super) fn followed(record: ClusterRecord, environment: &Environment) -> Result<ClusterRecord> {
    let settings = environment.former_settings()?.unwrap_or_default();
    // The context of the record is where it was brought up last.
    let stated = ClusterSettings { context: None, ..settings.cluster };
    let target = whereabouts(&record, &stated, environment)?;
    if target == record.target || server_of(&target).as_ref() != Some(&record.server) {
        return Ok(record);
    }
    let record = ClusterRecord { target, ..record };
    environment.remember_cluster(&record)?;
    Ok(record)
}

/// Adds a hint to the error of a cluster that may be gone for good, if the environment was on it.
fn with_way_out(error: CliError, environment: &Environment) -> Result<CliError> {
    let is_known = environment.former_settings()?.is_some();
    Ok(match error {
        CliError::NoCluster { what, hint, source, is_lost: true } if is_known => {
            let hint = format!(
                "{hint}; if it is gone for good, `chefcito down --volumes{}` removes its records here",
                environment.name().flag()
            );
            CliError::NoCluster { what, hint, source, is_lost: true }
        }
        error => error,
    })
}

fn replicas(settings: &Settings) -> BTreeMap<String, i64> {
    settings.replicas.iter().map(|(name, count)| (name.clone(), i64::from(*count))).collect()
}

/// Returns the settings as variables of the services, by ConfigMap.
fn variables(settings: &Settings) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut maps: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut set = |map: &str, variable: &str, value: String| {
        let _before = maps.entry(map.into()).or_default().insert(variable.into(), value);
    };
    set("kitchen-settings", "CHEFCITO_STOVES", settings.stoves.to_string());
    set("kitchen-settings", "CHEFCITO_SEED", settings.seed.to_string());
    if let Some(time) = settings.cooking_time {
        let time = humantime::format_duration(time).to_string().replace(' ', "");
        set("kitchen-settings", "CHEFCITO_COOKING_TIME", time);
    }
    if let Some(filter) = &settings.log_filter {
        set("settings", "CHEFCITO_LOG", filter.clone());
    }
    if let Some(url) = &settings.market_url {
        set("market-settings", "CHEFCITO_MARKET_URL", url.clone());
    }
    maps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_door_of_our_cluster_is_there_however_it_is_named_and_for_one_environment() {
        let has_door = |name: &str, context| has_door(&name.parse().unwrap(), context);
        assert!(has_door(EnvironmentName::DEFAULT, "kind-chefcito"));
        assert!(!has_door("second", "kind-chefcito"));
        assert!(!has_door(EnvironmentName::DEFAULT, "kind-other"));
        assert!(!has_door(EnvironmentName::DEFAULT, "chefcito"));
    }
}
