//! The settings that `up` uses: what is stated for this command, else as last time, else the default. Each has an origin.

mod args;
mod file;
mod keys;
mod origins;

use std::collections::{BTreeMap, BTreeSet};

use clap::ValueEnum;

pub(crate) use self::{
    args::{SettingArgs, kubeconfig},
    file::Files,
    keys::{Keys, key_of},
    origins::{Origin, Origins},
};
use crate::{
    config::{ClusterSettings, Runtime, Settings},
    error::Result,
    output::Output,
};

/// A setting that an environment keeps. Its name is that of its flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Setting {
    /// How the services run.
    Runtime,
    /// The port of the gateway.
    Port,
    /// The failures that an accepted order survives.
    Durability,
    /// How long every dish cooks.
    CookingTime,
    /// How many dishes cook at a time.
    Stoves,
    /// The seed of random dishes and sales.
    Seed,
    /// PostgreSQL, instead of SQLite.
    DatabaseUrl,
    /// A farmers' market, instead of the simulated one.
    MarketUrl,
    /// The filter of log lines.
    Log,
    /// The number of containers or pods of services that were scaled.
    Replicas,
    /// The kubeconfig with the context of a cluster.
    Kubeconfig,
    /// The context of a cluster.
    Context,
    /// The node image for a new kind cluster.
    NodeImage,
    /// The registry from which the cluster pulls images.
    Push,
}

impl Setting {
    /// Returns its name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Returns the id of its argument.
    fn id(self) -> String {
        self.name().replace('-', "_")
    }

    /// Returns its name in sentences.
    pub(crate) fn label(self) -> String {
        match self {
            Self::DatabaseUrl => "database".into(),
            Self::MarketUrl => "market".into(),
            setting => setting.name().replace('-', " "),
        }
    }

    /// Returns whether a runtime uses it.
    const fn is_used_by(self, runtime: Runtime) -> bool {
        match self {
            Self::DatabaseUrl => matches!(runtime, Runtime::Embedded),
            Self::Replicas => !matches!(runtime, Runtime::Embedded),
            Self::Kubeconfig | Self::Context | Self::NodeImage | Self::Push => {
                matches!(runtime, Runtime::Kubernetes)
            }
            _ => true,
        }
    }
}

/// The settings that no longer count as last time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reset {
    /// None of them.
    #[default]
    Nothing,
    /// Only these.
    Some(BTreeSet<Setting>),
    /// All of them.
    All,
}

impl Reset {
    fn includes(&self, setting: Setting) -> bool {
        match self {
            Self::Nothing => false,
            Self::Some(settings) => settings.contains(&setting),
            // A cluster that has data of the environment is its default one.
            Self::All => !matches!(setting, Setting::Kubeconfig | Setting::Context),
        }
    }
}

/// What one command states about the settings.
#[derive(Clone, Debug)]
pub(crate) struct Stated {
    args: SettingArgs,
    origins: Origins,
    reset: Reset,
    /// Whether the environment needs containers, as for `run`: then an embedded one of last time is no default.
    needs_containers: bool,
}

impl Stated {
    /// Returns the statements of a command line.
    pub(crate) const fn new(
        args: SettingArgs,
        origins: Origins,
        reset: Reset,
        needs_containers: bool,
    ) -> Self {
        Self { args, origins, reset, needs_containers }
    }

    /// Returns whether a flag states a setting.
    pub(crate) fn has_flag(&self, setting: Setting) -> bool {
        self.origins.is_flag(&setting.id())
    }

    /// Returns the settings that result: stated values, else those of last time, else the defaults. Settings that only another
    /// runtime uses get their defaults.
    ///
    /// # Errors
    /// [`crate::error::CliError::Failed`] if the file of a secret is invalid.
    pub(crate) fn over(&self, last: Option<&Settings>) -> Result<Resolved> {
        let args = &self.args;
        let mut default = Settings::default();
        if self.needs_containers {
            default.runtime = Runtime::Compose;
        }
        let usable = |last: &&Settings| !self.needs_containers || last.runtime != Runtime::Embedded;
        let mut choice =
            Choice { stated: self, last: last.filter(usable), default, origins: BTreeMap::new() };
        let runtime = choice.of(Setting::Runtime, args.runtime, |settings| &settings.runtime);
        choice.last = last;
        let port = choice.of(Setting::Port, args.port.map(Some), |settings| &settings.port);
        let durability =
            choice.of(Setting::Durability, args.durability, |settings| &settings.durability);
        let cooking_time =
            choice.of(Setting::CookingTime, args.cooking_time.map(Some), |settings| {
                &settings.cooking_time
            });
        let stoves = choice.of(Setting::Stoves, args.stoves, |settings| &settings.stoves);
        let seed = choice.of(Setting::Seed, args.seed, |settings| &settings.seed);
        let market_url = args.market_url.clone().map(Some);
        let market_url = choice.of(Setting::MarketUrl, market_url, |settings| &settings.market_url);
        let log_filter =
            choice.of(Setting::Log, args.log.clone().map(Some), |settings| &settings.log_filter);
        // What follows is of one runtime.
        choice.last = last.filter(|last| last.runtime == runtime);
        let (database_url, from_secret) = match Setting::DatabaseUrl.is_used_by(runtime) {
            true => args.database_url(self.origins.get("database_url"))?,
            false => (None, None),
        };
        let database_url = choice
            .of(Setting::DatabaseUrl, database_url.map(Some), |settings| &settings.database_url);
        choice.origins.extend(from_secret.map(|origin| (Setting::DatabaseUrl, origin)));
        let replicas = choice.of(Setting::Replicas, None, |settings| &settings.replicas);
        // The shell's own come before them.
        let variables = choice.last.filter(|_| self.reset != Reset::All);
        let variables = variables.map(|last| last.variables.clone()).unwrap_or_default();
        let cluster = choice.of_cluster(args, runtime);
        let settings = Settings {
            runtime,
            port,
            durability,
            cooking_time,
            stoves,
            seed,
            database_url,
            market_url,
            log_filter,
            replicas,
            variables,
            cluster,
        };
        let is_unused = |setting: &Setting| !setting.is_used_by(runtime);
        let unused = Setting::value_variants().iter().copied().filter(is_unused);
        let unused =
            unused.filter_map(|one| Some((one, self.origins.get(&one.id())?.clone()))).collect();
        Ok(Resolved { settings, origins: choice.origins, unused })
    }
}

/// Chooses the value of each setting, and notes its origin.
struct Choice<'a> {
    stated: &'a Stated,
    last: Option<&'a Settings>,
    default: Settings,
    origins: BTreeMap<Setting, Origin>,
}

impl Choice<'_> {
    fn of<T: Clone + PartialEq>(
        &mut self,
        setting: Setting,
        stated: Option<T>,
        field: impl Fn(&Settings) -> &T,
    ) -> T {
        let default = field(&self.default);
        let last = self.last.filter(|_| !self.stated.reset.includes(setting)).map(field);
        let (value, origin) = match (stated, last) {
            (Some(stated), _) => {
                let origin = self.stated.origins.get(&setting.id());
                (stated, origin.cloned().unwrap_or(Origin::Flag))
            }
            (None, Some(last)) if last != default => (last.clone(), Origin::LastTime),
            (None, _) => (default.clone(), Origin::Default),
        };
        self.origins.insert(setting, origin);
        value
    }

    /// Chooses the settings of a cluster. Those of last time are of the cluster of last time.
    fn of_cluster(&mut self, args: &SettingArgs, runtime: Runtime) -> ClusterSettings {
        let stated = |setting: Setting, stated: &Option<String>| {
            stated.clone().filter(|_| setting.is_used_by(runtime)).map(Some)
        };
        let kubeconfig = stated(Setting::Kubeconfig, &args.kubeconfig);
        let kubeconfig =
            self.of(Setting::Kubeconfig, kubeconfig, |settings| &settings.cluster.kubeconfig);
        let context = stated(Setting::Context, &args.context);
        let context = self.of(Setting::Context, context, |settings| &settings.cluster.context);
        self.last = self.last.filter(|last| last.cluster.context == context);
        let node_image = stated(Setting::NodeImage, &args.node_image);
        let node_image =
            self.of(Setting::NodeImage, node_image, |settings| &settings.cluster.node_image);
        let push = stated(Setting::Push, &args.push);
        let push = self.of(Setting::Push, push, |settings| &settings.cluster.push);
        ClusterSettings { kubeconfig, context, node_image, push }
    }
}

/// The settings to use, each with its origin.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    /// The settings.
    pub(crate) settings: Settings,
    /// The origin of each.
    pub(crate) origins: BTreeMap<Setting, Origin>,
    /// Those that are stated, and that only another runtime uses.
    pub(crate) unused: BTreeMap<Setting, Origin>,
}

impl Resolved {
    /// Says which settings are as last time and not the defaults.
    pub(crate) fn tell_kept(&self, output: &Output) {
        let is_kept = |(_, origin): &(&Setting, &Origin)| **origin == Origin::LastTime;
        let kept: Vec<String> = self
            .origins
            .iter()
            .filter(is_kept)
            .map(|(setting, _)| {
                format!("{} {}", setting.label(), self.settings.shown(*setting).unwrap_or_default())
            })
            .collect();
        if !kept.is_empty() {
            output.status(format_args!(
                "Settings as last time: {} (`chefcito up --reset` returns to the defaults)",
                kept.join(", ")
            ));
        }
        for (setting, origin) in &self.unused {
            let runtime = self.settings.runtime;
            let name = setting.name();
            output.detail(format_args!("Not used by the runtime {runtime}: {name} ({origin})"));
        }
    }
}

#[cfg(test)]
mod tests;
