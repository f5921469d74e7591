//! `up`, `up --dry-run`.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    rc::Rc,
    time::{Duration, Instant},
};

use cluster::objects::{Id, Object};
use contracts::Timestamp;
use tokio::{sync::Mutex, time::sleep};

use super::{
    apply::{Applying, Progress},
    forwarder,
    images::{Delivery, Loads},
    labels, local,
    made::{Made, SLOW},
    plan::{Step, add_steps, steps},
    reach::{await_answer, choose_port, record},
    retries::add_retries,
    rollout::Rollout,
    secrets,
    session::Session,
    wanted::Wanted as WantedObjects,
};
use crate::{
    commands::{self, board::link, order, seed},
    config::{PORT_DEFAULT, Settings},
    error::{CliError, Result},
    images::Contents,
    output::Output,
    plan::{self, Carrier, Deadline, Execution, Operation, Plan},
    process,
    progress::Waiting,
    runtimes::{self, Held, Wanted},
    signals::Signals,
    state::{ClusterRecord, Environment, Mark, write_record},
};

/// How long the removal of a former namespace of that name may take.
const GOING_WAIT_MAX: Duration = Duration::from_secs(60);
/// How often that is checked.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Returns the runtime and its cluster, for a status line.
fn describe(session: &Session<'_>) -> String {
    format!("kubernetes: namespace {} of {}", session.namespace, session.cluster.context())
}

/// An `up`, and what carries its operations out.
struct Up<'a> {
    wanted: &'a Wanted,
    settings: &'a Settings,
    environment: &'a Environment,
    output: &'a Output,
    deadline: &'a Deadline,
    delivery: Delivery<'a>,
    /// Whether the images that the user wants to have built are built.
    has_built: RefCell<bool>,
    made: Mutex<Made>,
    /// The namespace as observed and wanted, once there is nothing to create, build or push before.
    stage: RefCell<Option<Rc<Stage<'a>>>>,
}

/// What is observed and wanted in the namespace.
struct Stage<'a> {
    session: Session<'a>,
    observed: Vec<Object>,
    objects: WantedObjects,
    loads: Loads,
    record: ClusterRecord,
    mark: Mark,
    progress: Progress,
}

/// A plan, and the namespace that it is about; without one, the plan creates, builds or pushes what the next one needs.
struct Draft<'a> {
    plan: Plan<Step>,
    stage: Option<Stage<'a>>,
}

impl<'a> Up<'a> {
    async fn of(
        wanted: &'a Wanted,
        settings: &'a Settings,
        deadline: &'a Deadline,
        environment: &'a Environment,
        output: &'a Output,
    ) -> Self {
        let delivery = Delivery::open(settings.cluster.push.as_deref(), output).await;
        Self {
            wanted,
            settings,
            environment,
            output,
            deadline,
            delivery,
            has_built: RefCell::new(false),
            made: Mutex::default(),
            stage: RefCell::new(None),
        }
    }

    /// Observes and plans. Changes nothing, except that it keeps the secrets if `keep` is set.
    async fn draft(&self, found: Option<Session<'a>>, keep: bool) -> Result<Draft<'a>> {
        let mut plan = Plan::default();
        if found.is_none() {
            plan.add(Step::CreateCluster { cluster: local::CLUSTER }, []);
        }
        let always = self.wanted.build && !*self.has_built.borrow();
        let services = self.delivery.to_build(&self.wanted.services, always).await?;
        let mut contents = self.delivery.contents().await?;
        if !services.is_empty() {
            plan.add(Step::Build { services }, []);
        } else if let Some(push) = self.delivery.to_push(&mut contents).await? {
            plan.add(push, []);
        }
        let Some(session) = found.filter(|_| plan.is_empty()) else {
            plan.add_after_all(Step::Rest { namespace: self.environment.name().to_string() });
            self.add_end(&mut plan, true);
            return Ok(Draft { plan, stage: None });
        };
        let stage = self.deadline.bound(self.stage(session, &mut plan, &contents, keep), SLOW);
        let stage = stage.await?;
        let is_not_empty =
            plan.is_empty() && runtimes::is_empty(self.environment).await.is_ok_and(|empty| !empty);
        if !plan.is_empty() {
            plan.add_after_all(Step::AwaitReady);
        }
        self.add_end(&mut plan, !is_not_empty);
        Ok(Draft { plan, stage: Some(stage) })
    }

    /// Adds what comes when everything is ready.
    fn add_end(&self, plan: &mut Plan<Step>, seeds: bool) {
        if self.wanted.seed && seeds {
            plan.add_after_all(Step::SeedIfEmpty);
        }
        if self.wanted.orders > 0 {
            plan.add_after_all(Step::Order { count: self.wanted.orders });
        }
    }

    /// Observes the namespace, and plans what to load and to change.
    async fn stage(
        &self,
        session: Session<'a>,
        plan: &mut Plan<Step>,
        contents: &Contents,
        keep: bool,
    ) -> Result<Stage<'a>> {
        if keep {
            await_gone(&session).await?;
        }
        let mut observed = session.observe().await?;
        let namespace = session.cluster.namespace(&session.namespace).await?;
        let is_shared =
            namespace.as_ref().is_some_and(|one| one.label(labels::ENVIRONMENT).is_none());
        observed.extend(namespace.filter(|_| !is_shared));
        let mark = session.mark(&observed)?;
        let secrets = match keep {
            true => secrets::of(&session, &observed)?,
            false => secrets::to_look(&session, &observed)?,
        };
        let mut objects = session.wanted(self.settings, &secrets, contents, &mark)?;
        if is_shared {
            session.output.detail(format_args!(
                "Using the namespace {}, which another program created; it stays as it is",
                session.namespace
            ));
            objects.retain(|object| !object.is_of_cluster());
        }
        let forecasts = self.applying(&session).forecasts(&objects, &observed).await?;
        let loads = self.delivery.lacking(&objects, session.cluster.maker()).await?;
        let images: Vec<String> = loads.names().into_iter().map(ToOwned::to_owned).collect();
        let mut steps = steps(&objects, &observed, &forecasts);
        let restarts = loads.restarts(&objects, &observed, &steps);
        steps.extend(restarts);
        add_retries(&session, &objects, &observed, &mut steps).await?;
        refuse_others(&session, &objects, &steps).await?;
        let mapped = local::mapped_port(&session).await;
        let port = choose_port(self.settings, self.environment, mapped)?;
        let mut record = record(&session, port, mapped != Some(port))?;
        // One of an environment that did not exist leads to a former cluster, even if the address is the same.
        if record.is_forwarded
            && (observed.is_empty() || !forwarder::leads_to(self.environment, &record)?)
        {
            // Before there are pods: a port that is free now may be taken in a minute.
            plan.add(Step::Forward { port }, []);
        }
        let loads_any = !images.is_empty();
        if loads_any {
            plan.add(Step::Load { images }, []);
        }
        if loads_any || !steps.is_empty() {
            add_steps(plan, steps, &objects);
            record.started_at = Timestamp::now();
        }
        let progress = Progress::default();
        Ok(Stage { session, observed, objects, loads, record, mark, progress })
    }

    const fn applying<'s>(&self, session: &'s Session<'a>) -> Applying<'s> {
        Applying { force: self.wanted.force_conflicts, ..session.applying() }
    }

    /// Returns the namespace, which operations on it need.
    fn staged(&self) -> Result<Rc<Stage<'a>>> {
        let stage = self.stage.borrow().clone();
        stage.ok_or_else(|| CliError::failed("the namespace has not been observed yet"))
    }

    /// Brings the environment up; returns the plan, and whether nothing had to change.
    async fn bring_up(&self) -> Result<(Plan<Step>, bool)> {
        let Self { environment, output, settings, deadline, .. } = *self;
        loop {
            let found =
                self.made.lock().await.find(settings, deadline, environment, output).await?;
            let Draft { plan, stage } = self.draft(found, true).await?;
            let execution = Execution::of(&plan);
            let Some(stage) = stage else {
                execution.run(self, Step::is_large, deadline, output).await?;
                continue;
            };
            self.settle(stage, &plan).await?;
            execution
                .run(self, |step| !matches!(step, Step::Order { .. }), deadline, output)
                .await?;
            if !plan.operations().any(|step| *step == Step::AwaitReady) {
                // It was as it should be a while ago.
                self.await_answer().await?;
            }
            // The environment is complete: from here on, a signal undoes nothing.
            *self.made.lock().await = Made::default();
            let unchanged = !plan.operations().any(Step::is_change);
            return Ok((plan, unchanged));
        }
    }

    /// Saves where the environment is, before the first change.
    async fn settle(&self, stage: Stage<'a>, plan: &Plan<Step>) -> Result<()> {
        let Self { environment, .. } = *self;
        let mut made = self.made.lock().await;
        made.written_over = Some(environment.last_settings()?);
        // Our namespace may hold data, even without any other object.
        made.all = stage.observed.is_empty();
        write_record(&environment.settings_file(), self.settings)?;
        environment.remember_identity(&stage.mark, None)?;
        environment.remember_cluster(&stage.record)?;
        if !stage.record.is_forwarded || made.all {
            forwarder::end(environment).await?;
        }
        if plan.operations().any(Step::is_change) {
            self.delivery.warn_of_unseen(&stage.loads);
        }
        *self.stage.borrow_mut() = Some(Rc::new(stage));
        Ok(())
    }

    /// Leaves nothing of a first `up` that failed before it made anything; else the next one continues from what the
    /// cluster has.
    async fn tidy_after_failure(&self) {
        let Self { environment, output, .. } = *self;
        let mut made = self.made.lock().await;
        let ended = match made.has_anything(environment, output).await {
            true if made.all => forwarder::end(environment).await,
            true => Ok(()),
            false => made.undo(self.settings, environment, output).await,
        };
        if let Err(error) = ended {
            output.warn(format_args!(
                "not everything that this command made could be removed: {error}"
            ));
        }
    }

    async fn await_answer(&self) -> Result<()> {
        let port = self.staged()?.record.port;
        let (since, limit) = (self.deadline.since(), self.deadline.limit());
        await_answer(self.environment, port, since, limit, self.output).await
    }
}

impl Carrier for Up<'_> {
    type Operation = Step;

    async fn execute(&self, step: &Step, _shown: &Waiting) -> Result<()> {
        let Self { environment, output, settings, deadline, .. } = *self;
        match step {
            Step::CreateCluster { .. } => {
                let mut made = self.made.lock().await;
                made.make_cluster(settings, deadline, environment, output).await
            }
            Step::Build { services } => {
                self.delivery.build(services, self.wanted.build).await?;
                *self.has_built.borrow_mut() = true;
                Ok(())
            }
            Step::Push { .. } => self.delivery.push().await,
            // The command plans again.
            Step::Rest { .. } => Ok(()),
            Step::Load { .. } => self.delivery.load(&self.staged()?.loads).await,
            Step::Forward { .. } => forwarder::ensure(environment, &self.staged()?.record).await,
            Step::AwaitPods => {
                let stage = self.staged()?;
                let rollout = Rollout {
                    cluster: &stage.session.cluster,
                    namespace: &stage.session.namespace,
                    output,
                    since: deadline.since(),
                    wait_max: deadline.limit(),
                };
                rollout.wait(&stage.objects).await
            }
            Step::AwaitReady => self.await_answer().await,
            Step::SeedIfEmpty if runtimes::is_empty(environment).await? => {
                seed::seed_built_in(environment, output).await
            }
            Step::SeedIfEmpty => Ok(()),
            Step::Order { count } => order::place_and_follow(*count, environment, output).await,
            step => {
                let stage = self.staged()?;
                let applying = self.applying(&stage.session);
                applying.carry_out(step, &stage.objects, &stage.observed, &stage.progress).await
            }
        }
    }

    async fn undo(&self, _begun: Vec<&Step>) -> Result<()> {
        self.made.lock().await.undo(self.settings, self.environment, self.output).await
    }
}

/// Prints the operations of [`up`].
///
/// # Errors
/// As [`up`], as far as they are known before.
pub(crate) async fn dry_run(
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let settings = wanted.as_of_now(environment)?.settings;
    let deadline = wanted.deadline();
    let found = Session::find(&settings, environment, output, wanted.timeout).await?;
    let up = Up::of(wanted, &settings, &deadline, environment, output).await;
    let draft = up.draft(found, false).await?;
    runtimes::print(&draft.plan, wanted, environment, output)
}

/// Brings the environment up. A signal undoes the first `up` of an environment; after that of a later one, the next
/// `up` continues.
///
/// # Errors
/// The reason why it is not up.
pub(crate) async fn up(
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let began = Instant::now();
    let mut held = Held::new(environment);
    let deadline = wanted.deadline();
    let begun = async {
        held.take(output).await?;
        Ok(wanted.as_of_now(environment)?.settings)
    };
    let begun = signals.or(begun).await;
    let settings = held.or_forget(begun)?;
    let up = Up::of(wanted, &settings, &deadline, environment, output).await;
    let brought_up = signals.or(up.bring_up()).await;
    let brought_up = match brought_up {
        Err(error) if !error.is_signal() => {
            up.tidy_after_failure().await;
            Err(error)
        }
        result => plan::undo_after_signal(result, up.undo(Vec::new()), signals, output).await,
    };
    let (plan, unchanged) = held.or_forget(brought_up)?;
    held.release();
    report(wanted, &*up.staged()?, unchanged, began.elapsed(), output)?;
    link::print_after_up(environment, output, signals).await?;
    let is_order = |step: &Step| matches!(step, Step::Order { .. });
    for order in plan.operations().filter(|step| is_order(step)) {
        signals.or(up.execute(order, &Waiting::none())).await?;
    }
    if !wanted.foreground {
        return Ok(());
    }
    let shown = signals.or(commands::logs::follow_containers(environment, output)).await;
    if shown.as_ref().is_err_and(CliError::is_signal) {
        signals.or(super::stop(environment, output)).await?;
    }
    shown
}

/// Waits for the removal of a former namespace of that name.
async fn await_gone(session: &Session<'_>) -> Result<()> {
    let since = Instant::now();
    let shown = Waiting::new(session.output, "Waiting until the former namespace is gone");
    while let Some(namespace) = session.cluster.namespace(&session.namespace).await? {
        if !namespace.is_terminating() {
            break;
        }
        if since.elapsed() >= GOING_WAIT_MAX {
            return Err(CliError::Failed {
                what: format!(
                    "the namespace {} is being removed, and still exists after {}",
                    session.namespace,
                    humantime::format_duration(GOING_WAIT_MAX)
                ),
                hint: format!(
                    "`{} describe namespace {}` shows the cause; or choose another `--name`",
                    session.cluster.target().kubectl(),
                    session.namespace
                ),
                source: None,
            });
        }
        sleep(LOOK_EVERY).await;
    }
    drop(shown);
    Ok(())
}

/// Refuses to overwrite objects of other programs that have wanted names.
async fn refuse_others(
    session: &Session<'_>,
    wanted: &WantedObjects,
    steps: &[Step],
) -> Result<()> {
    let news: BTreeSet<&Id> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Create { id } => Some(id),
            _ => None,
        })
        .collect();
    let news = wanted.objects().filter(|object| news.contains(&object.id()));
    let looks = news.map(|object| session.cluster.read(object, &session.namespace));
    let found = futures_util::future::try_join_all(looks).await?;
    let ids: Vec<String> = found.into_iter().flatten().map(|one| one.id().to_string()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    Err(CliError::Failed {
        what: format!(
            "the namespace {} has other objects with the wanted names: {}",
            session.namespace,
            ids.join(", ")
        ),
        hint: "choose another `--name`, which is another namespace, or remove them".into(),
        source: None,
    })
}

fn report(
    wanted: &Wanted,
    stage: &Stage<'_>,
    unchanged: bool,
    took: Duration,
    output: &Output,
) -> Result<()> {
    let Stage { session, record, .. } = stage;
    let port = record.port;
    if !unchanged && wanted.settings.port.is_none() && port != PORT_DEFAULT {
        let holder = process::port_holder(PORT_DEFAULT).map(|holder| format!(" by {holder}"));
        output.status(format_args!(
            "Port {PORT_DEFAULT} was taken{}; this environment has port {port}",
            holder.unwrap_or_default()
        ));
    }
    match unchanged {
        true => {
            output.status(format_args!("Already up ({}), nothing to change", describe(session)));
        }
        false => {
            output.status(format_args!("Up in {} ms ({})", took.as_millis(), describe(session)));
        }
    }
    runtimes::print_others(wanted.settings.runtime, output);
    output.data(format_args!("http://127.0.0.1:{port}"))
}
