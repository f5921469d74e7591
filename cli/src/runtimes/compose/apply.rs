//! Applies a plan, with independent steps at the same time.

use std::collections::HashMap;

use futures_util::future::{join_all, try_join, try_join_all};

use super::{
    last_lines::last_lines,
    plan::{Plan, Step},
    ports,
    session::Session,
    wanted::{Layout, WantedContainer},
};
use crate::{
    docker::{errors::EngineError, making::NewContainer},
    error::{CliError, Result},
    progress::Waiting,
};

/// How often a first job may fail before the plan is given up.
const FIRST_JOB_TRIES_MAX: u32 = 3;

/// A plan that is being applied.
#[derive(Debug)]
pub(super) struct Applying<'a> {
    /// The session on the engine.
    pub(super) session: &'a Session<'a>,
    /// The layout that the plan leads to.
    pub(super) layout: &'a Layout,
}

impl Applying<'_> {
    /// Applies all steps except the wait, and returns the ids of the new containers by name; that of the gateway also
    /// by its service.
    ///
    /// # Errors
    /// The engine's refusal; the steps until then stay, and another try continues from there.
    pub(super) async fn carry_out(&self, plan: &Plan) -> Result<HashMap<String, String>> {
        self.say(plan);
        self.pull(plan).await?;
        let _waiting =
            Waiting::new(self.session.output, "Creating networks, volumes and containers");
        try_join(self.remove(plan), self.create_volumes(plan)).await?;
        self.renew_networks(plan).await?;
        let created = self.create(plan).await?;
        let mut to_start = Vec::new();
        for (wanted, id) in self.startable(plan, &created) {
            match wanted {
                Some(wanted) if wanted.is_first => self.run_first(wanted, &id).await?,
                _ => to_start.push((wanted, id)),
            }
        }
        let resumes = plan.steps.iter().filter_map(|step| match step {
            Step::Resume { id, name } => Some(self.session.engine.resume_container(id, name)),
            _ => None,
        });
        try_join_all(resumes).await?;
        let restarts = plan.steps.iter().filter_map(|step| match step {
            Step::Restart { id, name } => Some((id, name)),
            _ => None,
        });
        let restarts = restarts.map(async |(id, name)| {
            self.session.engine.stop_container(id, name).await?;
            self.session.engine.start_container(id, name).await
        });
        try_join_all(restarts).await?;
        // Start all of them even if one fails, and return the first error.
        let starts = to_start.iter().map(|(wanted, id)| self.start(*wanted, id));
        join_all(starts).await.into_iter().collect::<Result<()>>()?;
        Ok(created)
    }

    fn say(&self, plan: &Plan) {
        let output = self.session.output;
        let mut count = HashMap::new();
        for step in &plan.steps {
            match step {
                Step::Create { .. } => *count.entry("container").or_insert(0) += 1,
                Step::CreateNetwork { .. } => *count.entry("network").or_insert(0) += 1,
                Step::CreateVolume { .. } => *count.entry("volume").or_insert(0) += 1,
                Step::Pull { .. } | Step::AwaitReady => {}
                step => {
                    output.status(format_args!("{}", capitalized(&step.to_string())));
                    continue;
                }
            }
            output.detail(format_args!("{step}"));
        }
        let things: Vec<String> = ["network", "volume", "container"]
            .into_iter()
            .filter_map(|kind| count.get(kind).map(|count: &u32| (kind, *count)))
            .map(|(kind, count)| format!("{count} {kind}{}", if count == 1 { "" } else { "s" }))
            .collect();
        if !things.is_empty() {
            output.status(format_args!("Creating {}", things.join(", ")));
        }
    }

    async fn pull(&self, plan: &Plan) -> Result<()> {
        let images = plan.steps.iter().filter_map(|step| match step {
            Step::Pull { image } => Some(image),
            _ => None,
        });
        let pulls = images.map(async |image| {
            self.session.output.status(format_args!("Pulling the image {image}"));
            let waiting = Waiting::new(self.session.output, format_args!("Pulling {image}"));
            let pulled = self.session.engine.pull(image, |done, all| {
                waiting.say(format_args!("Pulling {image}: {} of {} MiB", done >> 20, all >> 20));
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
        });
        try_join_all(pulls).await.map(drop)
    }

    async fn remove(&self, plan: &Plan) -> Result<()> {
        let removals = plan.steps.iter().filter_map(|step| match step {
            Step::Remove { id, name, .. } | Step::Replace { id, name, .. } => Some((id, name)),
            _ => None,
        });
        let removals = removals.map(async |(id, name)| {
            self.session.engine.stop_container(id, name).await?;
            self.session.engine.remove_container(id).await
        });
        Ok(try_join_all(removals).await.map(drop)?)
    }

    async fn renew_networks(&self, plan: &Plan) -> Result<()> {
        for step in &plan.steps {
            if let Step::RemoveNetwork { name, .. } = step {
                for network in self.session.engine.networks_named(name).await? {
                    super::down::remove_network(self.session, &network).await?;
                }
            }
        }
        let is_new = |name: &String| {
            plan.steps
                .iter()
                .any(|step| matches!(step, Step::CreateNetwork { name: new } if new == name))
        };
        let new = self.layout.networks.iter().filter(|network| is_new(&network.name));
        let creations = new.map(async |network| {
            if !self.session.engine.networks_named(&network.name).await?.is_empty() {
                return Err(of_others("network", &network.name));
            }
            let labels = network.labels.clone();
            Ok(self.session.engine.create_network(&network.name, &network.what, labels).await?)
        });
        try_join_all(creations).await.map(drop)
    }

    async fn create_volumes(&self, plan: &Plan) -> Result<()> {
        let is_new = |name: &String| {
            plan.steps
                .iter()
                .any(|step| matches!(step, Step::CreateVolume { name: new } if new == name))
        };
        let new = self.layout.volumes.iter().filter(|volume| is_new(&volume.name));
        let creations = new.map(async |volume| {
            // The engine would return an existing volume of that name, of any origin.
            if self.session.engine.volume_named(&volume.name).await?.is_some() {
                return Err(of_others("volume", &volume.name));
            }
            let labels = volume.labels.clone();
            Ok(self.session.engine.create_volume(&volume.name, &volume.what, labels).await?)
        });
        try_join_all(creations).await.map(drop)
    }

    /// Creates all containers of the plan at the same time, and returns their ids by name.
    async fn create(&self, plan: &Plan) -> Result<HashMap<String, String>> {
        let is_made = |name: &String| {
            plan.steps.iter().any(|step| match step {
                Step::Create { name: made } | Step::Replace { name: made, .. } => made == name,
                _ => false,
            })
        };
        let prefix = format!("{}_", self.session.project_name);
        let made = self.layout.containers.iter().filter(|container| is_made(&container.name));
        let creations = made.map(async |wanted| {
            let new = NewContainer {
                name: &wanted.name,
                service: &wanted.what,
                labels: wanted.labels.clone(),
                networks: wanted.networks.clone(),
                volume_prefix: &prefix,
            };
            let id = self.session.engine.create_container(&new).await.map_err(|error| {
                if error.is_conflict() {
                    of_others("container", &wanted.name)
                } else {
                    error.into()
                }
            })?;
            Ok::<_, CliError>((wanted, id))
        });
        let created = try_join_all(creations).await?;
        let mut ids: HashMap<String, String> =
            created.iter().map(|(wanted, id)| (wanted.name.clone(), id.clone())).collect();
        // There is only one gateway, so its service is a unique key.
        let gateway = created.iter().find(|(wanted, _)| wanted.service == super::GATEWAY);
        ids.extend(gateway.map(|(_, id)| (super::GATEWAY.to_owned(), id.clone())));
        Ok(ids)
    }

    /// Returns the containers to start, first jobs first.
    fn startable(
        &self,
        plan: &Plan,
        created: &HashMap<String, String>,
    ) -> Vec<(Option<&WantedContainer>, String)> {
        let started = |name: &String| {
            plan.steps.iter().find_map(|step| match step {
                Step::Start { id, name: starting, .. } if starting == name => Some(id.clone()),
                _ => None,
            })
        };
        let id = |name: &String| created.get(name).cloned().or_else(|| started(name));
        let containers = self.layout.containers.iter();
        containers.filter_map(|wanted| Some((Some(wanted), id(&wanted.name)?))).collect()
    }

    /// Runs a first job to its end.
    async fn run_first(&self, wanted: &WantedContainer, id: &str) -> Result<()> {
        for _ in 0..FIRST_JOB_TRIES_MAX {
            self.start(Some(wanted), id).await?;
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

    async fn start(&self, wanted: Option<&WantedContainer>, id: &str) -> Result<()> {
        let name = wanted.map_or(id, |wanted| &wanted.name);
        let Err(error) = self.session.engine.start_container(id, name).await else { return Ok(()) };
        let port = wanted.and_then(|wanted| wanted.what.ports.first()?.published);
        match (port, is_about_a_port(&error)) {
            (Some(port), true) => Err(ports::taken(port, ports::holder(port, self.session).await)),
            _ if error.message().is_some() => Err(CliError::ServiceFailed {
                name: self.session.environment.name().clone(),
                service: wanted.map_or_else(|| name.to_owned(), |wanted| wanted.service.clone()),
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

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
