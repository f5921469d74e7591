//! The settings of an environment. `up` builds them from flags, `CHEFCITO_*` variables and defaults; the embedded
//! process reads them from the state folder, so that no secret is ever an argument.

use std::{collections::BTreeMap, fmt, num::NonZeroU32, time::Duration};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The default port of the gateway.
pub(crate) const PORT_DEFAULT: u16 = 7373;
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
        let Some((scheme, rest)) = self.0.split_once("://") else {
            return formatter.write_str("…");
        };
        // The query may contain the password, too.
        let place = rest.split_once('?').map_or(rest, |(place, _)| place);
        match place.rsplit_once('@') {
            Some((login, server)) => {
                let user = login.split_once(':').map_or(login, |(user, _)| user);
                write!(formatter, "{scheme}://{user}@{server}")
            }
            None => write!(formatter, "{scheme}://{place}"),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
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
    /// Settings of the Kubernetes runtime.
    #[serde(default)]
    pub(crate) cluster: ClusterSettings,
}

/// The settings of the Kubernetes runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterSettings {
    /// The context of an existing cluster; `None` for the shared kind cluster.
    pub(crate) context: Option<String>,
    /// The node image for a new kind cluster.
    pub(crate) node_image: Option<String>,
    /// The registry from which the cluster pulls the images of the services; `None` if they are loaded into its nodes.
    #[serde(default)]
    pub(crate) push: Option<String>,
}

impl ClusterSettings {
    /// Keeps the cluster and the registry of before, unless others were given.
    pub(crate) fn stay_with(&mut self, before: Self) {
        if self.context.is_none() || self.context == before.context {
            self.context = before.context;
            self.push = self.push.take().or(before.push);
        }
    }
}

impl Settings {
    /// Returns the name, the current and the wanted value of each setting that differs. A port that was not given
    /// matches any port.
    pub(crate) fn differences(&self, running: &Self) -> Vec<Difference> {
        let unset = |text: Option<String>| text.unwrap_or_else(|| "unset".into());
        let cooking = |time: Option<Duration>| {
            unset(time.map(|time| humantime::format_duration(time).to_string()))
        };
        let pairs = [
            ("durability", running.durability.to_string(), self.durability.to_string()),
            ("cooking time", cooking(running.cooking_time), cooking(self.cooking_time)),
            ("stoves", running.stoves.to_string(), self.stoves.to_string()),
            ("seed", running.seed.to_string(), self.seed.to_string()),
            ("market", unset(running.market_url.clone()), unset(self.market_url.clone())),
            ("log", unset(running.log_filter.clone()), unset(self.log_filter.clone())),
        ];
        pairs
            .into_iter()
            .filter(|(_, is, wanted)| is != wanted)
            .map(|(setting, is, wanted)| Difference { setting, is, wanted })
            .collect()
    }
}

/// A setting that has to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Its name.
    pub(crate) setting: &'static str,
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
    fn a_database_url_is_shown_without_its_password() {
        let shown = |url: &str| url.parse::<DatabaseUrl>().unwrap().to_string();
        assert_eq!(shown("postgres://chef:se@cret@db:5432/lunch"), "postgres://chef@db:5432/lunch");
        assert_eq!(shown("postgresql://db/lunch?password=secret"), "postgresql://db/lunch");
    }
}
