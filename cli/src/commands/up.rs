use std::path::PathBuf;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use manifests::{compose_file, kustomize};

use super::usage_error;
use crate::{
    ci::Group,
    completion,
    config::{Runtime, Settings, UP_TIMEOUT_DEFAULT},
    diagnostics::Diagnostics,
    error::{CliError, Result},
    output::Output,
    overlays,
    runtimes::{Program, Wanted, compose, embedded, kubernetes},
    settings::{Origins, Reset, Setting, SettingArgs, Stated},
    signals::Signals,
    state::Environment,
};

/// Bring the environment up, wait until it is ready, and seed it if it is empty
#[derive(Debug, Args)]
#[command(after_help = "\
Run it again at any time: it changes only what differs, prints the reasons, and keeps the data.
The runtime and every setting stay as last time, also after `down`, and those that are not the
defaults are listed; a flag changes one, `--reset` returns all to the defaults.

In a terminal it also prints a link that signs a browser in to the page: once, within ten minutes.
`chefcito board --web` prints another one.

Examples:
  chefcito up                                  Start the environment on port 7373, or the next free one
  chefcito up --orders 50                      … and follow fifty orders to the table
  chefcito up --name ci --port 0 --no-seed     A second, empty environment on any free port
  chefcito up --cooking-time 0s --stoves 64    A very fast kitchen
  chefcito up --runtime kubernetes             Pods in a kind cluster, created if it does not exist
  chefcito up --reset=stoves,market-url        As last time, but two settings with their defaults
  chefcito up --dry-run                        Only print what would be done")]
pub(crate) struct UpArgs {
    /// Services to bring up (with containers only) [default: all]
    #[arg(
        value_name = "SERVICE",
        add = ArgValueCandidates::new(completion::services_in_containers)
    )]
    services: Vec<String>,
    /// Forget the settings of last time: all, or those named as their flags, behind commas
    #[arg(
        long,
        value_name = "SETTING",
        num_args = 0..,
        require_equals = true,
        value_delimiter = ',',
        value_enum,
        hide_possible_values = true
    )]
    reset: Option<Vec<Setting>>,
    #[command(flatten)]
    settings: SettingArgs,
    /// Return once it is ready, as without this flag: users of docker compose type it
    #[arg(short = 'd', long, hide = true, conflicts_with = "foreground")]
    detach: bool,
    /// Only print what would be done
    #[arg(long)]
    dry_run: bool,
    /// Print it as JSON
    #[arg(long, requires = "dry_run")]
    json: bool,
    /// If it fails, write the error, plan, status and logs into a new folder in this one, without secrets
    #[arg(long, value_name = "FOLDER", conflicts_with = "dry_run")]
    diagnostics: Option<PathBuf>,
    /// Build the images first (not when embedded)
    #[arg(long)]
    build: bool,
    /// Take over fields that other programs have set
    #[arg(long, help_heading = "On a cluster")]
    force_conflicts: bool,
    /// Whether the environment needs containers
    #[arg(skip)]
    needs_containers: bool,
}

impl UpArgs {
    /// Returns the same arguments with `--build`, for an environment with containers.
    pub(super) fn with_build(self) -> Self {
        Self { build: true, needs_containers: true, ..self }
    }

    /// Returns what they state about the settings.
    fn stated(&self, origins: Origins) -> Stated {
        let reset = match &self.reset {
            None => Reset::Nothing,
            Some(named) if named.is_empty() => Reset::All,
            Some(named) => Reset::Some(named.iter().copied().collect()),
        };
        Stated::new(self.settings.clone(), origins, reset, self.needs_containers)
    }

    fn wanted(&self, settings: Settings, stated: Stated) -> Wanted {
        Wanted {
            settings,
            stated: Some(stated),
            program: Program::this(),
            seed: !self.settings.no_seed,
            orders: self.settings.orders,
            timeout: self.settings.timeout.unwrap_or(UP_TIMEOUT_DEFAULT),
            timeout_is_given: self.settings.timeout.is_some(),
            json: self.json,
            foreground: self.settings.foreground,
            build: self.build,
            force_conflicts: self.force_conflicts,
            services: self.services.clone(),
        }
    }

    /// Returns whether a flag of the Kubernetes runtime is set.
    fn is_of_cluster(&self, stated: &Stated) -> bool {
        let of_cluster = [Setting::Kubeconfig, Setting::Context, Setting::NodeImage, Setting::Push];
        self.force_conflicts || of_cluster.into_iter().any(|setting| stated.has_flag(setting))
    }

    /// Refuses flags that the runtime does not support. A variable or a file may state what another runtime uses.
    fn check(&self, runtime: Runtime, stated: &Stated) -> Result<()> {
        let usage =
            |what: &str, tip: &str| Err(usage_error("up", format_args!("{what}\n\n  tip: {tip}")));
        let all = "the embedded environment always runs all services; omit it";
        match runtime {
            Runtime::Embedded if !self.services.is_empty() => {
                usage("single services can only be brought up with containers", all)
            }
            Runtime::Embedded if self.build => {
                usage("the embedded environment has no images to build", all)
            }
            Runtime::Compose if stated.has_flag(Setting::DatabaseUrl) => usage(
                "in containers, the data are in a PostgreSQL container of the environment",
                "omit `--database-url`",
            ),
            Runtime::Kubernetes if stated.has_flag(Setting::DatabaseUrl) => usage(
                "on a cluster, the data are in a PostgreSQL pod of the environment",
                "omit `--database-url`",
            ),
            Runtime::Kubernetes if !self.services.is_empty() => usage(
                "on a cluster, all services come up together",
                "omit the services; `chefcito restart SERVICE` is for one",
            ),
            Runtime::Embedded | Runtime::Compose if self.is_of_cluster(stated) => usage(
                "`--kubeconfig`, `--context`, `--node-image`, `--push` and `--force-conflicts` are for clusters",
                "add `--runtime kubernetes`, or omit them",
            ),
            Runtime::Embedded | Runtime::Compose | Runtime::Kubernetes => Ok(()),
        }
    }
}

pub(crate) async fn run(
    args: UpArgs,
    origins: Origins,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let stated = args.stated(origins);
    let resolved = stated.over(environment.former_settings()?.as_ref())?;
    let runtime = resolved.settings.runtime;
    args.check(runtime, &stated)?;
    resolved.tell_kept(output);
    let wanted = args.wanted(resolved.settings, stated);
    match runtime {
        Runtime::Embedded => {}
        Runtime::Compose => overlays::tell_which(compose_file::FILE, output),
        Runtime::Kubernetes => overlays::tell_which(kustomize::FOLDER, output),
    }
    let is_short = !args.dry_run && !wanted.foreground;
    let _group = is_short.then(|| Group::begin(&format!("chefcito up ({})", runtime)));
    match args.diagnostics {
        _ if args.dry_run => signals.or(dry_run(&wanted, environment, output)).await,
        None => bring_up(&wanted, environment, output, signals).await,
        Some(folder) => {
            let diagnostics = Diagnostics::prepare(&folder, environment)?;
            diagnose(diagnostics, &wanted, environment, output, signals).await
        }
    }
}

async fn bring_up(
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    match wanted.settings.runtime {
        Runtime::Embedded => embedded::up(wanted, environment, output, signals).await,
        Runtime::Compose => compose::up(wanted, environment, output, signals).await,
        Runtime::Kubernetes => kubernetes::up(wanted, environment, output, signals).await,
    }
}

async fn dry_run(wanted: &Wanted, environment: &Environment, output: &Output) -> Result<()> {
    match wanted.settings.runtime {
        Runtime::Embedded => embedded::dry_run(wanted, environment, output).await,
        Runtime::Compose => compose::dry_run(wanted, environment, output).await,
        Runtime::Kubernetes => kubernetes::dry_run(wanted, environment, output).await,
    }
}

/// Brings the environment up, and keeps what is known about a failure. A signal is none.
async fn diagnose(
    mut diagnostics: Diagnostics,
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let planning =
        diagnostics.note_plan(output, async |output| dry_run(wanted, environment, output).await);
    let planned = signals
        .or(async {
            planning.await;
            Ok(())
        })
        .await;
    let result = match planned {
        Ok(()) => bring_up(wanted, environment, output, signals).await,
        Err(signal) => Err(signal),
    };
    match &result {
        Err(error) if !error.is_signal() && !matches!(error, CliError::OutputClosed) => {
            let writing = diagnostics.write(error, &wanted.settings, environment, output);
            signals
                .or(async {
                    writing.await;
                    Ok(())
                })
                .await?;
        }
        _ => diagnostics.discard(),
    }
    result
}
