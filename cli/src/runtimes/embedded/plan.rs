//! The plan of `up`: a plain function from what is wanted and observed to steps.

use std::fmt;

use serde::Serialize;

use crate::{
    config::{PORT_DEFAULT, Settings},
    error::CliError,
    plan::{Operation, Plan, SEED_IF_EMPTY, write_order},
    runtimes::Wanted,
    state::EnvironmentRecord,
};

/// The environment as observed.
#[derive(Clone, Debug)]
pub(crate) enum Observed {
    /// Nothing runs.
    Nothing {
        /// Whether the state folder exists.
        state: bool,
        /// Whether the last process crashed.
        crashed: bool,
    },
    /// A process runs, and its record is missing.
    NoRecord {
        /// The process id, if it is known.
        pid: Option<u32>,
    },
    /// The environment runs.
    Running {
        /// Its record.
        record: Box<EnvironmentRecord>,
        /// Whether it is ready.
        ready: bool,
        /// Whether it has never had a menu; unknown while it is not ready.
        empty: bool,
        /// Whether it refuses the local admin key.
        locked: bool,
    },
}

/// An operation of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub(crate) enum Step {
    /// Create the state folder and the keys in it.
    CreateState,
    /// Stop the environment that runs, and keep its data.
    Stop {
        /// The process id, if it is known.
        pid: Option<u32>,
        /// Why it can't go on running.
        why: String,
    },
    /// Start an environment.
    Start {
        /// The port, if one was given.
        port: Option<u16>,
        /// Whether the last process crashed.
        after_crash: bool,
    },
    /// Wait until every service is ready.
    AwaitReady,
    /// Send recipes and stock, if there never was a menu.
    SeedIfEmpty,
    /// Place orders and follow each to the table.
    Order {
        /// How many.
        count: u32,
    },
}

impl Operation for Step {}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateState => formatter.write_str("create the state folder and its keys"),
            Self::Stop { pid: Some(pid), why } => {
                write!(formatter, "stop the environment (process {pid}), data kept: {why}")
            }
            Self::Stop { pid: None, why } => {
                write!(formatter, "stop the environment, data kept: {why}")
            }
            Self::Start { port, after_crash } => {
                match port {
                    Some(0) => formatter.write_str("start the environment on any free port")?,
                    Some(port) => write!(formatter, "start the environment on port {port}")?,
                    None => write!(
                        formatter,
                        "start the environment on port {PORT_DEFAULT}, or the next free one"
                    )?,
                }
                if *after_crash { formatter.write_str("; the last one crashed") } else { Ok(()) }
            }
            Self::AwaitReady => formatter.write_str("wait until every service is ready"),
            Self::SeedIfEmpty => formatter.write_str(SEED_IF_EMPTY),
            Self::Order { count } => write_order(*count, formatter),
        }
    }
}

/// Why the plan would make data unreachable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    what: String,
}

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        Self::Failed {
            what: refusal.what,
            hint: "take it down first with `chefcito down`, or choose another `--name`".into(),
            source: None,
        }
    }
}

/// Returns the plan from what is observed to what is wanted; empty if nothing has to change.
///
/// # Errors
/// [`Refusal`] if the environment runs with another database: its data would be unreachable.
pub(crate) fn plan(wanted: &Wanted, observed: &Observed) -> Result<Plan<Step>, Refusal> {
    let mut steps = Vec::new();
    match observed {
        Observed::Nothing { state, crashed } => {
            steps.extend((!state).then_some(Step::CreateState));
            steps.extend(start(wanted, *crashed));
        }
        Observed::NoRecord { pid } => {
            let why = "it does not say where it listens".into();
            steps.push(Step::Stop { pid: *pid, why });
            steps.extend(start(wanted, false));
        }
        Observed::Running { record, ready, empty, locked } => {
            refuse_to_hide_data(wanted, record)?;
            let reasons = reasons_to_restart(wanted, record, *locked);
            if !reasons.is_empty() {
                steps.push(Step::Stop { pid: Some(record.pid), why: reasons.join(", ") });
                steps.extend(start(wanted, false));
            } else if !ready {
                steps.push(Step::AwaitReady);
                steps.extend(wanted.seed.then_some(Step::SeedIfEmpty));
            } else {
                steps.extend((wanted.seed && *empty).then_some(Step::SeedIfEmpty));
            }
        }
    }
    steps.extend((wanted.orders > 0).then_some(Step::Order { count: wanted.orders }));
    let mut plan = Plan::default();
    for step in steps {
        plan.add_after_all(step);
    }
    Ok(plan)
}

fn start(wanted: &Wanted, after_crash: bool) -> impl Iterator<Item = Step> {
    [Step::Start { port: wanted.settings.port, after_crash }, Step::AwaitReady]
        .into_iter()
        .chain(wanted.seed.then_some(Step::SeedIfEmpty))
}

fn refuse_to_hide_data(wanted: &Wanted, record: &EnvironmentRecord) -> Result<(), Refusal> {
    let (wanted, running) = (&wanted.settings, &record.settings);
    if wanted.database_url != running.database_url {
        let place = |settings: &Settings| match &settings.database_url {
            Some(url) => format!("at {url}"),
            None => "in SQLite files".into(),
        };
        return Err(Refusal {
            what: format!("its data are {}, not {}", place(running), place(wanted)),
        });
    }
    Ok(())
}

fn reasons_to_restart(wanted: &Wanted, record: &EnvironmentRecord, locked: bool) -> Vec<String> {
    let mut reasons: Vec<String> =
        wanted.settings.differences(&record.settings).iter().map(ToString::to_string).collect();
    match wanted.settings.port {
        Some(port) if port != 0 && port != record.address.port() => {
            reasons.push(format!("port {} → {port}", record.address.port()));
        }
        _ => {}
    }
    if wanted.program.version != record.version {
        reasons.push(format!("version {} → {}", record.version, wanted.program.version));
    } else if wanted.program.build != record.build {
        reasons.push("the program is another build".into());
    }
    if locked {
        reasons.push("it does not accept the key in admin.key".into());
    }
    reasons
}

/// Returns the runtime and the store, for a status line.
pub(crate) fn describe(settings: &Settings) -> String {
    let store = match &settings.database_url {
        Some(url) => format!("PostgreSQL at {url}"),
        None => "SQLite".into(),
    };
    format!("embedded: one background process, {store}")
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, time::Duration};

    use contracts::Timestamp;

    use super::*;
    use crate::runtimes::Program;

    pub(super) fn wanted() -> Wanted {
        Wanted {
            settings: Settings { seed: 1, ..Settings::default() },
            stated: None,
            program: Program { version: "1.0.0".into(), build: "a".into() },
            seed: true,
            orders: 0,
            timeout: Duration::from_secs(60),
            timeout_is_given: false,
            json: false,
            foreground: false,
            build: false,
            force_conflicts: false,
            services: Vec::new(),
        }
    }

    pub(super) fn running(wanted: &Wanted) -> Observed {
        let record = EnvironmentRecord {
            address: "127.0.0.1:7374".parse().unwrap(),
            market_sim_address: None,
            pid: 42,
            version: wanted.program.version.clone(),
            build: wanted.program.build.clone(),
            settings: wanted.settings.clone(),
            started_at: Timestamp::default(),
        };
        Observed::Running { record: Box::new(record), ready: true, empty: false, locked: false }
    }

    fn plan_text(wanted: &Wanted, observed: &Observed) -> Vec<String> {
        match plan(wanted, observed) {
            Ok(plan) => plan.operations().map(ToString::to_string).collect(),
            Err(refusal) => vec![format!("no: {}", refusal.what)],
        }
    }

    #[test]
    fn an_empty_machine_gets_a_whole_environment() {
        let observed = Observed::Nothing { state: false, crashed: false };
        let wanted = Wanted { orders: 50, ..wanted() };
        insta::assert_snapshot!(plan_text(&wanted, &observed).join("\n"), @r"
        create the state folder and its keys
        start the environment on port 7373, or the next free one
        wait until every service is ready
        send recipes and stock, if there never was a menu
        place 50 orders and follow each to the table
        ");
    }

    #[test]
    fn an_environment_that_is_as_wanted_is_left_alone() {
        assert_eq!(plan(&wanted(), &running(&wanted())), Ok(Plan::default()));
    }

    #[test]
    fn differences_are_changed_and_the_reasons_printed() {
        let mut other = wanted();
        other.settings.stoves = NonZeroU32::MIN;
        other.settings.port = Some(8000);
        other.program.version = "1.1.0".into();
        other.seed = false;
        insta::assert_snapshot!(plan_text(&other, &running(&wanted())).join("\n"), @r"
        stop the environment (process 42), data kept: stoves 8 → 1, port 7374 → 8000, version 1.0.0 → 1.1.0
        start the environment on port 8000
        wait until every service is ready
        ");
    }

    #[test]
    fn another_database_is_refused() {
        let mut other = wanted();
        other.settings.database_url = Some("postgres://chef:secret@db/lunch".parse().unwrap());
        insta::assert_snapshot!(plan_text(&other, &running(&wanted())).join("\n"), @"no: its data are in SQLite files, not at postgres://chef@db/lunch");
    }

    #[test]
    fn an_empty_environment_is_only_seeded() {
        let Observed::Running { record, .. } = running(&wanted()) else { unreachable!() };
        let observed = Observed::Running { record, ready: true, empty: true, locked: false };
        assert_eq!(
            plan_text(&wanted(), &observed),
            ["send recipes and stock, if there never was a menu"]
        );
        assert_eq!(plan(&Wanted { seed: false, ..wanted() }, &observed), Ok(Plan::default()));
    }

    #[test]
    fn an_environment_without_an_admin_key_is_replaced() {
        let Observed::Running { record, .. } = running(&wanted()) else { unreachable!() };
        let pid = record.pid;
        let observed = Observed::Running { record, ready: true, empty: false, locked: true };
        assert_eq!(
            plan_text(&wanted(), &observed)[0],
            format!(
                "stop the environment (process {pid}), data kept: it does not accept the key in admin.key"
            )
        );
    }

    #[test]
    fn an_environment_that_does_not_answer_is_replaced() {
        let steps = plan_text(&wanted(), &Observed::NoRecord { pid: Some(7) });
        assert_eq!(
            steps[0],
            "stop the environment (process 7), data kept: it does not say where it listens"
        );
    }
}
