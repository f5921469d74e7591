//! The tree of commands, and their dispatch.

mod audit;
pub(crate) mod board;
mod build;
mod cancel;
mod completions;
mod config;
mod dead_letters;
mod deploy;
mod doctor;
mod down;
mod embedded;
mod exec;
mod forward;
mod keys;
pub(crate) mod logs;
mod ls;
mod man;
mod market;
pub(crate) mod order;
mod render;
mod restart;
mod run;
mod scale;
pub(crate) mod seed;
mod start;
pub(crate) mod status;
mod stop;
mod story;
mod up;
mod version;

pub(crate) use self::render::registry;

use std::{
    env,
    ffi::OsString,
    fmt::{self, Write},
    net::SocketAddr,
    process::ExitCode,
    time::Duration,
};

use clap::{
    ArgMatches, Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand,
    builder::Resettable, error::ErrorKind,
};
use clap_complete::engine::ArgValueCandidates;
use client::Client;
use service::config::parse_duration;

use crate::{
    completion,
    error::{CliError, Result},
    output::{Colors, Manner, Output, Verbosity},
    runtimes,
    settings::{self, Files, Keys, Origins},
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
  6 an invariant broken, 7 the machine lacks something, 129 hung up, 130 interrupted,
  143 terminated"
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
        add = ArgValueCandidates::new(completion::environments),
        help_heading = GLOBAL
    )]
    name: EnvironmentName,
    /// Settings of this profile, a table `[profile.NAME]` in .chefcito.toml
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "CHEFCITO_PROFILE",
        help_heading = GLOBAL
    )]
    profile: Option<String>,
    /// Print only data and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = GLOBAL)]
    quiet: bool,
    /// Print details, too
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    verbose: bool,
    /// Leave out bars and lines about work while it goes on, not results
    #[arg(long, global = true, help_heading = GLOBAL)]
    no_progress: bool,
    /// Print colours: auto, always, never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value_t = ColorChoice::Auto,
        hide_possible_values = true,
        help_heading = GLOBAL
    )]
    color: ColorChoice,
}

impl GlobalArgs {
    const fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, true) => Verbosity::Verbose,
            (false, false) => Verbosity::Normal,
        }
    }

    fn manner(&self) -> Manner {
        Manner {
            verbosity: self.verbosity(),
            progress: !self.no_progress,
            colors: Colors::decide(self.color),
            name_flag: self.name.flag(),
        }
    }
}

/// Returns the value of `--color`, which rules the help and usage errors, too: they are printed before there are arguments. A
/// value that is none is left to the parser.
fn color_choice(mut args: impl Iterator<Item = OsString>) -> ColorChoice {
    let mut choice = None;
    while let Some(arg) = args.next().filter(|arg| arg != "--") {
        let value = match arg.to_str() {
            Some("--color") => args.next().and_then(|value| value.into_string().ok()),
            Some(arg) => arg.strip_prefix("--color=").map(str::to_owned),
            None => None,
        };
        choice = value.and_then(|value| value.parse().ok()).or(choice);
    }
    choice.unwrap_or(ColorChoice::Auto)
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    OfMachine(MachineCommand),
    #[command(flatten)]
    OfEnvironment(EnvironmentCommand),
}

/// The commands that need no state folder, or read those of all environments.
#[derive(Debug, Subcommand)]
enum MachineCommand {
    Build(build::BuildArgs),
    Render(render::RenderArgs),
    Deploy(deploy::DeployArgs),
    Doctor(doctor::DoctorArgs),
    Ls(ls::LsArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
    Version(version::VersionArgs),
}

/// The commands that read or change the state of an environment.
#[derive(Debug, Subcommand)]
enum EnvironmentCommand {
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
    #[command(visible_alias = "ps")]
    Status(status::StatusArgs),
    Board(board::BoardArgs),
    Logs(logs::LogsArgs),
    Config(Box<config::ConfigArgs>),
    #[command(hide = true)]
    Embedded(embedded::EmbeddedArgs),
    #[command(hide = true)]
    Forward(forward::ForwardArgs),
}

/// The commands in the groups of the help.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Environment", &["build", "run", "up", "down", "stop", "start", "restart", "scale", "exec"]),
    ("Data and orders", &["seed", "order", "cancel", "market", "keys", "dead-letters"]),
    ("Watch and prove", &["ls", "status", "board", "logs", "story", "audit"]),
    ("Deploy", &["render", "deploy"]),
    ("This machine", &["doctor", "config", "completions", "man", "version"]),
];

impl Command {
    /// Returns whether settings in files count for it: not for what only prints something about this program, and not for processes
    /// of an environment, which get theirs from the command that starts them.
    const fn reads_files(&self) -> bool {
        !matches!(
            self,
            Self::OfMachine(MachineCommand::Completions(_) | MachineCommand::Man(_))
                | Self::OfEnvironment(
                    EnvironmentCommand::Embedded(_) | EnvironmentCommand::Forward(_)
                )
        )
    }
}

/// Returns the command line: commands grouped, help lines at most 100 columns wide.
pub(crate) fn command_line() -> clap::Command {
    command_line_with(&Files::default())
}

/// Returns the command line, with the values of files as defaults.
fn command_line_with(files: &Files) -> clap::Command {
    let command = Cli::command();
    let template = format!(
        "{{about}}\n\n{{usage-heading}} {{usage}}\n{}\n{GLOBAL}:\n{{options}}{{after-help}}",
        groups(&command)
    );
    command
        .help_template(template)
        .max_term_width(100)
        .mut_subcommands(|subcommand| {
            subcommand.max_term_width(100).mut_args(|arg| with_variable(with_file(arg, files)))
        })
        .mut_subcommand("run", run::adjust)
        .mut_args(|arg| with_variable(with_file(arg, files)))
}

/// Makes the value of a file the default of an argument.
fn with_file(arg: clap::Arg, files: &Files) -> clap::Arg {
    let value = settings::key_of(&arg).and_then(|key| files.value(&key));
    match value {
        // The command line lives as long as the process.
        Some(value) => arg.default_value(&*value.text.clone().leak()),
        None => arg,
    }
}

/// Ignores an empty variable. The value of a variable may be a secret: the help hides it.
fn with_variable(arg: clap::Arg) -> clap::Arg {
    let is_empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    let arg = arg.hide_env_values(true);
    if is_empty { arg.env(Resettable::Reset) } else { arg }
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

/// A command line with the files that count for it.
struct Given {
    cli: Cli,
    origins: Origins,
    warnings: Vec<String>,
}

impl Given {
    /// Parses the arguments of this process.
    ///
    /// # Errors
    /// [`CliError::Usage`], also for the help; [`CliError::BadSettings`].
    fn read(colors: Colors) -> Result<Self> {
        let of_help = if colors.stdout { ColorChoice::Always } else { ColorChoice::Never };
        let parsed =
            |line: clap::Command| line.color(of_help).try_get_matches().map_err(CliError::Usage);
        let matches = parsed(command_line())?;
        let cli = Cli::from_arg_matches(&matches).map_err(CliError::Usage)?;
        let tree = Cli::command();
        let Some((name, of_command)) = matches.subcommand() else {
            return Ok(Self { cli, origins: Origins::default(), warnings: Vec::new() });
        };
        let command = tree.find_subcommand(name).unwrap_or(&tree);
        let mut warnings: Vec<String> = former_variable(command).into_iter().collect();
        if !cli.command.reads_files() {
            return Ok(Self { cli, origins: Origins::default(), warnings });
        }
        let folder = env::current_dir().unwrap_or_default();
        let files = Files::read(&folder, cli.global.profile.clone(), || Keys::of(&tree))?;
        warnings.extend(files.warnings.iter().cloned());
        let origins = |matches: &ArgMatches| Origins::of(matches, &tree, command, &files);
        if files.are_empty() {
            return Ok(Self { cli, origins: origins(of_command), warnings });
        }
        let matches = parsed(command_line_with(&files))?;
        let cli = Cli::from_arg_matches(&matches).map_err(CliError::Usage)?;
        let origins = matches.subcommand().map(|(_, of_command)| origins(of_command));
        Ok(Self { cli, origins: origins.unwrap_or_default(), warnings })
    }
}

/// Returns a warning if the variable for all time-outs is set, which former versions read.
fn former_variable(command: &clap::Command) -> Option<String> {
    const FORMER: &str = concat!("CHEFCITO", "_TIMEOUT");
    let timeout = command.get_arguments().find(|arg| arg.get_id() == "timeout")?;
    let variable = timeout.get_env()?.to_string_lossy();
    env::var_os(FORMER).filter(|value| !value.is_empty())?;
    Some(format!("{FORMER} is ignored: for `{}` it is {variable}", command.get_name()))
}

/// Runs the command of this process, and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    if completion::answer(command_line) {
        return ExitCode::SUCCESS;
    }
    let colors = Colors::decide(color_choice(env::args_os()));
    let given = match Given::read(colors) {
        Ok(given) => given,
        // The help or the version.
        Err(CliError::Usage(asked)) if !asked.use_stderr() => asked.exit(),
        Err(error) => {
            let verbosity = Verbosity::Normal;
            let manner = Manner { verbosity, progress: true, colors, name_flag: String::new() };
            return ended(&error, &Output::new(manner));
        }
    };
    let output = Output::new(given.cli.global.manner());
    given.warnings.iter().for_each(|warning| output.warn(format_args!("{warning}")));
    match run(given.cli, given.origins, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ended(&error, &output),
    }
}

/// Reports why a command ended, and returns its exit code.
fn ended(error: &CliError, output: &Output) -> ExitCode {
    match error {
        CliError::Usage(usage) => output.usage(usage),
        CliError::OutputClosed | CliError::Ended { .. } => {}
        CliError::Interrupted => output.status(format_args!("Interrupted")),
        CliError::Terminated => output.status(format_args!("Terminated")),
        CliError::HungUp => output.status(format_args!("Hung up")),
        error => output.error(error),
    }
    ExitCode::from(error.exit_code())
}

fn run(cli: Cli, origins: Origins, output: &Output) -> Result<()> {
    let environment = Environment::locate(cli.global.name);
    match cli.command {
        Command::OfMachine(command) => run_on_machine(command, environment, output),
        Command::OfEnvironment(command) => {
            let environment = environment?;
            environment.refuse_unsafe()?;
            environment.refuse_other_versions()?;
            run_on_environment(command, origins, &environment, output)
        }
    }
}

fn run_on_machine(
    command: MachineCommand,
    environment: Result<Environment>,
    output: &Output,
) -> Result<()> {
    match command {
        MachineCommand::Build(args) => {
            wait_for(async |signals| signals.or(build::run(args, output)).await)
        }
        MachineCommand::Render(args) => render::run(args, output),
        MachineCommand::Deploy(args) => {
            wait_for(async |signals| deploy::run(args, output, signals).await)
        }
        MachineCommand::Doctor(args) => {
            wait_for(async |signals| signals.or(doctor::run(args, environment, output)).await)
        }
        MachineCommand::Ls(args) => {
            wait_for(async |signals| signals.or(ls::run(args, &environment?, output)).await)
        }
        MachineCommand::Completions(args) => completions::run(&args, output),
        MachineCommand::Man(args) => man::run(&args, output),
        MachineCommand::Version(args) => version::run(&args, output),
    }
}

fn run_on_environment(
    command: EnvironmentCommand,
    origins: Origins,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    match command {
        EnvironmentCommand::Run(args) => {
            wait_for(async |signals| run::run(*args, origins, environment, output, signals).await)
        }
        EnvironmentCommand::Up(args) => {
            wait_for(async |signals| up::run(*args, origins, environment, output, signals).await)
        }
        EnvironmentCommand::Down(args) => {
            wait_for(async |signals| down::run(args, environment, output, signals).await)
        }
        EnvironmentCommand::Stop(args) => {
            wait_for(async |signals| signals.or(stop::run(args, environment, output)).await)
        }
        EnvironmentCommand::Start(args) => {
            wait_for(async |signals| start::run(args, environment, output, signals).await)
        }
        EnvironmentCommand::Restart(args) => {
            wait_for(async |signals| restart::run(args, environment, output, signals).await)
        }
        EnvironmentCommand::Scale(args) => {
            wait_for(async |signals| scale::run(args, environment, output, signals).await)
        }
        EnvironmentCommand::Exec(args) => {
            wait_for(async |signals| signals.or(exec::run(args, environment, output)).await)
        }
        EnvironmentCommand::Seed(args) => {
            wait_for(async |signals| signals.or(seed::run(args, environment, output)).await)
        }
        EnvironmentCommand::Order(args) => {
            wait_for(async |signals| order::run(*args, environment, output, signals).await)
        }
        EnvironmentCommand::Cancel(args) => {
            wait_for(async |signals| signals.or(cancel::run(args, environment, output)).await)
        }
        EnvironmentCommand::Market(args) => {
            wait_for(async |signals| signals.or(market::run(args, environment, output)).await)
        }
        EnvironmentCommand::Keys(args) => {
            wait_for(async |signals| signals.or(keys::run(args, environment, output)).await)
        }
        EnvironmentCommand::DeadLetters(args) => {
            wait_for(async |signals| dead_letters::run(args, environment, output, signals).await)
        }
        EnvironmentCommand::Story(args) => {
            wait_for(async |signals| signals.or(story::run(args, environment, output)).await)
        }
        EnvironmentCommand::Audit(args) => {
            wait_for(async |signals| signals.or(audit::run(args, environment, output)).await)
        }
        EnvironmentCommand::Status(args) => {
            wait_for(async |signals| signals.or(status::run(args, environment, output)).await)
        }
        EnvironmentCommand::Board(args) => {
            wait_for(async |signals| signals.or(board::run(args, environment, output)).await)
        }
        EnvironmentCommand::Logs(args) => {
            wait_for(async |signals| signals.or(logs::run(args, environment, output)).await)
        }
        EnvironmentCommand::Config(args) => config::run(*args, origins, environment, output),
        EnvironmentCommand::Embedded(args) => embedded::run(&args, environment),
        EnvironmentCommand::Forward(args) => {
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
        signals.end_if_unnoticed();
        command(&mut signals).await
    });
    // Blocking reads and DNS look-ups that still run are abandoned.
    runtime.shutdown_background();
    result
}

/// Parses the value of a flag.
pub(crate) fn duration(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text)
        .ok_or("it should be a duration, 10 years at the most, such as 800ms, 30s or 5m")
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
/// [`CliError::NotRunning`] or [`CliError::Crashed`] if no environment runs here; [`CliError::Failed`] if another program
/// started it.
async fn address(environment: &Environment) -> Result<SocketAddr> {
    let address = match environment.address() {
        Err(CliError::NotRunning { .. }) => {
            return Err(runtimes::compose::not_running(environment).await?);
        }
        found => found?,
    };
    runtimes::kubernetes::find_way(environment).await?;
    Ok(address)
}

/// Returns a client of the running environment, with the local admin key.
///
/// # Errors
/// [`CliError::NotRunning`] or [`CliError::Crashed`] if no environment runs here; [`CliError::Io`] if the key can't be
/// read.
pub(crate) async fn connect(environment: &Environment) -> Result<Client> {
    let address = address(environment).await?;
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
