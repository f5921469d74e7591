//! `up`, `up --dry-run`.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use contracts::{Timestamp, api::gateway::Status};
use tokio::time::sleep;

use super::{
    apply::Applying,
    forwarder,
    images::{Delivery, Loads},
    labels, local,
    plan::{Step, plan},
    rollout::Rollout,
    secrets,
    site::{self, Site},
    wanted::Wanted as WantedObjects,
};
use crate::{
    client::Client,
    commands::{self, order, seed},
    config::{PORT_DEFAULT, Settings},
    error::{CliError, Result},
    kubernetes::objects::{Id, Object},
    output::Output,
    process,
    progress::Waiting,
    runtimes::{self, ChangeLock, Program, Wanted, embedded},
    signals::Signals,
    state::{ClusterRecord, Environment, write_json},
};

/// How many ports after the default one are tried.
const PORTS_TRIED_MAX: u16 = 100;
/// How long a namespace of the same name may take to go.
const GOING_WAIT_MAX: Duration = Duration::from_secs(60);
/// How often it is looked whether it has gone, and whether the gateway answers.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What one command made, so that it can be unmade.
#[derive(Debug, Default)]
struct Made {
    /// Whether there was no state folder before.
    state: bool,
    /// The right to change things, while it is needed.
    lock: Option<ChangeLock>,
    /// The cluster itself.
    cluster: bool,
    /// The environment was not on the cluster before, so that all of it there goes again.
    all: bool,
    /// The settings that it wrote over.
    written_over: Option<Option<Settings>>,
}

/// Returns what the runtime is made of, in a few words.
fn describe(site: &Site<'_>) -> String {
    format!("kubernetes: namespace {} of {}", site.namespace, site.cluster.context())
}

/// Brings the environment up as it is wanted. A signal ends that: what the first `up` of an environment made is removed
/// again, and what a later one left half-done, the next one goes on with.
///
/// # Errors
/// Whatever keeps it from being up.
pub(crate) async fn up(
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let mut made = Made { state: !environment.folder().exists(), ..Made::default() };
    let result = signals.or(bring_up(wanted, environment, output, &mut made)).await;
    if wanted.foreground && result.is_ok() {
        let shown = signals.or(commands::logs::follow_containers(environment, output)).await;
        if matches!(shown, Err(CliError::Interrupted | CliError::Terminated)) {
            signals.or(super::stop(environment, output)).await?;
        }
        return shown;
    }
    match result {
        Err(signal @ (CliError::Interrupted | CliError::Terminated)) => {
            // A second signal ends even this.
            signals.or(made.undo(wanted, environment, output)).await.and(Err(signal))
        }
        // What never came to be leaves no state.
        Err(error) if made.state && !made.all && !made.cluster => {
            embedded::forget_all(environment)?;
            Err(error)
        }
        result => result,
    }
}

impl Made {
    async fn undo(
        mut self,
        wanted: &Wanted,
        environment: &Environment,
        output: &Output,
    ) -> Result<()> {
        let Some(lock) = self.lock.take() else { return Ok(()) };
        if self.cluster && !self.all {
            output.status(format_args!("Removing the cluster that was being made"));
            local::remove_unfinished(environment).await?;
        }
        if self.all {
            output.status(format_args!("Removing what was made"));
            let site = Site::open(&wanted.settings, environment, output).await?;
            super::down::take_down(&site, true).await?;
            if self.cluster {
                local::remove_if_done(&site).await?;
            }
            environment.forget_cluster()?;
            if let Some(settings) = self.written_over.take() {
                embedded::restore_settings(Some(settings), environment)?;
            }
        }
        if self.state && environment.last_settings()?.is_none() {
            embedded::forget_all(environment)?;
        }
        drop(lock);
        Ok(())
    }
}

/// Returns what is to be reached. What was scaled stays so.
fn settings(wanted: &Wanted, environment: &Environment) -> Result<Settings> {
    runtimes::refuse_another(wanted.settings.runtime, environment)?;
    let mut settings = wanted.settings.clone();
    if let Some(last) = environment.last_settings()? {
        settings.replicas = last.replicas;
    }
    Ok(settings)
}

/// What there is, what there should be, and how to get there.
struct Prospect {
    observed: Vec<Object>,
    objects: WantedObjects,
    loads: Loads,
    steps: Vec<Step>,
}

/// Says what [`up`] would do.
///
/// # Errors
/// As [`up`], as far as it can be known before.
pub(crate) async fn dry_run(
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let settings = settings(wanted, environment)?;
    let Some(place) = site::place(&settings, environment).await? else {
        output.data(format_args!("create the kind cluster {}", local::CLUSTER))?;
        output.data("create everything in it")?;
        return output.data(Step::AwaitReady);
    };
    let site = Site::at(&place, environment, output).await?;
    let observed = site.observe().await?;
    let secrets = secrets::to_look(&site, &observed)?;
    let delivery = Delivery::open(output).await;
    let prospect = prospect(&site, &settings, wanted, observed, &secrets, &delivery).await?;
    if prospect.steps.is_empty() {
        output.status(format_args!("Nothing to do: `{}` is up as asked for", environment.name()));
    }
    prospect.steps.iter().try_for_each(|step| output.data(step))?;
    if wanted.seed && !prospect.steps.is_empty() {
        output.data("send recipes and stock, if there never was a menu")?;
    }
    match wanted.orders {
        0 => Ok(()),
        1 => output.data("place 1 order and follow it to the table"),
        count => output.data(format_args!("place {count} orders and follow each to the table")),
    }
}

async fn prospect(
    site: &Site<'_>,
    settings: &Settings,
    wanted: &Wanted,
    mut observed: Vec<Object>,
    secrets: &str,
    delivery: &Delivery<'_>,
) -> Result<Prospect> {
    let mut objects = site.wanted(settings, secrets, &delivery.contents().await?)?;
    match site.cluster.namespace(&site.namespace).await? {
        Some(namespace) if namespace.label(labels::ENVIRONMENT).is_some() => {
            observed.push(namespace);
        }
        Some(_) => {
            site.output.detail(format_args!(
                "The namespace {} is not of our making: it is used, and left as it is",
                site.namespace
            ));
            objects.retain(|object| !object.is_of_cluster());
        }
        None => {}
    }
    let applying = applying(site, wanted);
    let forecasts = applying.forecasts(&objects, &observed).await?;
    let loads = delivery.lacking(&objects, &site.cluster).await?;
    let load = loads.names().into_iter().map(|image| Step::Load { image: image.to_owned() });
    let steps = load.chain(plan(&objects, &observed, &forecasts)).collect();
    Ok(Prospect { observed, objects, loads, steps })
}

const fn applying<'a>(site: &'a Site<'a>, wanted: &Wanted) -> Applying<'a> {
    Applying {
        cluster: &site.cluster,
        namespace: site.namespace.as_str(),
        force: wanted.force_conflicts,
        output: site.output,
    }
}

async fn bring_up(
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
    made: &mut Made,
) -> Result<()> {
    let since = Instant::now();
    environment.create()?;
    made.lock = Some(ChangeLock::take(environment, output).await?);
    let settings = settings(wanted, environment)?;
    let place = match site::place(&settings, environment).await? {
        Some(place) => place,
        None => {
            made.cluster = true;
            let port = choose_port(&settings, environment, None)?;
            local::make(&settings, port, environment, output).await?
        }
    };
    let site = Site::at(&place, environment, output).await?;
    if made.cluster {
        local::mark(&site).await?;
    }
    await_gone(&site).await?;
    let observed = site.observe().await?;
    let is_new = observed.is_empty();
    let secrets = secrets::of(&site, &observed)?;
    let delivery = Delivery::open(output).await;
    delivery.build(&wanted.services, wanted.build).await?;
    let prospect = prospect(&site, &settings, wanted, observed, &secrets, &delivery).await?;
    refuse_others(&site, &prospect).await?;
    let mapped = local::mapped_port(&site).await;
    let port = choose_port(&settings, environment, mapped)?;
    made.written_over = Some(environment.last_settings()?);
    made.all = is_new;
    write_json(&environment.settings_file(), &settings)?;
    let record = remember(&site, port, mapped != Some(port), &prospect.steps)?;
    delivery.load(&prospect.loads).await?;
    applying(&site, wanted)
        .carry_out(&prospect.steps, &prospect.objects, &prospect.observed)
        .await?;
    let rollout = Rollout {
        cluster: &site.cluster,
        namespace: &site.namespace,
        output,
        since,
        wait_max: wanted.timeout,
    };
    rollout.wait(&prospect.objects).await?;
    if record.is_forwarded {
        forwarder::ensure(environment, port)?;
    }
    await_answer(environment, port, since, wanted.timeout, output).await?;
    let took = since.elapsed();
    if wanted.seed && runtimes::is_empty(environment).await? {
        seed::seed_built_in(environment, output).await?;
    }
    // From here on it is whole: whatever happens, it stays.
    *made = Made::default();
    tell(wanted, &site, &record, &prospect.steps, took)?;
    if wanted.orders > 0 {
        order::place_and_follow(wanted.orders, environment, output).await?;
    }
    Ok(())
}

/// Waits for a namespace of the same name that is just going.
async fn await_gone(site: &Site<'_>) -> Result<()> {
    let since = Instant::now();
    let shown = Waiting::new(site.output, "Waiting until the former namespace is gone");
    while let Some(namespace) = site.cluster.namespace(&site.namespace).await? {
        if !namespace.is_going() {
            break;
        }
        if since.elapsed() >= GOING_WAIT_MAX {
            return Err(CliError::Failed {
                what: format!(
                    "the namespace {} is being removed, and was still there after {}",
                    site.namespace,
                    humantime::format_duration(GOING_WAIT_MAX)
                ),
                hint: format!(
                    "`kubectl{} describe namespace {}` tells what holds it; or choose another `--name`",
                    site.cluster.place().kubectl_flags(),
                    site.namespace
                ),
                source: None,
            });
        }
        sleep(LOOK_EVERY).await;
    }
    drop(shown);
    Ok(())
}

/// Refuses to make over what others have made under a name that we want.
async fn refuse_others(site: &Site<'_>, prospect: &Prospect) -> Result<()> {
    let news: BTreeSet<&Id> = prospect
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Create { id } => Some(id),
            _ => None,
        })
        .collect();
    let news = prospect.objects.objects().filter(|object| news.contains(&object.id()));
    let looks = news.map(|object| site.cluster.read(object, &site.namespace));
    let found = futures_util::future::try_join_all(looks).await?;
    let ids: Vec<String> = found.into_iter().flatten().map(|one| one.id().to_string()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    Err(CliError::Failed {
        what: format!(
            "the namespace {} has objects of others that would be in the way: {}",
            site.namespace,
            ids.join(", ")
        ),
        hint: "choose another `--name`, which is another namespace, or remove them".into(),
        source: None,
    })
}

/// Returns the port on loopback: the one that it has or that the cluster maps, the one asked for, or a free one.
fn choose_port(settings: &Settings, environment: &Environment, mapped: Option<u16>) -> Result<u16> {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let has = environment.cluster()?.map(|record| record.port).or(mapped);
    match (settings.port, has) {
        (None | Some(0), Some(port)) => Ok(port),
        (Some(asked), Some(port)) if asked == port => Ok(port),
        (Some(0), None) => {
            let bound =
                TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|one| one.local_addr());
            Ok(bound.map_err(CliError::io(|| "find a free port".into()))?.port())
        }
        (Some(asked), _) if is_free(asked) => Ok(asked),
        (Some(asked), _) => {
            let holder = process::port_holder(asked).map(|holder| holder.to_string());
            Err(CliError::PortTaken { port: asked, holder })
        }
        (None, None) => (PORT_DEFAULT..PORT_DEFAULT + PORTS_TRIED_MAX)
            .find(|port| is_free(*port))
            .ok_or(CliError::PortTaken { port: PORT_DEFAULT, holder: None }),
    }
}

/// Writes down where the environment is. What runs unchanged keeps its time.
fn remember(
    site: &Site<'_>,
    port: u16,
    is_forwarded: bool,
    steps: &[Step],
) -> Result<ClusterRecord> {
    let before = site.environment.cluster()?;
    let record = ClusterRecord {
        place: site.cluster.place().clone(),
        server: site.cluster.server().to_owned(),
        namespace: site.namespace.clone(),
        port,
        is_forwarded,
        version: Program::this().version,
        started_at: match &before {
            Some(before) if steps.is_empty() => before.started_at,
            _ => Timestamp::now(),
        },
    };
    site.environment.remember_cluster(&record)?;
    Ok(record)
}

/// Waits until the gateway says that all behind it are ready.
async fn await_answer(
    environment: &Environment,
    port: u16,
    since: Instant,
    wait_max: Duration,
    output: &Output,
) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let client = Client::new(address, &environment.admin_key()?).map_err(anyhow::Error::from)?;
    let shown = Waiting::new(output, "Waiting until every service is ready");
    loop {
        let last = match client.get::<Status>("/v1/status").await {
            Ok(status) if status.ready => return Ok(()),
            Ok(status) => {
                let unready = status.services.iter().filter(|(_, service)| !service.ready);
                let names: Vec<&str> = unready.map(|(name, _)| name.as_str()).collect();
                format!("not ready: {}", names.join(", "))
            }
            Err(error) => error.to_string(),
        };
        shown.say(format_args!("Waiting until every service is ready: {last}"));
        if since.elapsed() >= wait_max {
            return Err(CliError::NotReady { waited: wait_max, reason: last });
        }
        sleep(LOOK_EVERY).await;
    }
}

fn tell(
    wanted: &Wanted,
    site: &Site<'_>,
    record: &ClusterRecord,
    steps: &[Step],
    took: Duration,
) -> Result<()> {
    let output = site.output;
    let port = record.port;
    if !steps.is_empty() && wanted.settings.port.is_none() && port != PORT_DEFAULT {
        let holder = process::port_holder(PORT_DEFAULT).map(|holder| format!(" by {holder}"));
        output.status(format_args!(
            "Port {PORT_DEFAULT} was taken{}; this house has port {port}",
            holder.unwrap_or_default()
        ));
    }
    match steps.is_empty() {
        true => {
            output.status(format_args!("Already up ({}), nothing to change", describe(site)));
        }
        false => {
            output.status(format_args!("Up in {} ms ({})", took.as_millis(), describe(site)));
        }
    }
    runtimes::tell_others(wanted.settings.runtime, output);
    output.data(format_args!("http://127.0.0.1:{port}"))
}
