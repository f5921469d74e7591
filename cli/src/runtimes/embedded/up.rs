//! `up`, `up --dry-run`.

use std::time::Instant;

use super::{
    End, Held, Started,
    plan::{Observed, Step, describe, plan},
};
use crate::{
    commands::{self, board::link, order, seed},
    config::{PORT_DEFAULT, Settings},
    error::{CliError, Result},
    output::Output,
    plan::{Carrier, Deadline, Execution, Plan},
    postgres, process,
    progress::Waiting,
    runtimes::{self, Wanted, embedded},
    signals::Signals,
    state::{Environment, EnvironmentRecord},
};

/// Carries out the operations of the embedded runtime.
#[derive(Debug)]
pub(super) struct Process<'a> {
    /// The environment.
    pub(super) environment: &'a Environment,
    /// The output of the command.
    pub(super) output: &'a Output,
    /// The time for all operations.
    pub(super) deadline: &'a Deadline,
    /// The settings to start it with.
    pub(super) settings: &'a Settings,
    /// Whether the process ends with this command.
    pub(super) attached: bool,
    /// Whether something ran before, which a failed start leaves stopped.
    pub(super) ran_before: bool,
    /// What a start has made.
    pub(super) started: Started,
}

impl Carrier for Process<'_> {
    type Operation = Step;

    async fn execute(&self, step: &Step, _shown: &Waiting) -> Result<()> {
        let Self { environment, output, .. } = *self;
        match step {
            Step::CreateState => embedded::create_state(environment),
            Step::Stop { why, .. } => {
                output.progress(format_args!("Restarting the environment, data kept: {why}"));
                if embedded::stop(environment).await? == End::Killed {
                    output.warn(format_args!(
                        "`{}` did not end after SIGTERM and was killed; its data are safe",
                        environment.name()
                    ));
                }
                Ok(())
            }
            Step::Start { .. } => self.start().await,
            Step::AwaitReady => {
                let address = environment.address()?;
                embedded::await_ready(environment, address, self.deadline.left()).await
            }
            Step::SeedIfEmpty if runtimes::is_empty(environment).await? => {
                seed::seed_built_in(environment, output).await
            }
            Step::SeedIfEmpty => Ok(()),
            Step::Order { count } => order::place_and_follow(*count, environment, output).await,
        }
    }

    async fn undo(&self, begun: Vec<&Step>) -> Result<()> {
        match begun.iter().any(|step| matches!(step, Step::Start { .. })) {
            true => self.started.undo(self.environment, self.output).await,
            false => Ok(()),
        }
    }
}

impl Process<'_> {
    async fn start(&self) -> Result<()> {
        let Self { environment, output, settings, attached, .. } = *self;
        // A damaged key is replaced.
        embedded::create_state(environment)?;
        let left = self.deadline.left();
        let started = embedded::start(environment, settings, attached, left, &self.started).await;
        started.map(drop).inspect_err(|_| {
            if self.ran_before {
                output.warn(format_args!(
                    "the environment is stopped now; `chefcito start` starts it with its last settings"
                ));
            }
        })
    }
}

/// What is wanted, what is observed, and the plan between them.
struct Draft {
    wanted: Wanted,
    observed: Observed,
    plan: Plan<Step>,
}

/// Observes the environment, and plans.
async fn draft(wanted: &Wanted, environment: &Environment) -> Result<Draft> {
    let wanted = wanted.as_of_now(environment)?;
    let observed = embedded::observe(environment).await?;
    let plan = plan(&wanted, &observed)?;
    if let Some(url) = wanted.settings.database_url.as_ref().filter(|_| !plan.is_empty()) {
        postgres::check(url, environment).await?;
    }
    Ok(Draft { wanted, observed, plan })
}

/// Prints the operations of [`up`].
///
/// # Errors
/// [`crate::error::CliError::Failed`] if it would refuse.
pub(crate) async fn dry_run(
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let Draft { plan, .. } = draft(wanted, environment).await?;
    runtimes::print(&plan, wanted, environment, output)
}

/// Brings the environment up. A signal undoes it.
///
/// # Errors
/// The reason why it is not up.
pub(crate) async fn up(
    wanted: &Wanted,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let since = Instant::now();
    let mut held = Held::new(environment);
    let drafted = async {
        held.take(output).await?;
        draft(wanted, environment).await
    };
    let drafted = signals.or(drafted).await;
    let Draft { wanted, observed, plan } = held.or_forget(drafted)?;
    let ran_before = !matches!(observed, Observed::Nothing { .. });
    if matches!(observed, Observed::Nothing { crashed: true, .. }) {
        output.warn(format_args!("{}", environment.crashed()));
    }
    let deadline = wanted.deadline();
    let process = Process {
        environment,
        output,
        deadline: &deadline,
        settings: &wanted.settings,
        attached: wanted.foreground,
        ran_before,
        started: Started::default(),
    };
    let execution = Execution::of(&plan);
    let is_change = |step: &Step| !matches!(step, Step::Order { .. });
    let brought_up = execution.run_or_undo(&process, is_change, &deadline, signals, output).await;
    held.or_forget_undone(brought_up, true)?;
    let record = environment.running()?;
    held.release();
    report(&wanted, &record, plan.operations().all(|step| !is_change(step)), since, output)?;
    link::print_after_up(environment, output, signals).await?;
    let rest = async {
        execution.run(&process, |_| true, &Deadline::none(), output).await?;
        match wanted.foreground {
            true => commands::logs::follow_until_it_ends(environment, output).await,
            false => Ok(()),
        }
    };
    let ended = signals.or(rest).await;
    // What ran before goes on running.
    if ended.as_ref().is_err_and(CliError::is_signal) && !ran_before {
        let undone = async {
            held.take(output).await?;
            process.started.undo(environment, output).await
        };
        signals.or(undone).await?;
    }
    ended
}

fn report(
    wanted: &Wanted,
    record: &EnvironmentRecord,
    unchanged: bool,
    since: Instant,
    output: &Output,
) -> Result<()> {
    let port = record.address.port();
    if !unchanged && wanted.settings.port.is_none() && port != PORT_DEFAULT {
        let holder = process::port_holder(PORT_DEFAULT)
            .map(|holder| format!(" by {holder}"))
            .unwrap_or_default();
        output.status(format_args!(
            "Port {PORT_DEFAULT} was taken{holder}; this environment has port {port}"
        ));
    }
    let runtime = describe(&record.settings);
    match unchanged {
        true => output.status(format_args!("Already up ({runtime}), nothing to change")),
        false => {
            output.status(format_args!("Up in {} ms ({runtime})", since.elapsed().as_millis()));
        }
    }
    runtimes::print_others(record.settings.runtime, output);
    output.data(format_args!("http://{}", record.address))
}
