use std::{collections::BTreeMap, num::NonZeroU32};

use clap::{Args, builder::FalseyValueParser};

use super::{render::registry, usage_error};
use crate::{
    config::{ClusterSettings, DatabaseUrl, Durability, Runtime, STOVES_DEFAULT, Settings},
    error::{CliError, Result},
    output::Output,
    runtimes::{Program, Wanted, compose, embedded, kubernetes},
    signals::Signals,
    state::Environment,
};

/// Bring the environment up, wait until it is ready, and seed it if it is empty
#[derive(Debug, Args)]
#[command(after_help = "\
Run it again at any time: it changes only what differs, prints the reasons, and keeps the data.

Examples:
  chefcito up                                  Start the environment on port 7373, or the next free one
  chefcito up --orders 50                      … and follow fifty orders to the table
  chefcito up --name ci --port 0 --no-seed     A second, empty environment on any free port
  chefcito up --cooking-time 0s --stoves 64    A very fast kitchen
  chefcito up --runtime kubernetes             Pods in a kind cluster, created if it does not exist
  chefcito up --dry-run                        Only print what would be done")]
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
    /// Leave an empty environment empty: no recipes, no stock
    #[arg(long, env = "CHEFCITO_NO_SEED", value_parser = FalseyValueParser::new())]
    no_seed: bool,
    /// Place this many orders at the end, and follow each to the table
    #[arg(
        long,
        value_name = "N",
        env = "CHEFCITO_ORDERS",
        default_value_t = 0,
        hide_default_value = true
    )]
    orders: u32,
    /// How long the environment may take to become ready
    #[arg(long, value_name = "DURATION", env = "CHEFCITO_TIMEOUT", default_value = "60s")]
    timeout: humantime::Duration,
    /// Stay in the foreground, show the logs, and stop the environment at Ctrl-C
    #[arg(long, env = "CHEFCITO_FOREGROUND", value_parser = FalseyValueParser::new())]
    foreground: bool,
    /// Only print what would be done
    #[arg(long)]
    dry_run: bool,
    /// Build the images first (not when embedded)
    #[arg(long)]
    build: bool,
    /// Kubeconfig context [default: the environment's cluster, else the shared kind cluster]
    #[arg(long, value_name = "NAME", env = "CHEFCITO_CONTEXT", help_heading = "On a cluster")]
    context: Option<String>,
    /// Node image for a new kind cluster [default: kind's own]
    #[arg(long, value_name = "IMAGE", env = "CHEFCITO_NODE_IMAGE", help_heading = "On a cluster")]
    node_image: Option<String>,
    /// Registry to push the images of the services to, from which the cluster pulls them
    #[arg(
        long,
        value_name = "REGISTRY",
        env = "CHEFCITO_PUSH",
        value_parser = registry,
        help_heading = "On a cluster"
    )]
    push: Option<String>,
    /// Take over fields that other programs have set
    #[arg(long, help_heading = "On a cluster")]
    force_conflicts: bool,
    /// Failures that an accepted order survives: the end of the `process`, or of the machine's `power`
    #[arg(
        long,
        hide_possible_values = true,
        env = "CHEFCITO_DURABILITY",
        value_enum,
        default_value_t = Durability::Process,
        help_heading = "Embedded process"
    )]
    durability: Durability,
    /// How long every dish cooks [default: as its recipe says]
    #[arg(
        long,
        value_name = "DURATION",
        env = "CHEFCITO_COOKING_TIME",
        help_heading = "Embedded process"
    )]
    cooking_time: Option<humantime::Duration>,
    /// How many dishes cook at a time
    #[arg(long, value_name = "N", env = "CHEFCITO_STOVES", default_value_t = STOVES_DEFAULT, help_heading = "Embedded process")]
    stoves: NonZeroU32,
    /// Seed of random dishes and sales
    #[arg(
        long,
        value_name = "NUMBER",
        env = "CHEFCITO_SEED",
        default_value_t = 0,
        help_heading = "Embedded process"
    )]
    seed: u64,
    /// PostgreSQL to keep the data in [default: SQLite files in the state folder]
    #[arg(
        long,
        value_name = "URL",
        env = "CHEFCITO_DATABASE_URL",
        hide_env_values = true,
        help_heading = "Embedded process"
    )]
    database_url: Option<DatabaseUrl>,
    /// Farmers' market to buy at [default: the simulated market, a stand-in]
    #[arg(
        long,
        value_name = "URL",
        env = "CHEFCITO_MARKET_URL",
        value_parser = parse_market_url,
        help_heading = "Embedded process"
    )]
    market_url: Option<String>,
    /// Log level of the services, or `tracing` directives [default: info]
    #[arg(long, value_name = "FILTER", env = "CHEFCITO_LOG", help_heading = "Embedded process")]
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
    /// Returns the same arguments with `--build`.
    pub(super) fn with_build(self) -> Self {
        Self { build: true, ..self }
    }

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
                replicas: BTreeMap::new(),
                cluster: ClusterSettings {
                    context: self.context.clone(),
                    node_image: self.node_image.clone(),
                    push: self.push.clone(),
                },
            },
            program: Program::this(),
            seed: !self.no_seed,
            orders: self.orders,
            timeout: self.timeout.into(),
            foreground: self.foreground,
            build: self.build,
            force_conflicts: self.force_conflicts,
            services: self.services.clone(),
        })
    }

    /// A URL with a password may be in a file, like every secret.
    fn database_url(&self) -> Result<Option<DatabaseUrl>> {
        const VARIABLE: &str = "CHEFCITO_DATABASE_URL";
        if self.database_url.is_some() {
            return Ok(self.database_url.clone());
        }
        let url = service::config::secret(VARIABLE).map_err(anyhow::Error::from)?;
        url.map(|url| url.parse()).transpose().map_err(|expected| {
            CliError::failed(format!("the file in {VARIABLE}_FILE has no URL: {expected}"))
        })
    }

    /// Returns whether a flag of the Kubernetes runtime is set.
    const fn is_of_cluster(&self) -> bool {
        self.context.is_some()
            || self.node_image.is_some()
            || self.push.is_some()
            || self.force_conflicts
    }

    /// Refuses flags that the runtime does not support.
    fn check(&self) -> Result<()> {
        let usage =
            |what: &str, tip: &str| Err(usage_error("up", format_args!("{what}\n\n  tip: {tip}")));
        let all = "the embedded environment always runs all services; omit it";
        match self.runtime {
            Runtime::Embedded if !self.services.is_empty() => {
                usage("single services can only be brought up with containers", all)
            }
            Runtime::Embedded if self.build => {
                usage("the embedded environment has no images to build", all)
            }
            Runtime::Compose if self.database_url.is_some() => usage(
                "in containers, the data are in a PostgreSQL container of the environment",
                "omit `--database-url` and CHEFCITO_DATABASE_URL",
            ),
            Runtime::Kubernetes if self.database_url.is_some() => usage(
                "on a cluster, the data are in a PostgreSQL pod of the environment",
                "omit `--database-url` and CHEFCITO_DATABASE_URL",
            ),
            Runtime::Kubernetes if !self.services.is_empty() => usage(
                "on a cluster, all services come up together",
                "omit the services; `chefcito restart SERVICE` is for one",
            ),
            Runtime::Embedded | Runtime::Compose if self.is_of_cluster() => usage(
                "`--context`, `--node-image`, `--push` and `--force-conflicts` are for clusters",
                "add `--runtime kubernetes`, or omit them and their variables",
            ),
            Runtime::Embedded | Runtime::Compose | Runtime::Kubernetes => Ok(()),
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
    match (args.runtime, args.dry_run) {
        (Runtime::Embedded, true) => embedded::dry_run(&wanted, environment, output).await,
        (Runtime::Embedded, false) => embedded::up(&wanted, environment, output, signals).await,
        (Runtime::Compose, true) => {
            signals.or(compose::dry_run(&wanted, environment, output)).await
        }
        (Runtime::Compose, false) => compose::up(&wanted, environment, output, signals).await,
        (Runtime::Kubernetes, true) => {
            signals.or(kubernetes::dry_run(&wanted, environment, output)).await
        }
        (Runtime::Kubernetes, false) => kubernetes::up(&wanted, environment, output, signals).await,
    }
}
