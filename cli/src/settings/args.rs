//! The flags of the settings. None has a default here: a setting that is not stated stays as last time.

use std::{num::NonZeroU32, time::Duration};

use clap::{Args, builder::FalseyValueParser};
use contracts::api::kitchen::COOKING_TIME_MS_MAX;

use crate::{
    commands::{duration, registry},
    config::{DatabaseUrl, Durability, Runtime},
    error::{CliError, Result},
    settings::Origin,
};

/// The flags of `up` that have a variable.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SettingArgs {
    /// How the services run: embedded, compose or kubernetes [default: embedded]
    #[arg(long, env = "CHEFCITO_RUNTIME", value_enum, hide_possible_values = true)]
    pub(super) runtime: Option<Runtime>,
    /// Port of the gateway on loopback; 0 is any free one [default: 7373, or the next free one]
    #[arg(long, env = "CHEFCITO_PORT")]
    pub(super) port: Option<u16>,
    /// Leave an empty environment empty: no recipes, no stock
    #[arg(long, env = "CHEFCITO_NO_SEED", value_parser = FalseyValueParser::new())]
    pub(crate) no_seed: bool,
    /// Place this many orders at the end, and follow each to the table
    #[arg(
        long,
        value_name = "N",
        env = "CHEFCITO_ORDERS",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) orders: u32,
    /// How long all of it may take [default: 60s, without building and getting images and creating a cluster]
    #[arg(long, value_name = "DURATION", env = "CHEFCITO_UP_TIMEOUT", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Stay in the foreground, show the logs, and stop the environment at Ctrl-C
    #[arg(long, env = "CHEFCITO_FOREGROUND", value_parser = FalseyValueParser::new())]
    pub(crate) foreground: bool,
    /// Kubeconfig file, in place of those that KUBECONFIG names [default: that of the environment's cluster]
    #[arg(
        long,
        value_name = "FILE",
        env = "CHEFCITO_KUBECONFIG",
        value_parser = kubeconfig,
        help_heading = "On a cluster"
    )]
    pub(super) kubeconfig: Option<String>,
    /// Context of the cluster [default: that of the environment's cluster, else the current one of --kubeconfig, else the
    /// shared kind cluster]
    #[arg(long, value_name = "NAME", env = "CHEFCITO_CONTEXT", help_heading = "On a cluster")]
    pub(super) context: Option<String>,
    /// Node image for a new kind cluster [default: kind's own]
    #[arg(long, value_name = "IMAGE", env = "CHEFCITO_NODE_IMAGE", help_heading = "On a cluster")]
    pub(super) node_image: Option<String>,
    /// Registry to push the images of the services to, from which the cluster pulls them [default: they are loaded into its
    /// nodes]
    #[arg(
        long,
        value_name = "REGISTRY",
        env = "CHEFCITO_PUSH",
        value_parser = registry,
        help_heading = "On a cluster"
    )]
    pub(super) push: Option<String>,
    /// Failures that an accepted order survives: the end of the `process`, or of the machine's `power` [default: process]
    #[arg(
        long,
        hide_possible_values = true,
        env = "CHEFCITO_DURABILITY",
        value_enum,
        help_heading = "Embedded process"
    )]
    pub(super) durability: Option<Durability>,
    /// How long every dish cooks [default: as its recipe says]
    #[arg(
        long,
        value_name = "DURATION",
        env = "CHEFCITO_COOKING_TIME",
        value_parser = cooking_time,
        help_heading = "Embedded process"
    )]
    pub(super) cooking_time: Option<Duration>,
    /// How many dishes cook at a time [default: 8]
    #[arg(long, value_name = "N", env = "CHEFCITO_STOVES", help_heading = "Embedded process")]
    pub(super) stoves: Option<NonZeroU32>,
    /// Seed of random dishes and sales [default: 0]
    #[arg(long, value_name = "NUMBER", env = "CHEFCITO_SEED", help_heading = "Embedded process")]
    pub(super) seed: Option<u64>,
    /// PostgreSQL to keep the data in [default: SQLite files in the state folder]
    #[arg(
        long,
        value_name = "URL",
        env = "CHEFCITO_DATABASE_URL",
        hide_env_values = true,
        help_heading = "Embedded process"
    )]
    pub(super) database_url: Option<DatabaseUrl>,
    /// Farmers' market to buy at [default: the simulated market, a stand-in]
    #[arg(
        long,
        value_name = "URL",
        env = "CHEFCITO_MARKET_URL",
        value_parser = parse_market_url,
        help_heading = "Embedded process"
    )]
    pub(super) market_url: Option<String>,
    /// Log level of the services, or `tracing` directives [default: info]
    #[arg(long, value_name = "FILTER", env = "CHEFCITO_LOG", help_heading = "Embedded process")]
    pub(super) log: Option<String>,
}

impl SettingArgs {
    /// Returns the URL of PostgreSQL: that of a flag or the variable, else that in the file of a secret, with its origin, else
    /// that of a file of settings.
    ///
    /// # Errors
    /// [`CliError::Failed`] if the file of the secret has no such URL.
    pub(super) fn database_url(
        &self,
        origin: Option<&Origin>,
    ) -> Result<(Option<DatabaseUrl>, Option<Origin>)> {
        const VARIABLE: &str = "CHEFCITO_DATABASE_URL";
        if matches!(origin, Some(Origin::Flag | Origin::Variable(_))) {
            return Ok((self.database_url.clone(), None));
        }
        let Some(url) = service::config::secret(VARIABLE).map_err(anyhow::Error::from)? else {
            return Ok((self.database_url.clone(), None));
        };
        let file = format!("{VARIABLE}_FILE");
        let url = url.parse().map_err(|expected| {
            CliError::failed(format!("the file in {file} has no URL: {expected}"))
        })?;
        Ok((Some(url), Some(Origin::Variable(file))))
    }
}

fn cooking_time(text: &str) -> Result<Duration, &'static str> {
    let time_max = Duration::from_millis(COOKING_TIME_MS_MAX.unsigned_abs());
    duration(text)
        .ok()
        .filter(|time| *time <= time_max)
        .ok_or("it should be a duration such as 0s or 500ms, an hour at the most")
}

/// Returns the path of a kubeconfig file as it is named from any folder.
pub(crate) fn kubeconfig(text: &str) -> Result<String, &'static str> {
    let is_file = !text.is_empty() && !text.contains(':');
    let path = std::path::absolute(text).ok().filter(|_| is_file);
    path.and_then(|path| path.into_os_string().into_string().ok())
        .ok_or("it should be the path of one file, without a colon; KUBECONFIG takes several")
}

fn parse_market_url(text: &str) -> Result<String, &'static str> {
    let uri = text.parse::<http::Uri>().ok();
    let is_web = uri.is_some_and(|uri| {
        uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https"))
    });
    is_web.then(|| text.to_owned()).ok_or("it should be like https://market.example")
}
