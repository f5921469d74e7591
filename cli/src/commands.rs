//! The tree of commands, and their dispatch.

mod audit;
mod build;
mod cancel;
mod completions;
mod dead_letters;
mod deploy;
mod doctor;
mod down;
mod embedded;
mod exec;
mod forward;
mod keys;
pub(crate) mod logs;
mod man;
mod market;
pub(crate) mod order;
mod render;
mod restart;
mod run;
mod scale;
pub(crate) mod seed;
mod start;
mod status;
mod stop;
mod story;
mod up;

use std::{
    fmt::{self, Write},
    net::SocketAddr,
    process::ExitCode,
};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};

use crate::{
    client::Client,
    error::{CliError, Result},
    output::{Output, Verbosity},
    runtimes,
    signals::Signals,
    state::{Environment, EnvironmentName},
};

/// The heading of the options of every command.
const GLOBAL: &str = "Global options";

/// Run a whole restaurant of event-driven services on one machine: start it, order, watch, stop it
#[derive(Debug, Parser)]
#[command(
    name = "chefcito",
    version,
    after_help = "\
Examples:
  chefcito up                  Start a restaurant on this machine, with nothing installed
  chefcito order --count 50    Place fifty orders and follow each to the table
  chefcito audit               Prove that no order was lost, doubled or invented
  chefcito down                Stop it

Exit codes:
  0 done, 1 failed, 2 usage, 3 nothing is running, 4 not in time, 5 a limit crossed,
  6 an invariant broken, 7 the machine lacks something, 130 interrupted, 143 terminated"
)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct GlobalArgs {
    /// Environment to work on; each has its own services, data and port
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "CHEFCITO_NAME",
        default_value = EnvironmentName::DEFAULT,
        help_heading = GLOBAL
    )]
    name: EnvironmentName,
    /// Print only data and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = GLOBAL)]
    quiet: bool,
    /// Print details, too
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    verbose: bool,
}

impl GlobalArgs {
    const fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, true) => Verbosity::Verbose,
            (false, false) => Verbosity::Normal,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Build(build::BuildArgs),
    Run(Box<run::RunArgs>),
    Up(Box<up::UpArgs>),
    Down(down::DownArgs),
    Stop(stop::StopArgs),
    Start(start::StartArgs),
    Restart(restart::RestartArgs),
    Scale(scale::ScaleArgs),
    Exec(exec::ExecArgs),
    Seed(seed::SeedArgs),
    Order(Box<order::OrderArgs>),
    Cancel(cancel::CancelArgs),
    Market(market::MarketArgs),
    Keys(keys::KeysArgs),
    DeadLetters(dead_letters::DeadLettersArgs),
    Story(story::StoryArgs),
    Audit(audit::AuditArgs),
    Status(status::StatusArgs),
    Logs(logs::LogsArgs),
    Render(render::RenderArgs),
    Deploy(deploy::DeployArgs),
    Doctor(doctor::DoctorArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
    #[command(hide = true)]
    Embedded(embedded::EmbeddedArgs),
    #[command(hide = true)]
    Forward(forward::ForwardArgs),
}

impl Command {
    /// Returns whether the command reads or changes the state of an environment.
    const fn uses_state(&self) -> bool {
        !matches!(
            self,
            Self::Build(_)
                | Self::Render(_)
                | Self::Deploy(_)
                | Self::Doctor(_)
                | Self::Completions(_)
                | Self::Man(_)
        )
    }
}

/// The commands in the groups of the help.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Environment", &["build", "run", "up", "down", "stop", "start", "restart", "scale", "exec"]),
    ("Data and orders", &["seed", "order", "cancel", "market", "keys", "dead-letters"]),
    ("Watch and prove", &["status", "logs", "story", "audit"]),
    ("Deploy", &["render", "deploy"]),
    ("This machine", &["doctor", "completions", "man"]),
];

/// Returns the command line: commands grouped, help lines at most 100 columns wide.
pub(crate) fn command_line() -> clap::Command {
    let command = Cli::command();
    let template = format!(
        "{{about}}\n\n{{usage-heading}} {{usage}}\n{}\n{GLOBAL}:\n{{options}}{{after-help}}",
        groups(&command)
    );
    // The value of a variable may be a secret.
    command
        .help_template(template)
        .max_term_width(100)
        .mut_subcommands(|subcommand| {
            subcommand.max_term_width(100).mut_args(|arg| arg.hide_env_values(true))
        })
        .mut_subcommand("run", run::adjust)
        .mut_args(|arg| arg.hide_env_values(true))
}

fn groups(command: &clap::Command) -> String {
    let mut text = String::new();
    for (group, names) in GROUPS {
        // Writing to a string can't fail.
        let _written = write!(text, "\n{group}:\n");
        for subcommand in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
            let _written = writeln!(text, "  {:<14}{about}", subcommand.get_name());
        }
    }
    text
}

/// Runs the command of this process, and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let matches = command_line().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let output = Output::new(cli.global.verbosity());
    let Err(error) = run(cli, &output) else { return ExitCode::SUCCESS };
    match &error {
        CliError::Usage(usage) => usage.exit(),
        CliError::OutputClosed | CliError::Ended { .. } => {}
        CliError::Interrupted => output.status(format_args!("Interrupted")),
        CliError::Terminated => output.status(format_args!("Terminated")),
        error => output.error(error),
    }
    ExitCode::from(error.exit_code())
}

fn run(cli: Cli, output: &Output) -> Result<()> {
    let environment = Environment::locate(cli.global.name)?;
    let environment = &environment;
    if cli.command.uses_state() {
        environment.refuse_earlier()?;
    }
    match cli.command {
        Command::Build(args) => {
            wait_for(async |signals| signals.or(build::run(args, output)).await)
        }
        Command::Run(args) => {
            wait_for(async |signals| run::run(*args, environment, output, signals).await)
        }
        Command::Up(args) => {
            wait_for(async |signals| up::run(*args, environment, output, signals).await)
        }
        Command::Down(args) => {
            wait_for(async |signals| signals.or(down::run(args, environment, output)).await)
        }
        Command::Stop(args) => {
            wait_for(async |signals| signals.or(stop::run(args, environment, output)).await)
        }
        Command::Start(args) => {
            wait_for(async |signals| start::run(args, environment, output, signals).await)
        }
        Command::Restart(args) => {
            wait_for(async |signals| restart::run(args, environment, output, signals).await)
        }
        Command::Scale(args) => {
            wait_for(async |signals| scale::run(args, environment, output, signals).await)
        }
        Command::Exec(args) => {
            wait_for(async |signals| signals.or(exec::run(args, environment, output)).await)
        }
        Command::Seed(args) => {
            wait_for(async |signals| signals.or(seed::run(args, environment, output)).await)
        }
        Command::Order(args) => {
            wait_for(async |signals| order::run(*args, environment, output, signals).await)
        }
        Command::Cancel(args) => {
            wait_for(async |signals| signals.or(cancel::run(args, environment, output)).await)
        }
        Command::Market(args) => {
            wait_for(async |signals| signals.or(market::run(args, environment, output)).await)
        }
        Command::Keys(args) => {
            wait_for(async |signals| signals.or(keys::run(args, environment, output)).await)
        }
        Command::DeadLetters(args) => {
            wait_for(async |signals| signals.or(dead_letters::run(args, environment, output)).await)
        }
        Command::Story(args) => {
            wait_for(async |signals| signals.or(story::run(args, environment, output)).await)
        }
        Command::Audit(args) => {
            wait_for(async |signals| signals.or(audit::run(args, environment, output)).await)
        }
        Command::Status(args) => {
            wait_for(async |signals| signals.or(status::run(args, environment, output)).await)
        }
        Command::Logs(args) => {
            wait_for(async |signals| signals.or(logs::run(args, environment, output)).await)
        }
        Command::Doctor(args) => {
            wait_for(async |signals| signals.or(doctor::run(args, environment, output)).await)
        }
        Command::Render(args) => render::run(args, output),
        Command::Deploy(args) => wait_for(async |signals| deploy::run(args, output, signals).await),
        Command::Completions(args) => completions::run(&args, output),
        Command::Man(args) => man::run(&args, output),
        Command::Embedded(args) => embedded::run(&args, environment),
        Command::Forward(args) => {
            wait_for(async |signals| forward::run(&args, environment, signals).await)
        }
    }
}

/// Runs an asynchronous command on this thread.
fn wait_for(command: impl AsyncFnOnce(&mut Signals) -> Result<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::io(|| "start the runtime".into()))?;
    let result = runtime.block_on(async {
        let mut signals = Signals::take_over()?;
        command(&mut signals).await
    });
    // Blocking reads and DNS look-ups that still run are abandoned.
    runtime.shutdown_background();
    result
}

/// Returns the usage error for flags of a command that exclude each other.
pub(crate) fn usage_error(command: &str, what: impl fmt::Display) -> CliError {
    let mut tree = command_line();
    tree.build();
    CliError::Usage(match tree.find_subcommand_mut(command) {
        Some(command) => command.error(ErrorKind::ArgumentConflict, what),
        None => tree.error(ErrorKind::ArgumentConflict, what),
    })
}

/// Returns the address of the gateway, and starts the forwarder to it if it needs one.
///
/// # Errors
/// [`CliError::NotRunning`] or [`CliError::Crashed`] if no environment runs here.
fn address(environment: &Environment) -> Result<SocketAddr> {
    let address = environment.address()?;
    runtimes::kubernetes::find_way(environment)?;
    Ok(address)
}

/// Returns a client of the running environment, with the local admin key.
///
/// # Errors
/// [`CliError::NotRunning`] or [`CliError::Crashed`] if no environment runs here; [`CliError::Io`] if the key can't be
/// read.
pub(crate) fn connect(environment: &Environment) -> Result<Client> {
    let address = address(environment)?;
    Ok(Client::new(address, &environment.admin_key()?).map_err(anyhow::Error::from)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_sound() {
        command_line().debug_assert();
    }

    #[test]
    fn every_command_is_in_a_group_of_the_help() {
        let grouped: Vec<&str> =
            GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(
                grouped.contains(&command.get_name()),
                "`{}` is in no group",
                command.get_name()
            );
        }
    }
}
