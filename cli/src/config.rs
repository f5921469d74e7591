//! The settings of an environment. `up` builds them from flags, `CHEFCITO_*` variables and defaults; the embedded
//! process reads them from the state folder, so that no secret is ever an argument.

use std::{collections::BTreeMap, fmt, num::NonZeroU32, time::Duration};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::settings::Setting;

/// The default port of the gateway.
pub(crate) const PORT_DEFAULT: u16 = 7373;
/// How long all of `up` may take, unless the user says, without what has its own time.
pub(crate) const UP_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// The default number of stoves.
pub(crate) const STOVES_DEFAULT: NonZeroU32 = NonZeroU32::new(8).expect("eight is not zero");

/// How the services run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Runtime {
    /// One background process holding all services, on SQLite
    Embedded,
    /// Containers of a Docker engine, on PostgreSQL and Redis
    Compose,
    /// Pods of a kind cluster or any context, on PostgreSQL and Redis
    Kubernetes,
}

impl Runtime {
    /// All runtimes, the default first.
    pub(crate) const ALL: [Self; 3] = [Self::Embedded, Self::Compose, Self::Kubernetes];

    /// Returns its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Compose => "compose",
            Self::Kubernetes => "kubernetes",
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// The failures that an accepted order survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Durability {
    /// The end of the process, `kill -9` included
    Process,
    /// The end of the machine's power, too, at the price of a disk flush a commit
    Power,
}

impl fmt::Display for Durability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Process => "process",
            Self::Power => "power",
        })
    }
}

/// The URL of a PostgreSQL server, with credentials. `Display` omits the password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct DatabaseUrl(String);

impl DatabaseUrl {
    /// Returns the URL with its password.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for DatabaseUrl {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let known = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
        known
            .then(|| Self(url.to_owned()))
            .ok_or("it should begin with postgres:// or postgresql://")
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&without_password(&self.0))
    }
}

/// Returns a URL without its password, and without its query, which may contain the password, too.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "…".into() };
    let place = rest.split_once('?').map_or(rest, |(place, _)| place);
    match place.rsplit_once('@') {
        Some((login, server)) => {
            let user = login.split_once(':').map_or(login, |(user, _)| user);
            format!("{scheme}://{user}@{server}")
        }
        None => format!("{scheme}://{place}"),
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Returns the passwords in a URL: before the host, and in the query.
pub(crate) fn passwords(url: &str) -> impl Iterator<Item = &str> {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let login = place.rsplit_once('@').map(|(login, _)| login);
    let of_login = login.and_then(|login| login.split_once(':')).map(|(_, password)| password);
    let of_query = query.split('&').filter_map(|pair| pair.strip_prefix("password="));
    of_login.into_iter().chain(of_query)
}

/// The settings of an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// How its services run.
    pub(crate) runtime: Runtime,
    /// The port, if one was given; else 7373 or the next free one.
    pub(crate) port: Option<u16>,
    /// The failures that an accepted order survives.
    pub(crate) durability: Durability,
    /// How long every dish cooks, whatever its recipe says.
    pub(crate) cooking_time: Option<Duration>,
    /// How many dishes cook at a time.
    pub(crate) stoves: NonZeroU32,
    /// The seed of random dishes and sales.
    pub(crate) seed: u64,
    /// PostgreSQL, to use instead of SQLite.
    pub(crate) database_url: Option<DatabaseUrl>,
    /// A farmers' market, to use instead of the simulated market.
    pub(crate) market_url: Option<String>,
    /// The filter of log lines, in the syntax of `tracing`.
    pub(crate) log_filter: Option<String>,
    /// The number of containers of each service that was scaled.
    #[serde(default)]
    pub(crate) replicas: BTreeMap<String, u32>,
    /// The shell's variables that the compose file had used: later commands may run in another shell.
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, String>,
    /// Settings of the Kubernetes runtime.
    #[serde(default)]
    pub(crate) cluster: ClusterSettings,
}

/// The settings of the Kubernetes runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterSettings {
    /// The kubeconfig file with the context; `None` for those that KUBECONFIG names, or the user's own.
    #[serde(default)]
    pub(crate) kubeconfig: Option<String>,
    /// The context of an existing cluster; `None` for the current one of `kubeconfig`, and without that for the shared kind
    /// cluster.
    pub(crate) context: Option<String>,
    /// The node image for a new kind cluster.
    pub(crate) node_image: Option<String>,
    /// The registry from which the cluster pulls the images of the services; `None` if they are loaded into its nodes.
    #[serde(default)]
    pub(crate) push: Option<String>,
}

impl ClusterSettings {
    /// Returns whether they name no cluster: then it is the shared kind cluster.
    pub(crate) const fn are_of_shared(&self) -> bool {
        self.kubeconfig.is_none() && self.context.is_none()
    }
}

/// The defaults, which the help of `up` states, too.
impl Default for Settings {
    fn default() -> Self {
        Self {
            runtime: Runtime::Embedded,
            port: None,
            durability: Durability::Process,
            cooking_time: None,
            stoves: STOVES_DEFAULT,
            seed: 0,
            database_url: None,
            market_url: None,
            log_filter: None,
            replicas: BTreeMap::new(),
            variables: BTreeMap::new(),
            cluster: ClusterSettings::default(),
        }
    }
}

impl Settings {
    /// Returns the value of a setting for people, without passwords; `None` if it is unset.
    pub(crate) fn shown(&self, setting: Setting) -> Option<String> {
        match setting {
            Setting::Runtime => Some(self.runtime.to_string()),
            Setting::Port => self.port.map(|port| match port {
                0 => "0 (any free one)".into(),
                port => port.to_string(),
            }),
            Setting::Durability => Some(self.durability.to_string()),
            Setting::CookingTime => {
                self.cooking_time.map(|time| humantime::format_duration(time).to_string())
            }
            Setting::Stoves => Some(self.stoves.to_string()),
            Setting::Seed => Some(self.seed.to_string()),
            Setting::DatabaseUrl => self.database_url.as_ref().map(ToString::to_string),
            Setting::MarketUrl => self.market_url.as_deref().map(without_password),
            Setting::Log => self.log_filter.clone(),
            Setting::Replicas if self.replicas.is_empty() => None,
            Setting::Replicas => {
                let counts = self.replicas.iter().map(|(name, count)| format!("{name}={count}"));
                Some(counts.collect::<Vec<_>>().join(" "))
            }
            Setting::Kubeconfig => self.cluster.kubeconfig.clone(),
            Setting::Context => self.cluster.context.clone(),
            Setting::NodeImage => self.cluster.node_image.clone(),
            Setting::Push => self.cluster.push.clone(),
        }
    }

    /// Returns the same settings for people and files: URLs have no password and no query.
    pub(crate) fn without_passwords(&self) -> Self {
        Self {
            database_url: self.database_url.as_ref().map(|url| DatabaseUrl(url.to_string())),
            market_url: self.market_url.as_deref().map(without_password),
            ..self.clone()
        }
    }

    /// Returns the name, the current and the wanted value of each setting that differs. A port that was not given
    /// matches any port.
    pub(crate) fn differences(&self, running: &Self) -> Vec<Difference> {
        const RESTARTING: [Setting; 6] = [
            Setting::Durability,
            Setting::CookingTime,
            Setting::Stoves,
            Setting::Seed,
            Setting::MarketUrl,
            Setting::Log,
        ];
        let difference = |setting: Setting| {
            let shown = |settings: &Self| settings.shown(setting).unwrap_or_else(|| "unset".into());
            let (is, mut wanted) = (shown(running), shown(self));
            if is == wanted
                && setting == Setting::MarketUrl
                && running.market_url != self.market_url
            {
                wanted.push_str(" with another password or query");
            }
            (is != wanted).then(|| Difference { setting: setting.label(), is, wanted })
        };
        RESTARTING.into_iter().filter_map(difference).collect()
    }
}

/// A setting that has to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Its name.
    pub(crate) setting: String,
    /// The current value.
    pub(crate) is: String,
    /// The wanted value.
    pub(crate) wanted: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} → {}", self.setting, self.is, self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_market_is_shown_without_its_password() {
        let settings = |market_url: &str| Settings {
            market_url: Some(market_url.into()),
            ..Settings::default()
        };
        let shown = |is: &str, wanted: &str| {
            let differences = settings(wanted).differences(&settings(is));
            differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(
            shown("http://me:secret@old.example/buy?key=secret", "http://new.example"),
            "market http://me@old.example/buy → http://new.example"
        );
        assert_eq!(
            shown("http://me:secret@market.example", "http://me:other@market.example"),
            "market http://me@market.example → http://me@market.example with another password or query"
        );
    }

    #[test]
    fn the_passwords_of_a_url_are_found_wherever_they_are() {
        let found = |url: &'static str| passwords(url).collect::<Vec<_>>();
        assert_eq!(
            found("postgres://chef:se@cret@db/lunch?password=other&a=b"),
            ["se@cret", "other"]
        );
        assert_eq!(found("https://me@market.example/"), [""; 0]);
        assert_eq!(found("nothing"), [""; 0]);
    }

    #[test]
    fn a_database_url_is_shown_without_its_password() {
        let shown = |url: &str| url.parse::<DatabaseUrl>().unwrap().to_string();
        assert_eq!(shown("postgres://chef:se@cret@db:5432/lunch"), "postgres://chef@db:5432/lunch");
        assert_eq!(shown("postgresql://db/lunch?password=secret"), "postgresql://db/lunch");
    }
}
