//! The way from what there is to what should be there: look, plan, carry out, wait.

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

/// Which services a command is about.
#[derive(Clone, Debug)]
pub(super) enum Scope {
    /// All of them; what there is beside them is too much.
    All,
    /// These, and what they need.
    WithNeeds(Vec<String>),
    /// These alone.
    Alone(Vec<String>),
}

/// What should be, and how to get there.
#[derive(Clone, Debug)]
pub(super) struct Goal<'a> {
    /// What it is started with.
    pub(super) settings: &'a Settings,
    /// The services to bring there.
    pub(super) scope: Scope,
    /// Whether their images are built first.
    pub(super) build: bool,
    /// Whether what is as it should be is started again.
    pub(super) restart: bool,
    /// How long it may take to be ready.
    pub(super) timeout: Duration,
}

/// An environment as it is, and as it should be.
#[derive(Debug)]
pub(super) struct Draft {
    /// What there is.
    pub(super) observed: Observed,
    /// What the file says.
    pub(super) project: ComposeProject,
    /// What there should be.
    pub(super) layout: Layout,
    /// What is to be done.
    pub(super) plan: Plan,
    /// The gateway's port.
    pub(super) port: u16,
}

/// What was done.
#[derive(Debug)]
pub(super) struct Converged {
    /// The steps.
    pub(super) plan: Plan,
    /// What there is now.
    pub(super) layout: Layout,
    /// Where it is.
    pub(super) record: ContainersRecord,
    /// How long it took.
    pub(super) took: Duration,
}

/// Looks, and plans.
///
/// # Errors
/// What keeps it from being planned: the file, the engine, a port.
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

/// Brings an environment to where it should be. `before` is called with what there is, when everything has been checked and
/// nothing has been done yet.
///
/// # Errors
/// Whatever keeps it from there; what was done by then stays done, and another try goes on from there.
pub(super) async fn converge(
    goal: &Goal<'_>,
    session: &Session<'_>,
    before: impl FnOnce(&Observed) -> Result<()>,
) -> Result<Converged> {
    let since = Instant::now();
    // Before the first look, so that nothing falls in between.
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

/// Refuses to go on without an image that only `chefcito build` makes.
fn check_images(plan: &Plan) -> Result<()> {
    let lacking: Vec<&str> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Fetch { image } if image.starts_with(OURS) => Some(image.as_str()),
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

/// Writes down where the environment is. What runs unchanged keeps its time.
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
