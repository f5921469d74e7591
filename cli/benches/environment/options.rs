//! The options of the benchmark.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};

/// How often a scene runs.
const RUNS: usize = 3;
/// How long orders are placed.
const LONG: Duration = Duration::from_secs(30);
/// The same with `--quick`.
const SHORT: Duration = Duration::from_secs(5);

/// Measures an environment
#[derive(Debug, Parser)]
#[command(name = "environment")]
pub(crate) struct Options {
    /// Once instead of three times, and 5 s instead of 30 s
    #[arg(long)]
    pub(crate) quick: bool,
    /// Which environment: one process, containers, nodes of a cluster, or a process for each service
    #[arg(long, value_enum, default_value_t = Runtime::Embedded)]
    runtime: Runtime,
    /// Only these scenes; may be given several times, or with several names
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<Scene>,
    /// Compare the embedded runtime with that of another revision of this checkout, built as this one
    #[arg(long, value_name = "REV", conflicts_with_all = ["runtime", "only"])]
    pub(crate) against: Option<String>,
    /// File for every figure of every run
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Be the server that only says hello
    #[arg(long, hide = true)]
    pub(crate) hello: bool,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Returns the scenes to run, in order.
    pub(crate) fn scenes(&self) -> impl Iterator<Item = Scene> + '_ {
        let wanted = |scene: &Scene| match self.only.as_slice() {
            _ if self.against.is_some() => false,
            [] => scene.runtime() == self.runtime,
            only => only.contains(scene),
        };
        Scene::value_variants().iter().copied().filter(wanted)
    }

    /// Returns how long orders are placed.
    pub(crate) const fn duration(&self) -> Duration {
        if self.quick { SHORT } else { LONG }
    }

    /// Returns how often a scene runs. The short ones repeat themselves.
    pub(crate) const fn runs_of(&self, scene: Scene) -> usize {
        match scene {
            Scene::Commands
            | Scene::Crash
            | Scene::Build
            | Scene::Start
            | Scene::Faults
            | Scene::Load
            | Scene::Burst => 1,
            _ if self.quick => 1,
            _ => RUNS,
        }
    }
}

/// The environment that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    /// One background process
    Embedded,
    /// Containers of a Docker engine
    Compose,
    /// Nodes of a kind cluster
    Kubernetes,
    /// A process for each service
    Processes,
}

/// The scenes, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scene {
    /// The parts by themselves
    Limit,
    /// The gateway alone, without cooking
    Door,
    /// The whole environment, as fast as it goes
    Delivered,
    /// A thousand orders a second
    Open,
    /// An empty pantry and a poor market
    Market,
    /// PostgreSQL instead of SQLite
    Postgres,
    /// Memory
    Memory,
    /// Commands
    Commands,
    /// A crash
    Crash,
    /// Images
    Build,
    /// The environment in containers, beside `docker compose`
    Start,
    /// The gateway alone, in containers
    ComposeDoor,
    /// The whole environment in containers, as fast as it goes
    ComposeDelivered,
    /// Five hundred orders a second, in containers
    ComposeOpen,
    /// Redis stopped
    Outage,
    /// Every part killed and paused
    Faults,
    /// Log lines, beside `docker compose`
    Logs,
    /// Images into a node, beside what `kind load` does
    Load,
    /// Far more orders at once than services of little memory can take
    Burst,
}

impl Scene {
    /// Returns its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Door => "door",
            Self::Delivered => "delivered",
            Self::Open => "open",
            Self::Market => "market",
            Self::Postgres => "postgres",
            Self::Memory => "memory",
            Self::Commands => "commands",
            Self::Crash => "crash",
            Self::Build => "build",
            Self::Start => "start",
            Self::ComposeDoor => "compose-door",
            Self::ComposeDelivered => "compose-delivered",
            Self::ComposeOpen => "compose-open",
            Self::Outage => "outage",
            Self::Faults => "faults",
            Self::Logs => "logs",
            Self::Load => "load",
            Self::Burst => "burst",
        }
    }

    /// Returns the environment that it needs.
    const fn runtime(self) -> Runtime {
        match self {
            Self::Limit
            | Self::Door
            | Self::Delivered
            | Self::Open
            | Self::Market
            | Self::Postgres
            | Self::Memory
            | Self::Commands
            | Self::Crash => Runtime::Embedded,
            Self::Build
            | Self::Start
            | Self::ComposeDoor
            | Self::ComposeDelivered
            | Self::ComposeOpen
            | Self::Outage
            | Self::Faults
            | Self::Logs => Runtime::Compose,
            Self::Load => Runtime::Kubernetes,
            Self::Burst => Runtime::Processes,
        }
    }

    /// Returns its title.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Limit => {
                "The limit: rusqlite alone on one thread, and an HTTP server that only says hello"
            }
            Self::Door => {
                "The door alone: orders are accepted while the kitchen and the board are held up"
            }
            Self::Delivered => {
                "The whole environment, SQLite, durability `process`: 64 guests, each orders again once accepted"
            }
            Self::Open => "1,000 orders a second offered, whatever the environment does",
            Self::Market => {
                "5,000 orders from the opening stock of 5; the simulated market sells 1 to 10, and nothing 3 times of 10"
            }
            Self::Postgres => {
                "The whole environment on PostgreSQL: 64 guests, each orders again once accepted"
            }
            Self::Memory => "Memory of the environment",
            Self::Commands => "Commands, from their start to their end",
            Self::Crash => "kill -9 with a thousand orders just accepted",
            Self::Build => "Images, in a copy of this checkout",
            Self::Start => "The environment in containers, beside docker compose on the same file",
            Self::ComposeDoor => {
                "The door alone, in containers: orders are accepted while the kitchen and the board are held still"
            }
            Self::ComposeDelivered => {
                "The whole environment in containers: 64 guests, each orders again once accepted"
            }
            Self::ComposeOpen => "500 orders a second offered, in containers",
            Self::Outage => "Redis away while orders come",
            Self::Faults => {
                "Each part killed, and held still for 2 s, with 500 orders just accepted"
            }
            Self::Logs => "All log lines of 12,000 orders",
            Self::Load => {
                "The images of all services into a played node of kind, beside the steps of `kind load docker-image`"
            }
            Self::Burst => {
                "4,096 posts of 1,000 orders at once, from 64 addresses; the gateway and the orders have 128 MiB each"
            }
        }
    }
}
