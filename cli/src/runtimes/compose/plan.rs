//! The plan: a plain function from what is wanted and observed to steps.

use std::{collections::BTreeSet, fmt};

use super::{
    observed::{Observed, ObservedContainer},
    wanted::{Layout, WantedContainer, WantedThing},
};
use crate::{
    docker::{containers::State, networks::Named},
    runtimes::images::built_here,
};

/// One step. Its text is a line of `--dry-run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Get a missing image: build it if it is ours, else pull it.
    Pull {
        /// Its name.
        image: String,
    },
    /// Remove a container that is not wanted.
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
    /// Create a container and start it.
    Create {
        /// Its name.
        name: String,
    },
    /// Remove a container, create it again and start it.
    Replace {
        /// The id of the existing container.
        id: String,
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// Start an existing container.
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
    /// Wait until everything is ready.
    AwaitReady,
}

impl Step {
    fn is_about(&self, container: &str) -> bool {
        match self {
            Self::Remove { name, .. }
            | Self::Create { name }
            | Self::Replace { name, .. }
            | Self::Start { name, .. }
            | Self::Resume { name, .. }
            | Self::Restart { name, .. } => name == container,
            _ => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pull { image } => match built_here(image) {
                Some(service) => write!(formatter, "build the image of {service}"),
                None => write!(formatter, "pull the image {image}"),
            },
            Self::Remove { name, why, .. } => write!(formatter, "remove {name}: {why}"),
            Self::RemoveNetwork { name, why } => {
                write!(formatter, "remove the network {name}, to create it again: {why}")
            }
            Self::CreateNetwork { name } => write!(formatter, "create the network {name}"),
            Self::CreateVolume { name } => write!(formatter, "create the volume {name}"),
            Self::Create { name } => write!(formatter, "create {name}"),
            Self::Replace { name, why, .. } => write!(formatter, "replace {name}: {why}"),
            Self::Start { name, why, .. } => write!(formatter, "start {name}: {why}"),
            Self::Resume { name, .. } => write!(formatter, "resume {name}: it was paused"),
            Self::Restart { name, .. } => write!(formatter, "restart {name}"),
            Self::AwaitReady => formatter.write_str("wait until every service is ready"),
        }
    }
}

/// The steps, and warnings for the user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The steps, in an order in which they can be applied.
    pub(super) steps: Vec<Step>,
    /// Differences that are left as they are.
    pub(super) warnings: Vec<String>,
}

/// Returns the steps from what is observed to what is wanted. Never removes data.
pub(super) fn plan(layout: &Layout, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    let changed = changed_networks(layout, observed);
    plan.fetch(layout);
    plan.remove_surplus(layout, observed);
    let containers: Vec<Step> = layout
        .containers
        .iter()
        .filter_map(|wanted| container_step(wanted, observed, &changed))
        .collect();
    for (name, why) in &changed {
        plan.steps.push(Step::RemoveNetwork { name: name.clone(), why: why.clone() });
    }
    for network in &layout.networks {
        let is_there = observed.networks.iter().any(|there| there.name == network.name);
        if !is_there || changed.iter().any(|(name, _)| *name == network.name) {
            plan.steps.push(Step::CreateNetwork { name: network.name.clone() });
        }
    }
    for volume in &layout.volumes {
        match observed.volumes.iter().find(|there| there.name == volume.name) {
            None => plan.steps.push(Step::CreateVolume { name: volume.name.clone() }),
            Some(there) => plan.warnings.extend(volume_warning(volume, there)),
        }
    }
    plan.steps.extend(containers);
    if !plan.steps.is_empty() {
        plan.steps.push(Step::AwaitReady);
    }
    plan
}

impl Plan {
    /// Adds a restart of each container that the plan leaves as it is.
    pub(super) fn restart_all(&mut self, layout: &Layout, observed: &Observed) {
        let is_left_alone = |seen: &&ObservedContainer| {
            layout.containers.iter().any(|wanted| is_same(wanted, seen) && !wanted.is_job)
                && seen.container.state.is_up()
                && !self.steps.iter().any(|step| step.is_about(seen.name()))
        };
        let restarts: Vec<Step> = observed
            .containers
            .iter()
            .filter(|seen| !seen.is_one_off)
            .filter(is_left_alone)
            .map(|seen| Step::Restart { id: seen.id().into(), name: seen.name().into() })
            .collect();
        if self.steps.last() == Some(&Step::AwaitReady) {
            self.steps.pop();
        }
        self.steps.extend(restarts);
        self.steps.push(Step::AwaitReady);
    }

    fn fetch(&mut self, layout: &Layout) {
        let lacking = layout.containers.iter().filter(|container| container.image_id.is_none());
        let images: BTreeSet<&String> = lacking.map(|container| &container.what.image).collect();
        self.steps.extend(images.into_iter().map(|image| Step::Pull { image: image.clone() }));
    }

    /// Removes our containers that are no longer wanted. Others with the same project name stay, with a warning.
    fn remove_surplus(&mut self, layout: &Layout, observed: &Observed) {
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
                self.warnings.push(format!(
                    "{} is not in this file and was not made by chefcito: it stays",
                    seen.name()
                ));
            } else if is_of_a_wanted_service || !is_known || seen.container.state.is_up() {
                // A container of a profile that has ended is not a surplus.
                let (id, name) = (seen.id().to_owned(), seen.name().to_owned());
                self.steps.push(Step::Remove { id, name, why: why.into() });
            }
        }
    }
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

fn container_step(
    wanted: &WantedContainer,
    observed: &Observed,
    changed: &[(String, String)],
) -> Option<Step> {
    let Some(seen) =
        observed.containers.iter().find(|seen| !seen.is_one_off && is_same(wanted, seen))
    else {
        return Some(Step::Create { name: wanted.name.clone() });
    };
    let (id, name) = (seen.id().to_owned(), seen.name().to_owned());
    if let Some(why) = reason_to_replace(wanted, seen, changed) {
        return Some(Step::Replace { id, name, why });
    }
    let start = |why: String| Some(Step::Start { id: id.clone(), name: name.clone(), why });
    match seen.container.state {
        State::Running | State::Restarting => None,
        State::Exited { code: 0 } if wanted.is_job => None,
        State::Paused => Some(Step::Resume { id, name }),
        State::Created => start("it was never started".into()),
        State::Exited { code: 0 } => start("it has ended".into()),
        State::Exited { code } => start(format!("it has ended with exit code {code}")),
        State::Dead => {
            Some(Step::Replace { id, name, why: "the engine could not remove it".into() })
        }
    }
}

fn reason_to_replace(
    wanted: &WantedContainer,
    seen: &ObservedContainer,
    changed: &[(String, String)],
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
    if image_moved {
        return Some(format!("the image {} has changed", wanted.what.image));
    }
    let network = changed.iter().find(|(name, _)| wanted.networks.iter().any(|(on, _)| on == name));
    network.map(|(name, _)| format!("its network {name} is created again"))
}

#[cfg(test)]
mod tests;
