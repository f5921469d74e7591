mod printer;
mod streams;

use std::{collections::VecDeque, ffi::OsStr, str::FromStr, time::Duration};

use clap::{
    Args,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
};
use clap_complete::engine::ArgValueCandidates;
use contracts::{Timestamp, services};
use logs::files::{self, End, Follower, Forwards, Level, Line};
use service::config::parse_duration;

use self::{printer::Printer, streams::Streams};
use super::usage_error;
use crate::{
    completion,
    config::Runtime,
    error::{CliError, Result},
    order_prefix::OrderPrefix,
    output::Output,
    runtimes,
    state::{EmbeddedState, Environment},
};

/// How many lines are shown by default.
const TAIL_DEFAULT: &str = "200";
/// How often the files are checked for new lines: too short to notice.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The log of the embedded process itself, outside of its services, and the text of a crash.
const EMBEDDED: &str = "embedded";

/// Show the logs of one service, of several, or of all, merged by time
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chefcito logs -f                           Follow every service in one stream
  chefcito logs kitchen --level warn         Only what went wrong in the kitchen
  chefcito logs --order ID                   Only what is about one order
  chefcito logs --since 10m -n all           All lines of the last ten minutes")]
pub(crate) struct LogsArgs {
    /// Services to show [default: all]
    #[arg(
        value_name = "SERVICE",
        value_parser = AnyService,
        hide_possible_values = true
    )]
    services: Vec<String>,
    /// Keep printing new lines, also after restarts
    #[arg(short, long)]
    follow: bool,
    /// Only lines since a duration ago (`10m`) or a time (`2026-01-31T12:00:00Z`)
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,
    /// Only lines before a duration ago or a time; not with --follow
    #[arg(long, value_name = "WHEN", conflicts_with = "follow")]
    until: Option<When>,
    /// How many lines from the end: a number, or `all`
    #[arg(short = 'n', long, value_name = "N", default_value = TAIL_DEFAULT)]
    tail: TailLength,
    /// Only lines of this level or a more severe one: error, warn, info, debug, trace
    #[arg(long, value_enum, ignore_case = true, hide_possible_values = true)]
    level: Option<Level>,
    /// Only lines that contain this text
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
    /// Only lines about this order: its id, or a beginning of it
    #[arg(long, value_name = "ID", add = ArgValueCandidates::new(completion::orders))]
    order: Option<OrderPrefix>,
    #[command(flatten)]
    text: TextArgs,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// How a line looks to people. On a terminal, ids of orders are short.
#[derive(Clone, Copy, Debug, Default, Args)]
struct TextArgs {
    /// Print times in UTC, not in the zone of this machine
    #[arg(long, conflicts_with = "json")]
    utc: bool,
    /// Print whole times, as RFC 3339: with the date, microseconds and the zone
    #[arg(short, long, conflicts_with = "json")]
    timestamps: bool,
}

/// Accepts any name, since only the environment knows its services; completes the usual ones.
#[derive(Clone, Copy, Debug)]
struct AnyService;

impl TypedValueParser for AnyService {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> std::result::Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let usual = services::ALL.into_iter().chain([EMBEDDED, "postgres", "redis"]);
        Some(Box::new(usual.map(PossibleValue::new)))
    }
}

#[derive(Clone, Copy, Debug)]
struct When(Timestamp);

impl FromStr for When {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ago = || parse_duration(text).map(|ago| Timestamp::now().minus(ago));
        ago()
            .or_else(|| text.parse().ok())
            .map(Self)
            .ok_or("it should be a duration, such as 10m, or a time, such as 2026-01-31T12:00:00Z")
    }
}

#[derive(Clone, Copy, Debug)]
enum TailLength {
    All,
    Lines(usize),
}

impl FromStr for TailLength {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" {
            return Ok(Self::All);
        }
        text.parse().map(Self::Lines).map_err(|_| "it should be a number, or `all`")
    }
}

impl LogsArgs {
    /// Refuses services that the environment does not have.
    fn check_services(&self) -> Result<()> {
        let is_unknown = |service: &&String| {
            !services::ALL.contains(&service.as_str()) && service.as_str() != EMBEDDED
        };
        match self.services.iter().find(is_unknown) {
            Some(service) => {
                let known = services::ALL.into_iter().chain([EMBEDDED]);
                Err(CliError::unknown_service(service, known))
            }
            None => Ok(()),
        }
    }

    /// Refuses a time that begins after its end.
    fn check_times(&self) -> Result<()> {
        match (self.since, self.until) {
            (Some(When(since)), Some(When(until))) if since > until => {
                let what =
                    "no line is in a time whose begin (`--since`) is after its end (`--until`)";
                Err(usage_error("logs", what))
            }
            _ => Ok(()),
        }
    }

    fn printer<'a>(&self, output: &'a Output) -> Printer<'a> {
        match self.json {
            true => Printer::of_json(output),
            false => Printer::of_text(self.text, output),
        }
    }

    /// Returns whether a filter leaves lines out.
    const fn is_choosy(&self) -> bool {
        self.level.is_some()
            || self.grep.is_some()
            || self.order.is_some()
            || self.since.is_some()
            || self.until.is_some()
    }

    /// Says that there are more lines, unless the user gave the number.
    fn note_more_lines(&self, count: usize, more: bool, output: &Output) {
        if more && count.to_string() == TAIL_DEFAULT {
            output.status(format_args!("The last {count} lines; `-n all` shows all"));
        }
    }

    fn wants(&self, line: &Line) -> bool {
        let service = self.services.is_empty() || self.services.contains(&line.service);
        let grave = self.level.is_none_or(|level| line.level <= level);
        let in_time = self.since.is_none_or(|since| line.time >= since.0)
            && self.until.is_none_or(|until| line.time < until.0);
        let about = |order: &OrderPrefix| line.order.as_ref().is_some_and(|id| order.begins(id));
        let says = |text: &String| line.message.contains(text) || line.details().contains(text);
        service
            && grave
            && in_time
            && self.order.as_ref().is_none_or(about)
            && self.grep.as_ref().is_none_or(says)
    }
}

pub(crate) async fn run(args: LogsArgs, environment: &Environment, output: &Output) -> Result<()> {
    args.check_times()?;
    match runtimes::of(environment).await? {
        Some(runtime @ (Runtime::Compose | Runtime::Kubernetes)) => {
            let logs = Streams::open(runtime, environment, &args.services, output).await?;
            of_streams(&args, logs, output).await
        }
        _ => of_process(&args, environment, output).await,
    }
}

async fn of_streams(args: &LogsArgs, logs: Streams, output: &Output) -> Result<()> {
    let mut printer = args.printer(output);
    let since = args.since.map(|since| since.0);
    let printed = match args.tail {
        TailLength::All => {
            let mut printed = logs.printed(since, None);
            while let Some(line) = printed.next_line().await? {
                if args.wants(&line) {
                    printer.write(&line)?;
                }
            }
            printed
        }
        TailLength::Lines(count) => {
            // One line more than requested shows whether there are more.
            let tail = (!args.is_choosy()).then(|| count.saturating_add(1));
            let mut printed = logs.printed(since, tail);
            let mut last = VecDeque::new();
            let mut more = false;
            while let Some(line) = printed.next_line().await? {
                if args.wants(&line) {
                    last.push_back(line);
                    if last.len() > count {
                        last.pop_front();
                        more = true;
                    }
                }
            }
            args.note_more_lines(count, more, output);
            printer.print(last.iter())?;
            printed
        }
    };
    printer.flush()?;
    if !args.follow {
        return Ok(());
    }
    let mut following = logs.follow(printed);
    loop {
        let lines = following.next_lines().await?;
        printer.print(lines.iter().filter(|line| args.wants(line)))?;
    }
}

async fn of_process(args: &LogsArgs, environment: &Environment, output: &Output) -> Result<()> {
    args.check_services()?;
    let folder = environment.logs();
    let unreadable =
        |source| CliError::Io { what: format!("read the logs in {}", folder.display()), source };
    let end = if args.follow { End::WholeLines } else { End::Written };
    let mut files = files::open_all(&folder, end).map_err(unreadable)?;
    if files.is_empty() && !args.follow {
        return Err(CliError::NotRunning { name: environment.name().clone() });
    }
    let follower =
        args.follow.then(|| Follower::new(&folder, &files)).transpose().map_err(unreadable)?;
    if !args.services.is_empty() {
        files.retain(|_, file| args.services.contains(&file.service));
    }
    let mut printer = args.printer(output);
    match args.tail {
        TailLength::Lines(count) => {
            let since = args.since.map(|since| since.0);
            let tail =
                files::tail(files, count, |line| args.wants(line), since).map_err(unreadable)?;
            args.note_more_lines(count, tail.more, output);
            printer.print(tail.lines.iter())?;
        }
        TailLength::All => {
            let mut lines = Forwards::new(files).map_err(unreadable)?;
            while let Some(line) = lines.next_line().map_err(unreadable)? {
                if args.wants(&line) {
                    printer.write(&line)?;
                }
            }
            printer.flush()?;
        }
    }
    let Some(mut follower) = follower else { return Ok(()) };
    loop {
        let (lines, more) = follower.next_lines().map_err(unreadable)?;
        printer.print(lines.iter().filter(|line| args.wants(line)))?;
        if !more {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Prints the last lines of all services.
///
/// # Errors
/// As `logs`.
pub(crate) async fn last(lines: usize, environment: &Environment, output: &Output) -> Result<()> {
    let args = LogsArgs {
        services: Vec::new(),
        follow: false,
        since: None,
        until: None,
        tail: TailLength::Lines(lines),
        level: None,
        grep: None,
        order: None,
        text: TextArgs::default(),
        json: false,
    };
    run(args, environment, output).await
}

/// Prints new lines until the environment ends, which it does only by a signal or a crash.
///
/// # Errors
/// [`CliError::Crashed`] or [`CliError::NotRunning`] when it ended.
pub(crate) async fn follow_until_it_ends(environment: &Environment, output: &Output) -> Result<()> {
    let folder = environment.logs();
    let unreadable =
        |source| CliError::Io { what: format!("read the logs in {}", folder.display()), source };
    let files = files::open_all(&folder, End::WholeLines).map_err(unreadable)?;
    let mut follower = Follower::new(&folder, &files).map_err(unreadable)?;
    let mut printer = Printer::of_text(TextArgs::default(), output);
    loop {
        let (lines, more) = follower.next_lines().map_err(unreadable)?;
        printer.print(lines.iter())?;
        match environment.embedded()? {
            EmbeddedState::Running(_) | EmbeddedState::Starting { .. } => {}
            EmbeddedState::Stopped => {
                printer.print(follower.rest().iter())?;
                output.status(format_args!("`{}` is down", environment.name()));
                return Ok(());
            }
            EmbeddedState::Crashed => return Err(environment.crashed()),
        }
        if !more {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Prints new lines of the containers or pods until none is left.
///
/// # Errors
/// The error of the engine or the cluster.
pub(crate) async fn follow_containers(environment: &Environment, output: &Output) -> Result<()> {
    let runtime = runtimes::of(environment).await?.unwrap_or(Runtime::Compose);
    let logs = Streams::open(runtime, environment, &[], output).await?;
    let mut printer = Printer::of_text(TextArgs::default(), output);
    let mut printed = logs.printed(Some(Timestamp::now()), None);
    while let Some(line) = printed.next_line().await? {
        printer.write(&line)?;
    }
    printer.flush()?;
    let mut following = logs.follow(printed);
    loop {
        match following.next_lines().await {
            Ok(lines) => printer.print(lines.iter())?,
            Err(CliError::NotRunning { name }) => {
                printer.print(following.rest().iter())?;
                output.status(format_args!("`{name}` is down"));
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}
