//! `up`, `up --dry-run`.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    time::Instant,
};

use contracts::Timestamp;

use super::{
    apply::Applying,
    down::undo,
    images::{OURS, built_here},
    key,
    observed::{Observed, observe},
    plan::{Plan, Step, plan},
    ports,
    ready::{Watch, await_ready},
    site::{Drawing, Site, source},
    wanted::Layout,
};
use crate::{
    blueprint::Service,
    commands::{self, order, seed},
    config::{PORT_DEFAULT, Settings},
    docker::networks::Named,
    error::{CliError, Result},
    images,
    output::Output,
    runtimes::{self, ChangeLock, Wanted, embedded},
    signals::Signals,
    state::{ContainersRecord, Environment, write_json},
};

/// What one command made, so that it can be unmade.
#[derive(Debug, Default)]
struct Made {
    /// Whether there was no state folder before.
    state: bool,
    /// The right to change things, while it is needed.
    lock: Option<ChangeLock>,
    /// The volumes that were there before anything was made; absent once there is something to keep.
    volumes_before: Option<Vec<Named>>,
    /// The settings that it wrote over.
    written_over: Option<Option<Settings>>,
}

/// Returns what the runtime is made of, in a few words.
pub(super) const fn describe() -> &'static str {
    "compose: one container a service, PostgreSQL, Redis"
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
    match result {
        Err(signal @ (CliError::Interrupted | CliError::Terminated)) => {
            // A second signal ends even this.
            signals.or(made.undo(environment, output)).await.and(Err(signal))
        }
        result => result,
    }
}

impl Made {
    async fn undo(mut self, environment: &Environment, output: &Output) -> Result<()> {
        let Some(lock) = self.lock.take() else { return Ok(()) };
        if let Some(volumes_before) = &self.volumes_before {
            output.status(format_args!("Removing what was made"));
            undo(&Site::open(environment, output).await?, volumes_before).await?;
            environment.forget_containers()?;
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

/// An environment as it is, and as it should be.
struct Prospect {
    observed: Observed,
    drawing: Drawing,
    layout: Layout,
    plan: Plan,
    port: u16,
    settings: Settings,
}

/// Looks, and plans.
async fn prospect(wanted: &Wanted, site: &Site<'_>) -> Result<Prospect> {
    let environment = site.environment;
    runtimes::refuse_another(wanted.settings.runtime, environment)?;
    let mut settings = wanted.settings.clone();
    // What was scaled stays so.
    settings.replicas = environment.last_settings()?.map(|last| last.replicas).unwrap_or_default();
    let source = source()?;
    let observed = observe(&site.engine, &site.project).await?;
    let port = ports::choose(settings.port, &observed, site).await?;
    let drawing = Drawing::read(source, environment, &settings, port, &wanted.services)?;
    let layout = drawing.layout(site, &settings, &observed.images);
    let plan = plan(&layout, &observed);
    Ok(Prospect { observed, drawing, layout, plan, port, settings })
}

impl Prospect {
    /// Builds the images of the services that lack, or all of them, and plans anew.
    async fn build(&mut self, all: bool, site: &Site<'_>) -> Result<()> {
        let is_lacking =
            |service: &Service| self.observed.images.deployed(&service.image).id.is_none();
        let meant = self.layout.containers.iter().map(|wanted| &wanted.service);
        let meant = meant.filter_map(|name| self.drawing.blueprint.services.get(name));
        let ours: BTreeSet<String> = meant
            .filter(|service| all || is_lacking(service))
            .filter_map(|service| built_here(&service.image).map(ToOwned::to_owned))
            .collect();
        if ours.is_empty() {
            return Ok(());
        }
        let ours: Vec<String> = ours.into_iter().collect();
        images::build_missing_or_all(&site.engine, &ours, all, site.output).await?;
        self.observed = observe(&site.engine, &site.project).await?;
        self.layout = self.drawing.layout(site, &self.settings, &self.observed.images);
        self.plan = plan(&self.layout, &self.observed);
        Ok(())
    }
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
    let site = Site::open(environment, output).await?;
    let prospect = prospect(wanted, &site).await?;
    prospect.drawing.warn_of_unset(output);
    prospect.plan.warnings.iter().for_each(|warning| output.warn(format_args!("{warning}")));
    ports::check(&prospect.plan, &prospect.layout, &prospect.observed, &site).await?;
    let steps = &prospect.plan.steps;
    if steps.is_empty() {
        output.status(format_args!("Nothing to do: `{}` is up as asked for", environment.name()));
    }
    steps.iter().try_for_each(|step| output.data(step))?;
    if wanted.seed && !steps.is_empty() && has_gateway(&prospect.layout) {
        output.data("send recipes and stock, if there never was a menu")?;
    }
    match wanted.orders {
        0 => Ok(()),
        1 => output.data("place 1 order and follow it to the table"),
        count => output.data(format_args!("place {count} orders and follow each to the table")),
    }
}

fn has_gateway(layout: &Layout) -> bool {
    layout.containers.iter().any(|container| container.service == super::GATEWAY)
}

async fn bring_up(
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
    made: &mut Made,
) -> Result<()> {
    let since = Instant::now();
    let site = Site::open(environment, output).await?;
    environment.create()?;
    made.lock = Some(ChangeLock::take(environment, output).await?);
    // Before the first look, so that nothing falls in between.
    let mut watch = Watch::begin(&site.engine, &site.project);
    let mut prospect = prospect(wanted, &site).await?;
    prospect.build(wanted.build, &site).await?;
    let Prospect { observed, drawing, layout, plan, port, settings } = &prospect;
    drawing.warn_of_unset(output);
    plan.warnings.iter().for_each(|warning| output.warn(format_args!("{warning}")));
    check_images(plan)?;
    ports::check(plan, layout, observed, &site).await?;
    let is_new = observed.containers.is_empty() && observed.networks.is_empty();
    made.volumes_before = is_new.then(|| observed.volumes.clone());
    made.written_over = Some(environment.last_settings()?);
    write_json(&environment.settings_file(), settings)?;
    Applying { site: &site, layout, drawing }.carry_out(plan).await?;
    let record = remember(*port, plan, &site)?;
    if environment.admin_key().is_err()
        && let Some(gateway) = key::gateway_id(&observe(&site.engine, &site.project).await?)
    {
        key::fetch(&site, &drawing.blueprint, &gateway).await?;
    }
    await_ready(&site, layout, *port, &mut watch, wanted.timeout).await?;
    if wanted.seed
        && has_gateway(layout)
        && site.engine.is_local()
        && runtimes::is_empty(environment).await?
    {
        seed::seed_built_in(environment, output).await?;
    }
    // From here on it is whole: whatever happens, it stays.
    *made = Made::default();
    tell(wanted, &record, plan, &site, since).await?;
    if wanted.orders > 0 {
        order::place_and_follow(wanted.orders, environment, output).await?;
    }
    if wanted.foreground {
        return commands::logs::follow_until_it_ends(environment, output).await;
    }
    Ok(())
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
        hint: "make them with `chefcito build` in a checkout of Chefcito, or load them with `docker load`".into(),
    })
}

/// Writes down where the environment is. What runs unchanged keeps its time.
fn remember(port: u16, plan: &Plan, site: &Site<'_>) -> Result<ContainersRecord> {
    let before = site.environment.containers()?;
    let record = ContainersRecord {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        engine: site.engine.host().to_owned(),
        version: runtimes::Program::this().version,
        started_at: match &before {
            Some(before) if plan.steps.is_empty() => before.started_at,
            _ => Timestamp::now(),
        },
    };
    site.environment.remember_containers(&record)?;
    Ok(record)
}

async fn tell(
    wanted: &Wanted,
    record: &ContainersRecord,
    plan: &Plan,
    site: &Site<'_>,
    since: Instant,
) -> Result<()> {
    let output = site.output;
    let port = record.address.port();
    let unchanged = plan.steps.is_empty();
    if !unchanged && wanted.settings.port.is_none() && port != PORT_DEFAULT {
        let holder = ports::holder(PORT_DEFAULT, site).await;
        let holder = holder.map(|holder| format!(" by {holder}")).unwrap_or_default();
        output.status(format_args!(
            "Port {PORT_DEFAULT} was taken{holder}; this house has port {port}"
        ));
    }
    match unchanged {
        true => output.status(format_args!("Already up ({}), nothing to change", describe())),
        false => {
            output.status(format_args!("Up in {} ms ({})", since.elapsed().as_millis(), describe()))
        }
    }
    runtimes::tell_others(wanted.settings.runtime, output);
    if !site.engine.is_local() {
        output.status(format_args!(
            "The engine is elsewhere: reach the house through a tunnel, such as `ssh -N -L {port}:127.0.0.1:{port} HOST`"
        ));
    }
    output.data(format_args!("http://{}", record.address))
}
