//! From what is wanted and what is there to steps: a plain function.

use std::{collections::BTreeSet, fmt};

use super::{
    observed::{Observed, ObservedContainer},
    wanted::{Layout, WantedContainer, WantedThing},
};
use crate::{
    docker::{containers::State, networks::Named},
    runtimes::images::built_here,
};

/// One thing to do. Its text is what `--dry-run` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Get an image that is not there: build it, or fetch it if others made it.
    Fetch {
        /// Its name.
        image: String,
    },
    /// Remove a container that there should not be.
    Remove {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// Remove a network that is not as it should be, to make it anew.
    RemoveNetwork {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// Make a network.
    CreateNetwork {
        /// Its name.
        name: String,
    },
    /// Make a volume.
    CreateVolume {
        /// Its name.
        name: String,
    },
    /// Make a container, and start it.
    Create {
        /// Its name.
        name: String,
    },
    /// Remove a container, make it anew, and start it.
    Replace {
        /// The id of the one that is there.
        id: String,
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// Start a container that is there.
    Start {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// Let a container go on that stands still.
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
            Self::Fetch { image } => match built_here(image) {
                Some(service) => write!(formatter, "build the image of {service}"),
                None => write!(formatter, "fetch the image {image}"),
            },
            Self::Remove { name, why, .. } => write!(formatter, "remove {name}: {why}"),
            Self::RemoveNetwork { name, why } => {
                write!(formatter, "remove the network {name}, to make it anew: {why}")
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

/// What is to be done, and what people should know about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The steps, in an order that can be carried out.
    pub(super) steps: Vec<Step>,
    /// What is not as it should be, and is left alone.
    pub(super) warnings: Vec<String>,
}

/// Returns the steps from what there is to what should be there. Data are never removed.
pub(super) fn plan(layout: &Layout, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    let anew = changed_networks(layout, observed);
    plan.fetch(layout);
    plan.remove_surplus(layout, observed);
    let containers: Vec<Step> = layout
        .containers
        .iter()
        .filter_map(|wanted| container_step(wanted, observed, &anew))
        .collect();
    for (name, why) in &anew {
        plan.steps.push(Step::RemoveNetwork { name: name.clone(), why: why.clone() });
    }
    for network in &layout.networks {
        let is_there = observed.networks.iter().any(|there| there.name == network.name);
        if !is_there || anew.iter().any(|(name, _)| *name == network.name) {
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
    /// Adds that what is left alone is started again.
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
        self.steps.extend(images.into_iter().map(|image| Step::Fetch { image: image.clone() }));
    }

    /// Removes containers of ours that nobody wants any more. Those of others under the same name are told of, and stay.
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
                (true, _) => "there are fewer of them now",
                (false, true) => "it is not started unasked",
                (false, false) => "the file has no such service any more",
            };
            if !is_of_a_wanted_service && !layout.is_whole {
                continue;
            }
            if seen.spec_label().is_none() && !is_known {
                self.warnings.push(format!(
                    "{} is not of this file, and was not made by chefcito: it is left alone",
                    seen.name()
                ));
            } else if is_of_a_wanted_service || !is_known || seen.container.state.is_up() {
                // What was started by hand with a profile, and has ended, is nobody's surplus.
                let (id, name) = (seen.id().to_owned(), seen.name().to_owned());
                self.steps.push(Step::Remove { id, name, why: why.into() });
            }
        }
    }
}

fn is_same(wanted: &WantedContainer, seen: &ObservedContainer) -> bool {
    wanted.service == seen.service && wanted.number == seen.number
}

/// Returns the networks that are there and are not as they should be, each with what differs.
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
        "the volume {} is not as the file says ({why}); it keeps its data as it is: `down --volumes` forgets it",
        wanted.name
    ))
}

/// Returns what differs; nothing if somebody else made it, and so nobody knows.
fn differences<T>(wanted: &WantedThing<T>, there: &Named) -> Option<String> {
    let label = there.labels.get(super::labels::SPEC)?;
    let differences = wanted.spec.differences(label);
    (!differences.is_empty()).then(|| differences.join(", "))
}

fn container_step(
    wanted: &WantedContainer,
    observed: &Observed,
    anew: &[(String, String)],
) -> Option<Step> {
    let Some(seen) =
        observed.containers.iter().find(|seen| !seen.is_one_off && is_same(wanted, seen))
    else {
        return Some(Step::Create { name: wanted.name.clone() });
    };
    let (id, name) = (seen.id().to_owned(), seen.name().to_owned());
    if let Some(why) = reason_to_replace(wanted, seen, anew) {
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
    anew: &[(String, String)],
) -> Option<String> {
    let Some(label) = seen.spec_label() else {
        return Some("plain compose made it, and nobody knows as what".into());
    };
    if seen.hash() != Some(&wanted.spec.hash()) {
        let differences = wanted.spec.differences(label);
        return Some(match differences.is_empty() {
            true => "another chefcito made it, in other words".into(),
            false => differences.join(", "),
        });
    }
    let image_moved = wanted.image_id.as_ref().is_some_and(|id| *id != seen.container.image_id);
    if image_moved {
        return Some(format!("the image {} is another one now", wanted.what.image));
    }
    let network = anew.iter().find(|(name, _)| wanted.networks.iter().any(|(on, _)| on == name));
    network.map(|(name, _)| format!("its network {name} is made anew"))
}

#[cfg(test)]
mod tests;
