//! Brings an environment to its wanted state: observe, plan, and what carries the plan out.

use std::{cell::RefCell, collections::HashMap, net::SocketAddr, rc::Rc};

use super::{
    GATEWAY,
    apply::{Before, Containers},
    key,
    observed::{Observed, observe},
    plan::{Asked, Key, Planned, Step, plan},
    ports,
    project::{ComposeProject, source},
    ready::Watch,
    session::Session,
    wanted::Layout,
};
use crate::{
    config::Settings,
    error::{CliError, Result},
    images,
    plan::{Deadline, Execution, Plan},
    runtimes::{self, images::OURS},
    state::{Mark, write_record},
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
    /// Whether an empty environment gets recipes and stock.
    pub(super) seed: bool,
    /// How many orders are placed at the end.
    pub(super) orders: u32,
}

impl<'a> Goal<'a> {
    /// Returns the goal to bring some services to a state, and nothing else.
    pub(super) const fn of(settings: &'a Settings, services: Vec<String>) -> Self {
        let scope = Scope::Alone(services);
        Self { settings, scope, build: false, restart: false, seed: false, orders: 0 }
    }
}

/// What was observed, what is wanted, and the plan between them.
#[derive(Debug)]
pub(super) struct Draft {
    /// What the engine has.
    pub(super) observed: Observed,
    /// What all that is created bears.
    pub(super) mark: Mark,
    /// The compose file with the settings filled in.
    pub(super) project: ComposeProject,
    /// What the engine should have.
    pub(super) layout: Layout,
    /// The plan.
    pub(super) plan: Plan<Step>,
    /// The gateway's address.
    pub(super) port: SocketAddr,
    /// The engine's events since before the observation, so that none is missed.
    watch: RefCell<Option<Watch>>,
}

/// Observes and plans. Changes nothing.
///
/// # Errors
/// An error of the file, the engine, an image that can't be built or a port that is taken.
pub(super) async fn draft(goal: &Goal<'_>, session: &Session<'_>) -> Result<Draft> {
    let watch = RefCell::new(Some(Watch::begin(&session.engine, &session.project_name)));
    let source = source()?;
    let observed = observe(&session.engine, &session.project_name).await?;
    let mark = session.mark_of(observed.labels())?;
    let port = ports::choose(goal.settings.port, &observed, session).await?;
    let project =
        ComposeProject::read(source, session.environment, goal.settings, port, &goal.scope)?;
    project.warn_of_unset(session.output);
    let port = ports::address(port, goal.settings.port, &project.compose_file)?;
    let layout = project.layout(session, goal.settings, &observed.images);
    let key = match (key::is_in(&project.compose_file), session.environment.admin_key()) {
        (false, _) => Key::None,
        (true, Ok(_)) => Key::Known,
        (true, Err(_)) => Key::Unknown,
    };
    let Goal { build, restart, orders, .. } = *goal;
    let mut asked = Asked { build, restart, key, seed: false, orders: 0 };
    let is_unchanged = plan(&layout, &observed, &asked).plan.is_empty();
    let has_gateway = layout.containers.iter().any(|wanted| wanted.service == GATEWAY);
    asked.seed = goal.seed
        && has_gateway
        && !(is_unchanged
            && runtimes::is_empty(session.environment).await.is_ok_and(|empty| !empty));
    asked.orders = orders;
    let Planned { plan, warnings } = plan(&layout, &observed, &asked);
    warnings.iter().for_each(|warning| session.output.warn(format_args!("{warning}")));
    check_images(&plan)?;
    ports::check(&plan, &layout, &observed, session).await?;
    Ok(Draft { observed, mark, project, layout, plan, port, watch })
}

impl Draft {
    /// Returns what carries the plan out.
    pub(super) fn carrier<'d>(
        &'d self,
        goal: &'d Goal<'d>,
        session: &'d Session<'d>,
        deadline: &'d Deadline,
        before: Option<Before>,
    ) -> Containers<'d> {
        Containers {
            session,
            goal,
            project: &self.project,
            observed: &self.observed,
            mark: &self.mark,
            layout: RefCell::new(Rc::new(self.layout.clone())),
            port: self.port,
            watch: RefCell::new(self.watch.take()),
            ids: RefCell::new(HashMap::new()),
            deadline,
            before,
        }
    }
}

/// What brought services to their wanted state.
#[derive(Debug)]
pub(super) struct Converged {
    /// The plan that was carried out.
    pub(super) plan: Plan<Step>,
    /// Whether a container was created.
    pub(super) has_made: bool,
}

/// Brings services of an environment to their wanted state.
///
/// # Errors
/// The reason why it is not there; changes until then stay, and another try continues from there.
pub(super) async fn converge(
    goal: &Goal<'_>,
    session: &Session<'_>,
    deadline: &Deadline,
) -> Result<Converged> {
    let draft = draft(goal, session).await?;
    session.remember(&draft.mark).await?;
    let saved = draft.project.saved(goal.settings);
    write_record(&session.environment.settings_file(), &saved)?;
    let carrier = draft.carrier(goal, session, deadline, None);
    carrier.say(&draft.plan);
    let execution = Execution::of(&draft.plan);
    execution.run(&carrier, |_| true, deadline, session.output).await?;
    if draft.plan.is_empty() {
        carrier.remember(false)?;
    }
    let has_made = !carrier.ids.take().is_empty();
    drop(execution);
    Ok(Converged { plan: draft.plan, has_made })
}

/// Refuses a plan that needs an image that only `chefcito build` makes, or that can't be built here.
fn check_images(plan: &Plan<Step>) -> Result<()> {
    let mut lacking: Vec<&str> = plan
        .operations()
        .filter_map(|step| match step {
            Step::Pull { image } if image.starts_with(OURS) => Some(image.as_str()),
            _ => None,
        })
        .collect();
    lacking.sort_unstable();
    if lacking.is_empty() {
        let builds = plan.operations().any(|step| matches!(step, Step::Build { .. }));
        return if builds { images::require_checkout() } else { Ok(()) };
    }
    Err(CliError::Lacking {
        what: format!("the engine lacks images: {}", lacking.join(", ")),
        hint: "make them with `chefcito build` in a checkout of Chefcito, or load them with `docker load`"
            .into(),
    })
}
