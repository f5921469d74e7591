use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use clap::{Args, builder::FalseyValueParser};

use super::{order, seed, usage_error};
use crate::{
    config::{DatabaseUrl, Durability, PORT_DEFAULT, Runtime, STOVES_DEFAULT, Settings},
    embedded::{self, ChangeLock, Made},
    error::{CliError, Result},
    output::Output,
    plan::{Observed, Step, Wanted, describe, plan},
    process,
    progress::Waiting,
    signals::Signals,
    state::{Environment, HouseRecord},
};

/// Bring the environment up, wait until it is ready, and seed it if it is empty
#[derive(Debug, Args)]
#[command(after_help = "\
Run it again at any time: it changes only what differs from what is asked for, and says why.
Data are kept.

Examples:
  chefcito up                                  Open the house on port 7373, or the next free one
  chefcito up --orders 50                      … and see fifty orders to the table
  chefcito up --name ci --port 0 --no-seed     A second, empty house on any free port
  chefcito up --cooking-time 0s --stoves 64    A very fast kitchen
  chefcito up --dry-run                        Only say what would be done")]
pub(crate) struct UpArgs {
    /// Services to bring up (with containers only) [default: all]
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// How the services run: embedded, compose or kubernetes
    #[arg(
        long,
        env = "CHEFCITO_RUNTIME",
        value_enum,
        default_value_t = Runtime::Embedded,
        hide_possible_values = true
    )]
    runtime: Runtime,
    /// Port of the gateway on loopback; 0 is any free one [default: 7373, or the next free one]
    #[arg(long, env = "CHEFCITO_PORT")]
    port: Option<u16>,
    /// Leave an empty house empty: no recipes, no stock
    #[arg(long, env = "CHEFCITO_NO_SEED", value_parser = FalseyValueParser::new())]
    no_seed: bool,
    /// Place this many orders in the end, and follow each to the table
    #[arg(
        long,
        value_name = "N",
        env = "CHEFCITO_ORDERS",
        default_value_t = 0,
        hide_default_value = true
    )]
    orders: u32,
    /// How long the house may take to be ready
    #[arg(long, value_name = "DURATION", env = "CHEFCITO_TIMEOUT", default_value = "60s")]
    timeout: humantime::Duration,
    /// Stay, show the logs, and close the house at Ctrl-C
    #[arg(long, env = "CHEFCITO_FOREGROUND", value_parser = FalseyValueParser::new())]
    foreground: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Build the images first (with containers only)
    #[arg(long)]
    build: bool,
    /// What an accepted order survives: the end of the `process`, or of the machine's `power`
    #[arg(
        long,
        hide_possible_values = true,
        env = "CHEFCITO_DURABILITY",
        value_enum,
        default_value_t = Durability::Process,
        help_heading = "The house"
    )]
    durability: Durability,
    /// How long every dish cooks [default: as its recipe says]
    #[arg(
        long,
        value_name = "DURATION",
        env = "CHEFCITO_COOKING_TIME",
        help_heading = "The house"
    )]
    cooking_time: Option<humantime::Duration>,
    /// How many dishes cook at a time
    #[arg(long, value_name = "N", env = "CHEFCITO_STOVES", default_value_t = STOVES_DEFAULT, help_heading = "The house")]
    stoves: NonZeroU32,
    /// What random dishes and sales are drawn from; the same seed draws the same
    #[arg(
        long,
        value_name = "NUMBER",
        env = "CHEFCITO_SEED",
        default_value_t = 0,
        help_heading = "The house"
    )]
    seed: u64,
    /// PostgreSQL to keep the data in [default: SQLite files in the state folder]
    #[arg(
        long,
        value_name = "URL",
        env = "CHEFCITO_DATABASE_URL",
        hide_env_values = true,
        help_heading = "The house"
    )]
    database_url: Option<DatabaseUrl>,
    /// Farmers' market to buy at [default: the plaza, a stand-in]
    #[arg(
        long,
        value_name = "URL",
        env = "CHEFCITO_MARKET_URL",
        value_parser = parse_market_url,
        help_heading = "The house"
    )]
    market_url: Option<String>,
    /// What the services log: a level, or `tracing` directives [default: info]
    #[arg(long, value_name = "FILTER", env = "CHEFCITO_LOG", help_heading = "The house")]
    log: Option<String>,
}

fn parse_market_url(text: &str) -> Result<String, &'static str> {
    let uri = text.parse::<http::Uri>().ok();
    let is_web = uri.is_some_and(|uri| {
        uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https"))
    });
    is_web.then(|| text.to_owned()).ok_or("it should be like https://market.example")
}

impl UpArgs {
    fn wanted(&self) -> Result<Wanted> {
        Ok(Wanted {
            settings: Settings {
                runtime: self.runtime,
                port: self.port,
                durability: self.durability,
                cooking_time: self.cooking_time.map(Into::into),
                stoves: self.stoves,
                seed: self.seed,
                database_url: self.database_url()?,
                market_url: self.market_url.clone(),
                log_filter: self.log.clone(),
            },
            program: embedded::this_program(),
            seed: !self.no_seed,
            orders: self.orders,
        })
    }

    /// A URL with a password may be in a file, as every secret.
    fn database_url(&self) -> Result<Option<DatabaseUrl>> {
        const VARIABLE: &str = "CHEFCITO_DATABASE_URL";
        if self.database_url.is_some() {
            return Ok(self.database_url.clone());
        }
        let url = chassis::config::secret(VARIABLE).map_err(anyhow::Error::from)?;
        url.map(|url| url.parse()).transpose().map_err(|expected| {
            CliError::failed(format!("the file of {VARIABLE}_FILE has no URL in it: {expected}"))
        })
    }

    /// Refuses what only containers can do.
    fn check(&self) -> Result<()> {
        match self.runtime {
            Runtime::Embedded => {}
            Runtime::Compose | Runtime::Kubernetes => {
                return Err(CliError::Lacking {
                    what: format!("the runtime `{}` is not in this version yet", self.runtime),
                    hint: "run `chefcito up --runtime embedded`: the same services, in one background process".into(),
                });
            }
        }
        let usage = |what: &str| {
            let tip = "the embedded house always runs all services; leave it out";
            Err(usage_error("up", format_args!("{what}\n\n  tip: {tip}")))
        };
        match (self.services.is_empty(), self.build) {
            (false, _) => usage("single services can only be brought up with containers"),
            (true, true) => usage("there are only images to build with containers"),
            (true, false) => Ok(()),
        }
    }
}

pub(crate) async fn run(
    args: UpArgs,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    args.check()?;
    let wanted = args.wanted()?;
    if args.dry_run {
        return dry_run(&wanted, environment, output).await;
    }
    let mut made = Made::default();
    made.state = !environment.folder().exists();
    let result = signals.or(bring_up(&args, &wanted, environment, output, &mut made)).await;
    match result {
        Err(signal @ (CliError::Interrupted | CliError::Terminated)) => {
            // A second signal ends even this.
            signals.or(made.undo(environment, output)).await.and(Err(signal))
        }
        result => result,
    }
}

async fn dry_run(wanted: &Wanted, environment: &Environment, output: &Output) -> Result<()> {
    let observed = embedded::observe(environment).await?;
    let steps =
        plan(wanted, &observed).map_err(|refusal| refusal.into_error(environment.name()))?;
    if steps.is_empty() {
        output.status(format_args!("Nothing to do: `{}` is up as asked for", environment.name()));
    }
    steps.iter().try_for_each(|step| output.data(step))
}

async fn bring_up(
    args: &UpArgs,
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
    made: &mut Made,
) -> Result<()> {
    let since = Instant::now();
    environment.create()?;
    made.lock = Some(ChangeLock::take(environment, output).await?);
    let observed = embedded::observe(environment).await?;
    let steps =
        plan(wanted, &observed).map_err(|refusal| refusal.into_error(environment.name()))?;
    if matches!(observed, Observed::Nothing { crashed: true, .. }) {
        output.warn(format_args!("{}", environment.crashed()));
    }
    embedded::create_state(environment)?;
    let (orders, changes): (Vec<&Step>, Vec<&Step>) =
        steps.iter().partition(|step| matches!(step, Step::Order { .. }));
    for step in &changes {
        output.detail(format_args!("{step}"));
        apply(step, args, wanted, environment, output, made).await.inspect_err(|_| {
            if !matches!(observed, Observed::Nothing { .. }) && matches!(step, Step::Start { .. }) {
                let flag = environment.name().flag();
                output.warn(format_args!(
                    "the house that ran is stopped; `chefcito start{flag}` opens it as it was"
                ));
            }
        })?;
    }
    let record = environment.running()?;
    // From here on it is whole: data are kept, whatever happens, and a house that ran before goes on running.
    (made.state, made.lock) = (false, None);
    if !matches!(observed, Observed::Nothing { .. }) {
        made.house = None;
    }
    tell(wanted, &record, changes.is_empty(), since.elapsed(), output)?;
    for step in orders {
        apply(step, args, wanted, environment, output, made).await?;
    }
    if args.foreground {
        return super::logs::follow_until_it_ends(environment, output).await;
    }
    Ok(())
}

async fn apply(
    step: &Step,
    args: &UpArgs,
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
    made: &mut Made,
) -> Result<()> {
    let timeout = Duration::from(args.timeout);
    match step {
        // Already there: the lock lies in it.
        Step::CreateState => Ok(()),
        Step::Stop { why, .. } => {
            output.status(format_args!("Restarting the house, data kept: {why}"));
            embedded::stop(environment).await.map(drop)
        }
        Step::Start { .. } => {
            let _waiting = Waiting::new(output, "Starting the house");
            embedded::start(environment, &wanted.settings, args.foreground, timeout, made)
                .await
                .map(drop)
        }
        Step::AwaitReady => {
            let _waiting = Waiting::new(output, "Waiting until every service is ready");
            embedded::await_ready(environment, environment.address()?, timeout).await
        }
        Step::SeedIfEmpty if embedded::is_empty(environment).await? => {
            seed::seed_built_in(environment, output).await
        }
        Step::SeedIfEmpty => Ok(()),
        Step::Order { count } => order::place_and_follow(*count, environment, output).await,
    }
}

fn tell(
    wanted: &Wanted,
    record: &HouseRecord,
    unchanged: bool,
    took: Duration,
    output: &Output,
) -> Result<()> {
    let port = record.address.port();
    if !unchanged && wanted.settings.port.is_none() && port != PORT_DEFAULT {
        let holder = process::port_holder(PORT_DEFAULT)
            .map(|holder| format!(" by {holder}"))
            .unwrap_or_default();
        output.status(format_args!(
            "Port {PORT_DEFAULT} was taken{holder}; this house has port {port}"
        ));
    }
    let runtime = describe(&record.settings);
    match unchanged {
        true => output.status(format_args!("Already up ({runtime}), nothing to change")),
        false => output.status(format_args!("Up in {} ms ({runtime})", took.as_millis())),
    }
    let others: Vec<&str> = Runtime::ALL
        .into_iter()
        .filter(|runtime| *runtime != record.settings.runtime)
        .map(Runtime::name)
        .collect();
    output.status(format_args!("Other runtimes: {} (not in this version yet)", others.join(", ")));
    output.data(format_args!("http://{}", record.address))
}
