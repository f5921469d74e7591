//! A dry run is what is executed: plans for random states, carried out on a model of an engine that refuses what an engine
//! refuses, by the execution that commands use.

use std::{cell::RefCell, collections::BTreeSet};

use proptest::prelude::*;

use super::{
    tests::{FILE, carried_out, images, laid_out, settings},
    *,
};
use crate::{
    error::{CliError, Result},
    plan::{Carrier, tests::carry_out},
    progress::Waiting,
    runtimes::images::Images,
};

/// An engine that has what is observed.
struct Model<'a> {
    layout: &'a Layout,
    has: RefCell<Observed>,
    /// The images that it lacks.
    lacks: RefCell<BTreeSet<String>>,
    executed: RefCell<Vec<String>>,
}

fn refuse<T>(what: String) -> Result<T> {
    Err(CliError::failed(what))
}

impl Model<'_> {
    fn wanted(&self, name: &str) -> &WantedContainer {
        self.layout.containers.iter().find(|wanted| wanted.name == name).unwrap()
    }

    fn remove(&self, name: &str) -> Result<()> {
        let mut has = self.has.borrow_mut();
        let before = has.containers.len();
        has.containers.retain(|seen| seen.name() != name);
        if has.containers.len() == before { refuse(format!("no container {name}")) } else { Ok(()) }
    }

    fn create(&self, name: &str) -> Result<()> {
        let wanted = self.wanted(name);
        let mut has = self.has.borrow_mut();
        if has.containers.iter().any(|seen| seen.name() == name) {
            return refuse(format!("the name {name} is in use"));
        }
        if self.lacks.borrow().contains(&wanted.what.image) {
            return refuse(format!("no image {}", wanted.what.image));
        }
        for (network, _) in &wanted.networks {
            if !has.networks.iter().any(|there| there.name == *network) {
                return refuse(format!("no network {network}"));
            }
        }
        for mount in wanted.what.mounts.iter().filter_map(|mount| mount.source.as_ref()) {
            if !has.volumes.iter().any(|there| there.name == format!("lunch_{mount}")) {
                return refuse(format!("no volume {mount}"));
            }
        }
        let made = carried_out(self.layout);
        let mut new = made.containers.into_iter().find(|seen| seen.name() == name).unwrap();
        new.container.state = State::Created;
        has.containers.push(new);
        Ok(())
    }

    fn start(&self, name: &str) -> Result<()> {
        let first = self.layout.containers.iter().filter(|wanted| wanted.is_first);
        let mut has = self.has.borrow_mut();
        let is_open = |wanted: &&WantedContainer| {
            let seen = has.containers.iter().find(|seen| seen.name() == wanted.name);
            seen.is_none_or(|seen| seen.container.state != State::Exited { code: 0 })
        };
        let wanted = self.wanted(name);
        if !wanted.is_first && first.clone().any(|job| is_open(&job)) {
            return refuse(format!("{name} was started before a first job had ended"));
        }
        match has.containers.iter_mut().find(|seen| seen.name() == name) {
            None => refuse(format!("no container {name}")),
            Some(seen) => {
                let ended = State::Exited { code: 0 };
                seen.container.state = if wanted.is_job { ended } else { State::Running };
                Ok(())
            }
        }
    }

    fn network(&self, name: &str, creates: bool) -> Result<()> {
        let mut has = self.has.borrow_mut();
        let is_there = has.networks.iter().any(|there| there.name == name);
        match (creates, is_there) {
            (true, true) => return refuse(format!("the network {name} exists")),
            (false, false) => return refuse(format!("no network {name}")),
            (true, false) => {
                let made = carried_out(self.layout).networks;
                has.networks.extend(made.into_iter().filter(|network| network.name == name));
            }
            (false, true) => {
                let uses = |seen: &ObservedContainer| {
                    let wanted = self.layout.containers.iter().find(|one| one.name == seen.name());
                    wanted.is_some_and(|one| one.networks.iter().any(|(on, _)| on == name))
                };
                if has.containers.iter().any(uses) {
                    return refuse(format!("the network {name} has active endpoints"));
                }
                has.networks.retain(|network| network.name != name);
            }
        }
        Ok(())
    }

    fn volume(&self, name: &str) -> Result<()> {
        let made = carried_out(self.layout).volumes;
        let mut has = self.has.borrow_mut();
        if has.volumes.iter().any(|there| there.name == name) {
            return refuse(format!("the volume {name} exists"));
        }
        has.volumes.extend(made.into_iter().filter(|volume| volume.name == name));
        Ok(())
    }
}

impl Carrier for Model<'_> {
    type Operation = Step;

    async fn execute(&self, step: &Step, _shown: &Waiting) -> Result<()> {
        self.executed.borrow_mut().push(step.to_string());
        // Others that can begin, begin.
        tokio::task::yield_now().await;
        match step {
            Step::Build { services } => {
                let is_built = |image: &String| {
                    services
                        .iter()
                        .any(|service| image.starts_with(&format!("chefcito-{service}:")))
                };
                self.lacks.borrow_mut().retain(|image| !is_built(image));
                Ok(())
            }
            Step::Pull { image } => {
                self.lacks.borrow_mut().remove(image);
                Ok(())
            }
            Step::Remove { name, .. } => self.remove(name),
            Step::RemoveNetwork { name, .. } => self.network(name, false),
            Step::CreateNetwork { name } => self.network(name, true),
            Step::CreateVolume { name } => self.volume(name),
            Step::Create { name } => self.create(name),
            Step::Replace { name, .. } => {
                self.remove(name)?;
                self.create(name)
            }
            Step::StartNew { name, .. }
            | Step::Start { name, .. }
            | Step::Resume { name, .. }
            | Step::Restart { name, .. } => self.start(name),
            Step::AwaitReady => {
                let has = self.has.borrow();
                let is_up = |wanted: &WantedContainer| {
                    has.containers.iter().any(|seen| seen.name() == wanted.name)
                };
                match self.layout.containers.iter().all(is_up) {
                    true => Ok(()),
                    false => refuse("not everything is there".into()),
                }
            }
            Step::ReplaceIfBuilt { .. }
            | Step::StartIfReplaced { .. }
            | Step::FetchKey
            | Step::SeedIfEmpty
            | Step::Order { .. } => Ok(()),
        }
    }

    async fn undo(&self, _begun: Vec<&Step>) -> Result<()> {
        Ok(())
    }
}

/// A state of an engine, and what is wanted of it.
#[derive(Clone, Debug)]
struct Case {
    /// For each container of the former layout: 0 missing, 1 made otherwise, else its state.
    containers: Vec<u8>,
    /// For each network and volume: whether it is missing, and whether it was made otherwise.
    things: Vec<(bool, bool)>,
    former_kitchens: u32,
    wanted_kitchens: u32,
    other_stoves: bool,
    lacks_images: bool,
    has_orphan: bool,
    build: bool,
    restart: bool,
    seed: bool,
}

fn cases() -> impl Strategy<Value = Case> {
    let numbers = (
        proptest::collection::vec(0..8_u8, 12),
        proptest::collection::vec(any::<(bool, bool)>(), 6),
        0..4_u32,
        0..4_u32,
    );
    let switches = any::<(bool, bool, bool, bool, bool, bool)>();
    (numbers, switches).prop_map(|((containers, things, former, wanted), switches)| {
        let (other_stoves, lacks_images, has_orphan, build, restart, seed) = switches;
        Case {
            containers,
            things,
            former_kitchens: former,
            wanted_kitchens: wanted,
            other_stoves,
            lacks_images,
            has_orphan,
            build,
            restart,
            seed,
        }
    })
}

impl Case {
    fn layout(&self, kitchens: u32, stoves: Option<&str>, images: &Images, file: &str) -> Layout {
        let replicas = [("kitchen".to_owned(), kitchens)].into();
        let settings = crate::config::Settings { replicas, ..settings() };
        laid_out(file, stoves, &settings, images)
    }

    fn wanted(&self) -> Layout {
        let images = if self.lacks_images { Images::default() } else { images() };
        self.layout(self.wanted_kitchens, self.other_stoves.then_some("4"), &images, FILE)
    }

    fn observed(&self) -> Observed {
        let file = match self.has_orphan {
            true => FILE.replace("redis:", "cache:").replace("image: 'cache:", "image: 'redis:"),
            false => FILE.to_owned(),
        };
        let mut observed = carried_out(&self.layout(self.former_kitchens, None, &images(), &file));
        let kinds = self.containers.iter().cycle();
        let seen = std::mem::take(&mut observed.containers).into_iter().zip(kinds);
        observed.containers = seen
            .filter(|(_, kind)| **kind != 0)
            .map(|(mut seen, kind)| {
                if *kind == 1 {
                    seen.container.labels.insert(
                        super::super::labels::CONFIG_HASH.into(),
                        "of another version".into(),
                    );
                }
                seen.container.state = match kind {
                    2 => State::Exited { code: 0 },
                    3 => State::Exited { code: 1 },
                    4 => State::Created,
                    5 => State::Paused,
                    6 => State::Dead,
                    _ => seen.container.state,
                };
                seen
            })
            .collect();
        let mut things = self.things.iter();
        let mut keep = |thing: &mut Named, may_go: bool| {
            let (missing, changed) = *things.next().unwrap_or(&(false, false));
            if changed {
                thing.labels.insert(super::super::labels::SPEC.into(), "{}".into());
            }
            !(missing && may_go)
        };
        // A network or a volume can't be missing while a container has it.
        let is_unused = observed.containers.is_empty();
        observed.networks.retain_mut(|network| keep(network, is_unused));
        observed.volumes.retain_mut(|volume| keep(volume, is_unused));
        observed
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_dry_run_is_what_is_executed_and_leads_to_what_is_wanted(case in cases()) {
        let (layout, observed) = (case.wanted(), case.observed());
        let asked = Asked {
            build: case.build,
            restart: case.restart,
            seed: case.seed,
            ..Asked::default()
        };
        let Planned { plan: printed, .. } = plan(&layout, &observed, &asked);
        let lacks = layout.containers.iter().filter(|wanted| wanted.image_id.is_none());
        let model = Model {
            layout: &layout,
            lacks: RefCell::new(lacks.map(|wanted| wanted.what.image.clone()).collect()),
            has: RefCell::new(observed),
            executed: RefCell::default(),
        };
        carry_out(&printed, &model)?;

        let mut printed: Vec<String> = printed.operations().map(ToString::to_string).collect();
        let mut executed = model.executed.take();
        printed.sort_unstable();
        executed.sort_unstable();
        prop_assert_eq!(printed, executed);

        // With all images there, nothing is left to do.
        if !case.lacks_images {
            let after = Observed { images: images(), ..model.has.take() };
            let left = plan(&layout, &after, &Asked::default());
            let left: Vec<String> = left.plan.operations().map(ToString::to_string).collect();
            prop_assert_eq!(left, Vec::<String>::new());
        }
    }
}
