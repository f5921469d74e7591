//! Brings an environment to its wanted state: observe, plan, apply, wait.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use contracts::Timestamp;

use super::{
    GATEWAY,
    apply::Applying,
    key,
    observed::{Observed, observe},
    plan::{Plan, Step, plan},
    ports,
    project::{ComposeProject, source},
    ready::{Watch, await_ready},
    session::Session,
    wanted::Layout,
};
use crate::{
    compose_file::Service,
    config::Settings,
    error::{CliError, Result},
    images,
    runtimes::{
        Program,
        images::{OURS, built_here},
    },
    state::{ContainersRecord, write_json},
};

/// The services that a command is about.
#[derive(Clone, Debug)]
pub(super) enum Scope {
    /// All services; other containers of the environment are removed.
    All,
    /// These services, and those that they need.
    WithNeeds(Vec<String>),
    /// Only these services.
    Alone(Vec<String>),
}

/// The wanted state, and how to reach it.
#[derive(Clone, Debug)]
pub(super) struct Goal<'a> {
    /// The settings of the environment.
    pub(super) settings: &'a Settings,
    /// The services to bring there.
    pub(super) scope: Scope,
    /// Whether to build their images first.
    pub(super) build: bool,
    /// Whether to restart services without changes, too.
    pub(super) restart: bool,
    /// How long they may take to become ready.
    pub(super) timeout: Duration,
}

/// What was observed, what is wanted, and the plan between them.
#[derive(Debug)]
pub(super) struct Draft {
    /// What the engine has.
    pub(super) observed: Observed,
    /// The compose file with the settings filled in.
    pub(super) project: ComposeProject,
    /// What the engine should have.
    pub(super) layout: Layout,
    /// The steps.
    pub(super) plan: Plan,
    /// The gateway's port.
    pub(super) port: u16,
}

/// The result of converging.
#[derive(Debug)]
pub(super) struct Converged {
    /// The steps.
    pub(super) plan: Plan,
    /// The layout that the engine has now.
    pub(super) layout: Layout,
    /// The record in the state folder.
    pub(super) record: ContainersRecord,
    /// How long it took.
    pub(super) took: Duration,
}

/// Observes and plans.
///
/// # Errors
/// An error of the file, the engine or a port.
pub(super) async fn draft(goal: &Goal<'_>, session: &Session<'_>) -> Result<Draft> {
    let source = source()?;
    let observed = observe(&session.engine, &session.project_name).await?;
    let port = ports::choose(goal.settings.port, &observed, session).await?;
    let project =
        ComposeProject::read(source, session.environment, goal.settings, port, &goal.scope)?;
    let layout = project.layout(session, goal.settings, &observed.images);
    let mut plan = plan(&layout, &observed);
    if goal.restart {
        plan.restart_all(&layout, &observed);
    }
    Ok(Draft { observed, project, layout, plan, port })
}

/// Brings an environment to its wanted state. Calls `before` once everything is checked, before the first change.
///
/// # Errors
/// The reason why it is not there; changes until then stay, and another try continues from there.
pub(super) async fn converge(
    goal: &Goal<'_>,
    session: &Session<'_>,
    before: impl FnOnce(&Observed) -> Result<()>,
) -> Result<Converged> {
    let since = Instant::now();
    // Watch before the first observation, so that no event is missed.
    let mut watch = Watch::begin(&session.engine, &session.project_name);
    let mut draft = draft(goal, session).await?;
    draft.project.warn_of_unset(session.output);
    draft.build(goal, session).await?;
    let Draft { observed, project, layout, plan, port } = draft;
    plan.warnings.iter().for_each(|warning| session.output.warn(format_args!("{warning}")));
    check_images(&plan)?;
    ports::check(&plan, &layout, &observed, session).await?;
    before(&observed)?;
    write_json(&session.environment.settings_file(), goal.settings)?;
    let ids = Applying { session, layout: &layout }.carry_out(&plan).await?;
    let gateway = ids.get(GATEWAY).cloned().or_else(|| key::gateway_id(&observed));
    if let Some(gateway) = gateway
        && (ids.contains_key(GATEWAY) || session.environment.admin_key().is_err())
    {
        key::fetch(session, &project.compose_file, &gateway).await?;
    }
    let record = remember(ports::door(port, &layout.containers, &observed), &plan, session)?;
    if !plan.steps.is_empty() || goal.restart || matches!(goal.scope, Scope::All) {
        await_ready(session, &layout, port, &mut watch, goal.timeout).await?;
    }
    Ok(Converged { plan, layout, record, took: since.elapsed() })
}

impl Draft {
    /// Builds the images that are missing, or those of all services in scope, and plans again.
    async fn build(&mut self, goal: &Goal<'_>, session: &Session<'_>) -> Result<()> {
        let is_lacking =
            |service: &Service| self.observed.images.deployed(&service.image).id.is_none();
        let in_scope = self.layout.containers.iter().map(|wanted| &wanted.service);
        let in_scope = in_scope.filter_map(|name| self.project.compose_file.services.get(name));
        let ours: BTreeSet<String> = in_scope
            .filter(|service| goal.build || is_lacking(service))
            .filter_map(|service| built_here(&service.image).map(ToOwned::to_owned))
            .collect();
        if ours.is_empty() {
            return Ok(());
        }
        let ours: Vec<String> = ours.into_iter().collect();
        images::build_missing_or_all(&session.engine, &ours, goal.build, session.output).await?;
        self.observed = observe(&session.engine, &session.project_name).await?;
        self.layout = self.project.layout(session, goal.settings, &self.observed.images);
        self.plan = plan(&self.layout, &self.observed);
        if goal.restart {
            self.plan.restart_all(&self.layout, &self.observed);
        }
        Ok(())
    }
}

/// Refuses a plan that needs an image that only `chefcito build` makes.
fn check_images(plan: &Plan) -> Result<()> {
    let lacking: Vec<&str> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Pull { image } if image.starts_with(OURS) => Some(image.as_str()),
            _ => None,
        })
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    Err(CliError::Lacking {
        what: format!("the engine lacks images: {}", lacking.join(", ")),
        hint: "make them with `chefcito build` in a checkout of Chefcito, or load them with `docker load`"
            .into(),
    })
}

/// Writes the record. Without changes, it keeps the time of the last start.
fn remember(
    address: Option<SocketAddr>,
    plan: &Plan,
    session: &Session<'_>,
) -> Result<ContainersRecord> {
    let before = session.environment.containers()?;
    let record = ContainersRecord {
        address,
        engine: session.engine.host().to_owned(),
        version: Program::this().version,
        started_at: match &before {
            Some(before) if plan.steps.is_empty() => before.started_at,
            _ => Timestamp::now(),
        },
    };
    session.environment.remember_containers(&record)?;
    Ok(record)
}
