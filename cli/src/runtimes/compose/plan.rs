//! The plan: a plain function from what is wanted and observed to operations.

use std::{collections::BTreeMap, fmt};

use engine::{containers::State, networks::Named};
use serde::Serialize;

use super::{
    GATEWAY,
    observed::{Observed, ObservedContainer},
    wanted::{Layout, WantedContainer, WantedThing},
};
use crate::plan::{NodeId, Operation, Plan, SEED_IF_EMPTY, write_order};

/// An operation of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Step {
    /// Build images of services.
    Build {
        /// The services.
        services: Vec<String>,
    },
    /// Pull a missing image.
    Pull {
        /// Its name.
        image: String,
    },
    /// Remove a container.
    Remove {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// Remove a network whose configuration changed, to create it again.
    RemoveNetwork {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// Create a network.
    CreateNetwork {
        /// Its name.
        name: String,
    },
    /// Create a volume.
    CreateVolume {
        /// Its name.
        name: String,
    },
    /// Create a container.
    Create {
        /// Its name.
        name: String,
    },
    /// Remove a container, and create it again.
    Replace {
        /// The id of the existing container.
        id: String,
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// Replace a container if an image that is built before differs from the one that it runs.
    ReplaceIfBuilt {
        /// Its name.
        name: String,
    },
    /// Start a new container. A first job is waited for.
    StartNew {
        /// Its name.
        name: String,
        /// Whether all others wait for its end.
        is_first: bool,
    },
    /// Start a container, if it was replaced.
    StartIfReplaced {
        /// Its name.
        name: String,
    },
    /// Start an existing container. A first job is waited for.
    Start {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// Resume a paused container.
    Resume {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
    },
    /// Stop a container and start it again.
    Restart {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
    },
    /// Read the gateway's admin key, and save it in the state folder.
    FetchKey,
    /// Wait until everything is ready.
    AwaitReady,
    /// Send recipes and stock, if there never was a menu.
    SeedIfEmpty,
    /// Place orders and follow each to the table.
    Order {
        /// How many.
        count: u32,
    },
}

impl Step {
    /// Returns the container that it starts.
    pub(super) fn starts(&self) -> Option<&str> {
        match self {
            Self::StartNew { name, .. }
            | Self::StartIfReplaced { name }
            | Self::Start { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Returns whether it changes what runs.
    pub(super) const fn is_change(&self) -> bool {
        !matches!(self, Self::Order { .. })
    }
}

impl Operation for Step {
    fn is_large(&self) -> bool {
        matches!(self, Self::Build { .. } | Self::Pull { .. })
    }

    fn is_request(&self) -> bool {
        matches!(self, Self::CreateNetwork { .. } | Self::CreateVolume { .. } | Self::Create { .. })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build { services } => match services.as_slice() {
                [service] => write!(formatter, "build the image of {service}"),
                services => write!(formatter, "build the images of {}", services.join(", ")),
            },
            Self::Pull { image } => write!(formatter, "pull the image {image}"),
            Self::Remove { name, why, .. } => write!(formatter, "remove {name}: {why}"),
            Self::RemoveNetwork { name, why } => {
                write!(formatter, "remove the network {name}, to create it again: {why}")
            }
            Self::CreateNetwork { name } => write!(formatter, "create the network {name}"),
            Self::CreateVolume { name } => write!(formatter, "create the volume {name}"),
            Self::Create { name } => write!(formatter, "create {name}"),
            Self::Replace { name, why, .. } => write!(formatter, "replace {name}: {why}"),
            Self::ReplaceIfBuilt { name } => {
                write!(formatter, "replace {name}, if its image is another one then")
            }
            Self::StartNew { name, is_first: false } => write!(formatter, "start {name}"),
            Self::StartNew { name, is_first: true } => {
                write!(formatter, "start {name}, and wait until it has ended")
            }
            Self::StartIfReplaced { name } => write!(formatter, "start {name}, if it was replaced"),
            Self::Start { name, why, .. } => write!(formatter, "start {name}: {why}"),
            Self::Resume { name, .. } => write!(formatter, "resume {name}: it was paused"),
            Self::Restart { name, .. } => write!(formatter, "restart {name}"),
            Self::FetchKey => formatter.write_str("fetch the admin key of the gateway"),
            Self::AwaitReady => formatter.write_str("wait until every service is ready"),
            Self::SeedIfEmpty => formatter.write_str(SEED_IF_EMPTY),
            Self::Order { count } => write_order(*count, formatter),
        }
    }
}

/// What a command asks for besides a layout.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// Whether the images of all services of the layout are built, not only those that are missing.
    pub(super) build: bool,
    /// Whether containers without changes are restarted.
    pub(super) restart: bool,
    /// Whether the gateway has an admin key that is not known here, or may be another one if it is created anew.
    pub(super) key: Key,
    /// Whether an empty environment gets recipes and stock.
    pub(super) seed: bool,
    /// How many orders are placed at the end.
    pub(super) orders: u32,
}

/// What is known of the gateway's admin key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Key {
    /// The gateway has none.
    #[default]
    None,
    /// It is known, until the gateway is created anew.
    Known,
    /// It is to be fetched.
    Unknown,
}

/// The plan, and warnings for the user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Planned {
    /// The operations.
    pub(super) plan: Plan<Step>,
    /// Differences that are left as they are.
    pub(super) warnings: Vec<String>,
}

/// Returns the plan from what is observed to what is wanted. Never removes data.
pub(super) fn plan(layout: &Layout, observed: &Observed, asked: &Asked) -> Planned {
    let mut planner = Planner { layout, observed, asked, planned: Planned::default() };
    planner.plan();
    planner.planned
}

struct Planner<'a> {
    layout: &'a Layout,
    observed: &'a Observed,
    asked: &'a Asked,
    planned: Planned,
}

/// The operations that provide what the creation of containers needs.
#[derive(Default)]
struct Provided {
    images: BTreeMap<String, NodeId>,
    networks: BTreeMap<String, NodeId>,
    volumes: BTreeMap<String, NodeId>,
    removals: Vec<NodeId>,
}

impl Provided {
    fn needs_of(&self, wanted: &WantedContainer) -> Vec<NodeId> {
        let image = self.images.get(&wanted.what.image);
        let networks = wanted.networks.iter().filter_map(|(name, _)| self.networks.get(name));
        let mounts = wanted.what.mounts.iter().filter_map(|mount| mount.source.as_ref());
        let volumes = mounts.filter_map(|key| self.volumes.get(key));
        let provided = image.into_iter().chain(networks).chain(volumes);
        provided.chain(&self.removals).copied().collect()
    }
}

impl Planner<'_> {
    fn plan(&mut self) {
        let changed = changed_networks(self.layout, self.observed);
        let mut provided = Provided::default();
        self.get_images(&mut provided);
        self.remove_surplus(&mut provided);
        self.remove_from(&changed, &mut provided);
        self.renew_networks(&changed, &mut provided);
        self.create_volumes(&mut provided);
        let (mut creations, mut starts) = (Vec::new(), Vec::new());
        let mut gateway = None;
        for wanted in &self.layout.containers {
            let creation = self.creation(wanted, &changed);
            starts.extend(self.start_of(wanted, creation.as_ref()).map(|step| (wanted, step)));
            let Some(creation) = creation else { continue };
            let node = self.planned.plan.add(creation, provided.needs_of(wanted));
            creations.push(node);
            if wanted.service == GATEWAY {
                gateway = Some(node);
            }
        }
        let mut first_jobs = self.start(starts, creations);
        let has_gateway = self.layout.containers.iter().any(|wanted| wanted.service == GATEWAY)
            || self.observed.of_service(GATEWAY).next().is_some();
        if has_gateway
            && (self.asked.key == Key::Unknown || self.asked.key == Key::Known && gateway.is_some())
        {
            // A first job makes the key.
            first_jobs.extend(gateway);
            self.planned.plan.add(Step::FetchKey, first_jobs);
        }
        if !self.planned.plan.is_empty() || self.asked.restart {
            self.planned.plan.add_after_all(Step::AwaitReady);
        }
        if self.asked.seed {
            self.planned.plan.add_after_all(Step::SeedIfEmpty);
        }
        if self.asked.orders > 0 {
            self.planned.plan.add_after_all(Step::Order { count: self.asked.orders });
        }
    }

    /// Starts containers when all are created: first jobs one after the other, then the others. Returns the first jobs.
    fn start(
        &mut self,
        starts: Vec<(&WantedContainer, Step)>,
        creations: Vec<NodeId>,
    ) -> Vec<NodeId> {
        let mut needs = creations;
        let mut first_jobs = Vec::new();
        for (wanted, step) in starts {
            let node = self.planned.plan.add(step, needs.clone());
            if wanted.is_first {
                needs.push(node);
                first_jobs.push(node);
            }
        }
        first_jobs
    }

    /// Builds the missing images that are built here, or all such; pulls the other missing ones.
    fn get_images(&mut self, provided: &mut Provided) {
        let mut built = BTreeMap::new();
        for container in &self.layout.containers {
            let image = &container.what.image;
            let is_lacking = container.image_id.is_none();
            match container.built_here() {
                Some(service) if is_lacking || self.asked.build => {
                    let _same = built.insert(image.clone(), service.to_owned());
                }
                _ if is_lacking && !provided.images.contains_key(image) => {
                    let node = self.planned.plan.add(Step::Pull { image: image.clone() }, []);
                    provided.images.insert(image.clone(), node);
                }
                _ => {}
            }
        }
        if !built.is_empty() {
            let services = built.values().cloned().collect();
            let node = self.planned.plan.add(Step::Build { services }, []);
            provided.images.extend(built.into_keys().map(|image| (image, node)));
        }
    }

    /// Removes containers that stay from networks that are created again; they are created anew afterwards.
    fn remove_from(&mut self, changed: &[(String, String)], provided: &mut Provided) {
        for wanted in &self.layout.containers {
            let Some(network) = on_one_of(wanted, changed) else { continue };
            let Some(seen) = self.seen(wanted) else { continue };
            let why = match reason_to_replace(wanted, seen) {
                Some(why) => why,
                None => format!("its network {network} is created again"),
            };
            let (id, name) = (seen.id().to_owned(), seen.name().to_owned());
            provided.removals.push(self.planned.plan.add(Step::Remove { id, name, why }, []));
        }
    }

    fn renew_networks(&mut self, changed: &[(String, String)], provided: &mut Provided) {
        for network in &self.layout.networks {
            let name = network.name.clone();
            let why = changed.iter().find(|(other, _)| *other == name).map(|(_, why)| why.clone());
            let is_there = self.observed.networks.iter().any(|there| there.name == name);
            let removal = why.map(|why| {
                let removal = Step::RemoveNetwork { name: name.clone(), why };
                self.planned.plan.add(removal, provided.removals.clone())
            });
            if removal.is_some() || !is_there {
                let node =
                    self.planned.plan.add(Step::CreateNetwork { name: name.clone() }, removal);
                provided.networks.insert(name, node);
            }
        }
    }

    fn create_volumes(&mut self, provided: &mut Provided) {
        for volume in &self.layout.volumes {
            match self.observed.volumes.iter().find(|there| there.name == volume.name) {
                None => {
                    let step = Step::CreateVolume { name: volume.name.clone() };
                    let node = self.planned.plan.add(step, []);
                    provided.volumes.insert(volume.key.clone(), node);
                }
                Some(there) => self.planned.warnings.extend(volume_warning(volume, there)),
            }
        }
    }

    /// Removes our containers that are no longer wanted. Others with the same project name stay, with a warning.
    fn remove_surplus(&mut self, provided: &mut Provided) {
        let (layout, observed) = (self.layout, self.observed);
        for seen in observed.containers.iter().filter(|seen| !seen.is_one_off) {
            let is_wanted = |wanted: &WantedContainer| is_same(wanted, seen);
            if layout.containers.iter().any(is_wanted) {
                continue;
            }
            let is_of_a_wanted_service =
                layout.containers.iter().any(|wanted| wanted.service == seen.service);
            let is_known = layout.known.contains(&seen.service);
            let why = match (is_of_a_wanted_service, is_known) {
                (true, _) => "the service has fewer now",
                (false, true) => "its profile is not active",
                (false, false) => "the file no longer has this service",
            };
            if !is_of_a_wanted_service && !layout.is_whole {
                continue;
            }
            if seen.spec_label().is_none() && !is_known {
                self.planned.warnings.push(format!(
                    "{} is not in this file and was not made by chefcito: it stays",
                    seen.name()
                ));
            } else if is_of_a_wanted_service || !is_known || seen.container.state.is_up() {
                // A container of a profile that has ended is not a surplus.
                let (id, name) = (seen.id().to_owned(), seen.name().to_owned());
                let removal = Step::Remove { id, name, why: why.into() };
                provided.removals.push(self.planned.plan.add(removal, []));
            }
        }
    }

    fn seen(&self, wanted: &WantedContainer) -> Option<&ObservedContainer> {
        let mut containers = self.observed.containers.iter();
        containers.find(|seen| !seen.is_one_off && is_same(wanted, seen))
    }

    /// Returns the operation that creates a container.
    fn creation(&self, wanted: &WantedContainer, changed: &[(String, String)]) -> Option<Step> {
        let name = wanted.name.clone();
        let Some(seen) = self.seen(wanted) else { return Some(Step::Create { name }) };
        if on_one_of(wanted, changed).is_some() {
            // It is removed before.
            return Some(Step::Create { name });
        }
        // Its name may be another one in the file by now.
        let id = seen.id().to_owned();
        if let Some(why) = reason_to_replace(wanted, seen) {
            return Some(Step::Replace { id, name, why });
        }
        if seen.container.state == State::Dead {
            return Some(Step::Replace { id, name, why: "the engine could not remove it".into() });
        }
        let may_be_built = self.asked.build && wanted.built_here().is_some();
        may_be_built.then_some(Step::ReplaceIfBuilt { name })
    }

    /// Returns the operation that starts a container, after the one that creates it.
    fn start_of(&self, wanted: &WantedContainer, creation: Option<&Step>) -> Option<Step> {
        if let Some(Step::Create { name } | Step::Replace { name, .. }) = creation {
            return Some(Step::StartNew { name: name.clone(), is_first: wanted.is_first });
        }
        let seen = self.seen(wanted)?;
        let (id, name) = (seen.id().to_owned(), seen.name().to_owned());
        let why = match seen.container.state {
            State::Exited { code: 0 } if wanted.is_job => None,
            State::Running | State::Restarting if !self.asked.restart || wanted.is_job => None,
            State::Running | State::Restarting => return Some(Step::Restart { id, name }),
            State::Paused => return Some(Step::Resume { id, name }),
            State::Created => Some("it was never started".into()),
            State::Exited { code: 0 } => Some("it has ended".into()),
            State::Exited { code } => Some(format!("it has ended with exit code {code}")),
            // It is replaced.
            State::Dead => None,
        };
        match why {
            Some(why) => Some(Step::Start { id, name, why }),
            None => creation.map(|_| Step::StartIfReplaced { name }),
        }
    }
}

/// Returns the first of a container's networks that is created again.
fn on_one_of<'c>(wanted: &WantedContainer, changed: &'c [(String, String)]) -> Option<&'c str> {
    let is_on = |name: &String| wanted.networks.iter().any(|(on, _)| on == name);
    changed.iter().map(|(name, _)| name).find(|name| is_on(name)).map(String::as_str)
}

fn is_same(wanted: &WantedContainer, seen: &ObservedContainer) -> bool {
    wanted.service == seen.service && wanted.number == seen.number
}

/// Returns the networks whose configuration differs, each with the differences.
fn changed_networks(layout: &Layout, observed: &Observed) -> Vec<(String, String)> {
    let changed = layout.networks.iter().filter_map(|wanted| {
        let there = observed.networks.iter().find(|there| there.name == wanted.name)?;
        let why = differences(wanted, there)?;
        Some((wanted.name.clone(), why))
    });
    changed.collect()
}

fn volume_warning<T>(wanted: &WantedThing<T>, there: &Named) -> Option<String> {
    let why = differences(wanted, there)?;
    Some(format!(
        "the volume {} differs from the file ({why}) and stays as it is, for its data; `down --volumes` removes it",
        wanted.name
    ))
}

/// Returns the differences; `None` if chefcito did not make it, so that they are not known.
fn differences<T>(wanted: &WantedThing<T>, there: &Named) -> Option<String> {
    let label = there.labels.get(super::labels::SPEC)?;
    let differences = wanted.spec.differences(label);
    (!differences.is_empty()).then(|| differences.join(", "))
}

/// Returns why a container can't stay as it is.
pub(super) fn reason_to_replace(
    wanted: &WantedContainer,
    seen: &ObservedContainer,
) -> Option<String> {
    let Some(label) = seen.spec_label() else {
        return Some("plain compose made it, so its configuration is not known".into());
    };
    if seen.hash() != Some(&wanted.spec.hash()) {
        let differences = wanted.spec.differences(label);
        return Some(match differences.is_empty() {
            true => "another version of chefcito made it".into(),
            false => differences.join(", "),
        });
    }
    let image_moved = wanted.image_id.as_ref().is_some_and(|id| *id != seen.container.image_id);
    image_moved.then(|| format!("the image {} has changed", wanted.what.image))
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
