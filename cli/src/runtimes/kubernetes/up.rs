//! `up`, `up --dry-run`.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    apply::Applying,
    forwarder,
    images::{Delivery, Loads},
    labels, local,
    plan::{Step, plan},
    reach::{await_answer, choose_port, remember},
    retries::add_retries,
    rollout::Rollout,
    secrets,
    session::Session,
    undo_log::UndoLog,
    wanted::Wanted as WantedObjects,
};
use crate::{
    commands::{self, order, seed},
    config::{PORT_DEFAULT, Settings},
    error::{CliError, Result},
    images::Contents,
    kubernetes::objects::{Id, Object},
    output::Output,
    process,
    progress::Waiting,
    runtimes::{self, ChangeLock, Wanted, embedded},
    signals::Signals,
    state::{ClusterRecord, Environment, write_json},
};

/// How long the removal of a former namespace of that name may take.
const GOING_WAIT_MAX: Duration = Duration::from_secs(60);
/// How often that is checked.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Returns the runtime and its cluster, for a status line.
fn describe(session: &Session<'_>) -> String {
    format!("kubernetes: namespace {} of {}", session.namespace, session.cluster.context())
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
    let undo_log = UndoLog { state: !environment.folder().exists(), ..UndoLog::default() };
    let work = async |undo_log: &mut UndoLog| match bring_up(wanted, environment, output, undo_log)
        .await
    {
        // A failed first `up` leaves no state, unless the cluster may have something.
        Err(error)
            if undo_log.state && !undo_log.cluster && environment.last_settings()?.is_none() =>
        {
            embedded::forget_all(environment)?;
            Err(error)
        }
        result => result,
    };
    let undo = async |undo_log: UndoLog| undo_log.undo(wanted, environment, output).await;
    signals.or_undo(undo_log, work, undo).await?;
    if !wanted.foreground {
        return Ok(());
    }
    let shown = signals.or(commands::logs::follow_containers(environment, output)).await;
    if shown.as_ref().is_err_and(CliError::is_signal) {
        signals.or(super::stop(environment, output)).await?;
    }
    shown
}

/// Returns the wanted settings, with the scaling of before; unless given, the cluster is the one that the environment
/// is on or has its data on since the last `down`.
fn settings(wanted: &Wanted, environment: &Environment) -> Result<Settings> {
    runtimes::refuse_another(wanted.settings.runtime, environment)?;
    let mut settings = wanted.settings.clone();
    if let Some(last) = environment.last_settings()? {
        let asked = std::mem::replace(&mut settings.replicas, last.replicas);
        settings.replicas.extend(asked);
    }
    if let Some(former) = environment.former_settings()? {
        settings.cluster.stay_with(former.cluster);
    }
    Ok(settings)
}

/// What is observed and wanted, and the steps between.
struct Draft {
    observed: Vec<Object>,
    objects: WantedObjects,
    loads: Loads,
    steps: Vec<Step>,
}

/// Prints the steps of [`up`].
///
/// # Errors
/// As [`up`], as far as they are known before.
pub(crate) async fn dry_run(
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let settings = settings(wanted, environment)?;
    let Some(session) = Session::find(&settings, environment, output).await? else {
        output.data(format_args!("create the kind cluster {}", local::CLUSTER))?;
        output.data("create everything in it")?;
        return output.data(Step::AwaitReady);
    };
    let observed = session.observe().await?;
    let secrets = secrets::to_look(&session, &observed)?;
    let delivery = Delivery::open(settings.cluster.push.as_deref(), output).await;
    let mut contents = delivery.contents().await?;
    let pushes = delivery.to_push(&mut contents).await?;
    let mut draft =
        draft(&session, &settings, wanted, observed, &secrets, &delivery, &contents).await?;
    drop(draft.steps.splice(..0, pushes));
    if draft.steps.is_empty() {
        output.status(format_args!("Nothing to do: `{}` is up to date", environment.name()));
    }
    draft.steps.iter().try_for_each(|step| output.data(step))?;
    if wanted.seed && !draft.steps.is_empty() {
        output.data("send recipes and stock, if there never was a menu")?;
    }
    runtimes::print_orders_step(wanted.orders, output)
}

async fn draft(
    session: &Session<'_>,
    settings: &Settings,
    wanted: &Wanted,
    mut observed: Vec<Object>,
    secrets: &str,
    delivery: &Delivery<'_>,
    contents: &Contents,
) -> Result<Draft> {
    let mut objects = session.wanted(settings, secrets, contents)?;
    match session.cluster.namespace(&session.namespace).await? {
        Some(namespace) if namespace.label(labels::ENVIRONMENT).is_some() => {
            observed.push(namespace);
        }
        Some(_) => {
            session.output.detail(format_args!(
                "Using the namespace {}, which another program created; it stays as it is",
                session.namespace
            ));
            objects.retain(|object| !object.is_of_cluster());
        }
        None => {}
    }
    let applying = Applying { force: wanted.force_conflicts, ..session.applying() };
    let forecasts = applying.forecasts(&objects, &observed).await?;
    let loads = delivery.lacking(&objects, session.cluster.maker()).await?;
    let load = loads.names().into_iter().map(|image| Step::Load { image: image.to_owned() });
    let mut steps = load.chain(plan(&objects, &observed, &forecasts)).collect();
    add_retries(session, &objects, &observed, &mut steps).await?;
    Ok(Draft { observed, objects, loads, steps })
}

async fn bring_up(
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
    undo_log: &mut UndoLog,
) -> Result<()> {
    let began = Instant::now();
    environment.create()?;
    undo_log.lock = Some(ChangeLock::take(environment, output).await?);
    let settings = settings(wanted, environment)?;
    let session = undo_log.settle(&settings, environment, output).await?;
    await_gone(&session).await?;
    let observed = session.observe().await?;
    let secrets = secrets::of(&session, &observed)?;
    let delivery = Delivery::open(settings.cluster.push.as_deref(), output).await;
    delivery.build(&wanted.services, wanted.build).await?;
    let mut contents = delivery.contents().await?;
    delivery.push(&mut contents).await?;
    let draft =
        draft(&session, &settings, wanted, observed, &secrets, &delivery, &contents).await?;
    refuse_others(&session, &draft).await?;
    let mapped = local::mapped_port(&session).await;
    let port = choose_port(&settings, environment, mapped)?;
    undo_log.written_over = Some(environment.last_settings()?);
    // Our namespace may hold data, even without any other object.
    undo_log.all = draft.observed.is_empty();
    write_json(&environment.settings_file(), &settings)?;
    let record = remember(&session, port, mapped != Some(port), &draft.steps)?;
    if !record.is_forwarded || undo_log.all {
        // A forwarder of an environment that did not exist leads to a former cluster, even if the address is the same.
        forwarder::end(environment).await?;
    }
    if record.is_forwarded {
        // Before there are pods: a port that is free now may be taken in a minute.
        forwarder::ensure(environment, &record)?;
    }
    if !draft.steps.is_empty() {
        delivery.load(&draft.loads).await?;
    }
    // The time-out does not cover creating the cluster and images.
    let since = Instant::now();
    let applying = Applying { force: wanted.force_conflicts, ..session.applying() };
    applying.carry_out(&draft.steps, &draft.objects).await?;
    let rollout = Rollout {
        cluster: &session.cluster,
        namespace: &session.namespace,
        output,
        since,
        wait_max: wanted.timeout,
    };
    rollout.wait(&draft.objects).await?;
    applying.prune(&draft.steps, &draft.observed).await?;
    await_answer(environment, port, since, wanted.timeout, output).await?;
    let took = began.elapsed();
    if wanted.seed && runtimes::is_empty(environment).await? {
        seed::seed_built_in(environment, output).await?;
    }
    // The environment is complete: from here on, a signal undoes nothing.
    *undo_log = UndoLog::default();
    report(wanted, &session, &record, &draft.steps, took)?;
    if wanted.orders > 0 {
        order::place_and_follow(wanted.orders, environment, output).await?;
    }
    Ok(())
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
                    "`kubectl{} describe namespace {}` shows the cause; or choose another `--name`",
                    session.cluster.target().kubectl_flags(),
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
async fn refuse_others(session: &Session<'_>, draft: &Draft) -> Result<()> {
    let news: BTreeSet<&Id> = draft
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Create { id } => Some(id),
            _ => None,
        })
        .collect();
    let news = draft.objects.objects().filter(|object| news.contains(&object.id()));
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
    session: &Session<'_>,
    record: &ClusterRecord,
    steps: &[Step],
    took: Duration,
) -> Result<()> {
    let output = session.output;
    let port = record.port;
    if !steps.is_empty() && wanted.settings.port.is_none() && port != PORT_DEFAULT {
        let holder = process::port_holder(PORT_DEFAULT).map(|holder| format!(" by {holder}"));
        output.status(format_args!(
            "Port {PORT_DEFAULT} was taken{}; this environment has port {port}",
            holder.unwrap_or_default()
        ));
    }
    match steps.is_empty() {
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
