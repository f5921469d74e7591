//! Carries out the operations of a plan on the engine.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    rc::Rc,
};

use contracts::Timestamp;
use engine::{errors::EngineError, making::NewContainer, networks::Named};

use super::{
    GATEWAY,
    converge::Goal,
    down, key, labels,
    last_lines::last_lines,
    observed::{Observed, images_of},
    plan::{Step, reason_to_replace},
    ports,
    project::ComposeProject,
    ready::{Watch, await_ready},
    session::Session,
    wanted::{Layout, WantedContainer},
};
use crate::{
    commands::{order, seed},
    config::Settings,
    error::{CliError, Result},
    images,
    output::capitalized,
    plan::{Carrier, Deadline, Plan},
    progress::Waiting,
    runtimes::{self, Program, embedded},
    state::{ContainersRecord, Mark},
};

/// How often a first job may fail before the plan is given up.
const FIRST_JOB_TRIES_MAX: u32 = 3;

/// Carries out operations on an engine.
#[derive(Debug)]
pub(super) struct Containers<'a> {
    /// The session on the engine.
    pub(super) session: &'a Session<'a>,
    /// What the command wants.
    pub(super) goal: &'a Goal<'a>,
    /// The compose file with the settings filled in.
    pub(super) project: &'a ComposeProject,
    /// What the engine had before.
    pub(super) observed: &'a Observed,
    /// What all that is created bears.
    pub(super) mark: &'a Mark,
    /// The layout that the plan leads to. Images that are built change it.
    pub(super) layout: RefCell<Rc<Layout>>,
    /// The gateway's address.
    pub(super) port: SocketAddr,
    /// The engine's events since before the observation, until the environment is waited for.
    pub(super) watch: RefCell<Option<Watch>>,
    /// The ids of new containers, by name.
    pub(super) ids: RefCell<HashMap<String, String>>,
    /// The time for all operations.
    pub(super) deadline: &'a Deadline,
    /// What to return to after a signal; `None` if there was something before, from which the next `up` continues.
    pub(super) before: Option<Before>,
}

/// What there was before the first `up` of an environment.
#[derive(Debug)]
pub(super) struct Before {
    /// Its volumes, of an earlier life.
    pub(super) volumes: Vec<Named>,
    /// Its settings.
    pub(super) settings: Option<Settings>,
}

impl Carrier for Containers<'_> {
    type Operation = Step;

    async fn execute(&self, step: &Step, shown: &Waiting) -> Result<()> {
        let (engine, output) = (&self.session.engine, self.session.output);
        match step {
            Step::Build { services } => self.build(services).await,
            Step::Pull { image } => self.pull(image, shown).await,
            Step::Remove { id, name, .. } => self.remove(id, name).await,
            Step::RemoveNetwork { name, .. } => {
                for network in engine.networks_named(name).await? {
                    down::remove_network(self.session, &network).await?;
                }
                Ok(())
            }
            Step::CreateNetwork { name } => self.create_network(name).await,
            Step::CreateVolume { name } => self.create_volume(name).await,
            Step::Create { name, .. } => self.create(name).await,
            Step::Replace { id, name, .. } => {
                self.remove(id, name).await?;
                self.create(name).await
            }
            Step::ReplaceIfBuilt { name } => self.replace_if_built(name).await,
            Step::StartNew { name, .. }
            | Step::StartIfReplaced { name }
            | Step::Start { name, .. }
            | Step::Resume { name, .. }
            | Step::Restart { name, .. } => self.start_as(step, name).await,
            Step::FetchKey => self.fetch_key().await,
            Step::AwaitReady => {
                self.remember(true)?;
                self.await_ready().await
            }
            Step::SeedIfEmpty if runtimes::is_empty(self.session.environment).await? => {
                seed::seed_built_in(self.session.environment, output).await
            }
            Step::SeedIfEmpty => Ok(()),
            Step::Order { count } => {
                order::place_and_follow(*count, self.session.environment, output).await
            }
        }
    }

    async fn undo(&self, _begun: Vec<&Step>) -> Result<()> {
        let Some(before) = &self.before else { return Ok(()) };
        let environment = self.session.environment;
        self.session.output.status(format_args!("Removing what this command made"));
        // The engine may still complete a request whose answer nobody waited for.
        down::undo(self.session, self.mark, &before.volumes).await?;
        environment.forget_containers()?;
        embedded::restore_settings(Some(before.settings.clone()), environment)
    }
}

impl Containers<'_> {
    /// Says what the plan is about to change, in few lines.
    pub(super) fn say(&self, plan: &Plan<Step>) {
        let output = self.session.output;
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        for step in plan.operations() {
            match step {
                Step::CreateNetwork { .. } => *count.entry("1 network").or_default() += 1,
                Step::CreateVolume { .. } => *count.entry("2 volume").or_default() += 1,
                Step::Create { .. } => *count.entry("3 container").or_default() += 1,
                Step::Remove { .. }
                | Step::RemoveNetwork { .. }
                | Step::Replace { .. }
                | Step::Start { .. }
                | Step::Resume { .. }
                | Step::Restart { .. } => output.progress(format_args!("{}", capitalized(step))),
                Step::Build { .. }
                | Step::Pull { .. }
                | Step::ReplaceIfBuilt { .. }
                | Step::StartNew { .. }
                | Step::StartIfReplaced { .. }
                | Step::FetchKey
                | Step::AwaitReady
                | Step::SeedIfEmpty
                | Step::Order { .. } => {}
            }
        }
        let things: Vec<String> = count
            .into_iter()
            .map(|(kind, count)| {
                format!("{count} {}{}", &kind[2..], if count == 1 { "" } else { "s" })
            })
            .collect();
        if !things.is_empty() {
            output.progress(format_args!("Creating {}", things.join(", ")));
        }
    }

    fn layout(&self) -> Rc<Layout> {
        Rc::clone(&self.layout.borrow())
    }

    /// Returns a container of the layout.
    fn wanted(&self, name: &str) -> Result<WantedContainer> {
        let layout = self.layout();
        let wanted = layout.containers.iter().find(|wanted| wanted.name == name);
        wanted.cloned().ok_or_else(|| CliError::failed(format!("there is no service for {name}")))
    }

    async fn build(&self, services: &[String]) -> Result<()> {
        let Session { engine, output, .. } = self.session;
        images::build_missing_or_all(engine, services, self.goal.build, output).await?;
        let images = images_of(engine).await?;
        let layout = self.project.layout(self.session, self.goal.settings, &images);
        *self.layout.borrow_mut() = Rc::new(layout);
        Ok(())
    }

    async fn pull(&self, image: &str, shown: &Waiting) -> Result<()> {
        self.session.output.progress(format_args!("Pulling the image {image}"));
        let pulled = self.session.engine.pull(image, |done, all| {
            shown.say(format_args!("Pulling {image}: {} of {} MiB", done >> 20, all >> 20));
        });
        pulled.await.map_err(|error| CliError::Lacking {
            what: format!(
                "the engine lacks the image {image} and can't pull it: {}",
                error.message().map_or_else(|| error.to_string(), ToOwned::to_owned)
            ),
            hint: format!(
                "check the network and the name; `docker pull {image}` pulls it alone, `docker load` reads it from a file"
            ),
        })
    }

    async fn remove(&self, id: &str, name: &str) -> Result<()> {
        self.session.engine.stop_container(id, name).await?;
        Ok(self.session.engine.remove_container(id).await?)
    }

    async fn create_network(&self, name: &str) -> Result<()> {
        let layout = self.layout();
        let Some(network) = layout.networks.iter().find(|network| network.name == name) else {
            return Ok(());
        };
        let there = self.session.engine.networks_named(name).await?;
        if there.iter().any(|network| !self.is_ours(&network.labels)) {
            return Err(of_others("network", name));
        }
        if !there.is_empty() {
            return Ok(());
        }
        let labels = labels::marked(&network.labels, self.mark);
        Ok(self.session.engine.create_network(name, &network.what, labels).await?)
    }

    async fn create_volume(&self, name: &str) -> Result<()> {
        let layout = self.layout();
        let Some(volume) = layout.volumes.iter().find(|volume| volume.name == name) else {
            return Ok(());
        };
        // The engine would return an existing volume of that name, of any origin.
        match self.session.engine.volume_named(name).await? {
            Some(there) if self.is_ours(&there.labels) => return Ok(()),
            Some(_) => return Err(of_others("volume", name)),
            None => {}
        }
        let labels = labels::marked(&volume.labels, self.mark);
        Ok(self.session.engine.create_volume(name, &volume.what, labels).await?)
    }

    /// Returns whether labels are those of an object of this environment. An interrupted command may have asked for one that
    /// the engine made only after the observation.
    fn is_ours(&self, labels: &HashMap<String, String>) -> bool {
        labels.get(labels::PROJECT) == Some(&self.session.project_name)
            && !labels::is_of_another(labels, self.mark)
    }

    /// Creates a container.
    async fn create(&self, name: &str) -> Result<()> {
        let wanted = self.wanted(name)?;
        let prefix = format!("{}_", self.session.project_name);
        let new = NewContainer {
            name,
            service: &wanted.what,
            labels: labels::marked(&wanted.labels, self.mark),
            networks: wanted.networks.clone(),
            volume_prefix: &prefix,
        };
        let created = self.session.engine.create_container(&new).await;
        let id = created.map_err(|error| match error.is_conflict() {
            true => of_others("container", name),
            false => error.into(),
        })?;
        self.ids.borrow_mut().insert(name.to_owned(), id);
        Ok(())
    }

    /// Replaces a container if its image is another one since the build.
    async fn replace_if_built(&self, name: &str) -> Result<()> {
        let wanted = self.wanted(name)?;
        let seen = self.observed.containers.iter().find(|seen| seen.name() == name);
        let Some(seen) = seen else { return Ok(()) };
        let Some(why) = reason_to_replace(&wanted, seen) else { return Ok(()) };
        self.session.output.status(format_args!("Replace {name}: {why}"));
        self.remove(seen.id(), name).await?;
        self.create(name).await
    }

    /// Starts a container that is new, or one from before as a step says.
    async fn start_as(&self, step: &Step, name: &str) -> Result<()> {
        let engine = &self.session.engine;
        let new = self.ids.borrow().get(name).cloned();
        match (new, step) {
            (Some(id), _) => self.start(&self.wanted(name)?, &id).await,
            (None, Step::Start { id, .. }) => self.start(&self.wanted(name)?, id).await,
            (None, Step::Resume { id, .. }) => Ok(engine.resume_container(id, name).await?),
            (None, Step::Restart { id, .. }) => {
                engine.stop_container(id, name).await?;
                Ok(engine.start_container(id, name).await?)
            }
            // It was not replaced, and runs.
            (None, _) => Ok(()),
        }
    }

    async fn fetch_key(&self) -> Result<()> {
        let layout = self.layout();
        let new = layout.containers.iter().find(|wanted| wanted.service == GATEWAY);
        let new = new.and_then(|wanted| self.ids.borrow().get(&wanted.name).cloned());
        match new.or_else(|| key::gateway_id(self.observed)) {
            Some(id) => key::fetch(self.session, &self.project.compose_file, &id).await,
            None => Ok(()),
        }
    }

    /// Waits until everything is ready.
    ///
    /// # Errors
    /// As [`await_ready`].
    pub(super) async fn await_ready(&self) -> Result<()> {
        let Self { session, port, .. } = *self;
        let begin = || Watch::begin(&session.engine, &session.project_name);
        let mut watch = self.watch.take().unwrap_or_else(begin);
        await_ready(session, &self.layout(), port, &mut watch, self.deadline.left()).await
    }

    /// Writes the record of what runs, and returns it. Without changes, it keeps the time of the last start.
    ///
    /// # Errors
    /// [`CliError::Io`] if it can't be written.
    pub(super) fn remember(&self, has_changed: bool) -> Result<ContainersRecord> {
        let environment = self.session.environment;
        let before = environment.containers()?;
        let record = ContainersRecord {
            address: ports::door(self.port, &self.layout().containers, self.observed),
            engine: self.session.engine.host().to_owned(),
            version: Program::this().version,
            started_at: match &before {
                Some(before) if !has_changed => before.started_at,
                _ => Timestamp::now(),
            },
        };
        environment.remember_containers(&record)?;
        Ok(record)
    }

    /// Starts a container; a first job is waited for.
    async fn start(&self, wanted: &WantedContainer, id: &str) -> Result<()> {
        if !wanted.is_first {
            return self.start_once(wanted, id).await;
        }
        for _ in 0..FIRST_JOB_TRIES_MAX {
            self.start_once(wanted, id).await?;
            if self.session.engine.wait_for_end(id, &wanted.name).await? == 0 {
                return Ok(());
            }
        }
        // The engine may have restarted it meanwhile.
        self.session.engine.stop_container(id, &wanted.name).await?;
        let code = self.session.engine.inspect_container(id).await?.exit_code;
        Err(CliError::ServiceFailed {
            name: self.session.environment.name().clone(),
            service: wanted.service.clone(),
            reason: format!("it ended with exit code {code}, {FIRST_JOB_TRIES_MAX} times"),
            last_lines: last_lines(&self.session.engine, id, &wanted.service).await,
        })
    }

    async fn start_once(&self, wanted: &WantedContainer, id: &str) -> Result<()> {
        let started = self.session.engine.start_container(id, &wanted.name).await;
        let Err(error) = started else { return Ok(()) };
        let port = wanted.what.ports.first().and_then(|port| port.published);
        match (port, is_about_a_port(&error)) {
            (Some(port), true) => Err(ports::taken(port, ports::holder(port, self.session).await)),
            _ if error.message().is_some() => Err(CliError::ServiceFailed {
                name: self.session.environment.name().clone(),
                service: wanted.service.clone(),
                reason: error.message().unwrap_or_default().to_owned(),
                last_lines: Vec::new(),
            }),
            _ => Err(error.into()),
        }
    }
}

fn is_about_a_port(error: &EngineError) -> bool {
    error.message().is_some_and(|message| {
        message.contains("port is already allocated") || message.contains("address already in use")
    })
}

/// Returns the error for a name that is taken by an object outside the environment.
fn of_others(kind: &str, name: &str) -> CliError {
    CliError::Failed {
        what: format!("there is a {kind} {name} that is not of this environment; it is left alone"),
        hint: "remove it or give it another name, or choose another `--name`".into(),
        source: None,
    }
}
