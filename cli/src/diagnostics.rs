//! What is known about an `up` that failed, in one folder: for a pipeline that keeps it, or for a colleague. Secrets are
//! left out.

mod secrets;

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use tokio::time::timeout;

use self::secrets::Secrets;
use crate::{
    background::chain,
    commands::{logs, status},
    config::Settings,
    error::{CliError, Result},
    output::Output,
    runtimes::Program,
    state::{Environment, write_private},
};

/// How long the engine, the cluster or the gateway may take for one part.
const PART_WAIT_MAX: Duration = Duration::from_secs(20);
/// How many lines of the logs are kept.
const LOG_LINES_MAX: usize = 20_000;

/// A folder for what is known, made before `up` does anything.
#[derive(Debug)]
pub(crate) struct Diagnostics {
    folder: PathBuf,
    /// The folder around it, if this command made that one, too.
    made: Option<PathBuf>,
    plan: String,
}

impl Diagnostics {
    /// Makes a folder for one failure in the folder that the user named: `NAME-TIME`.
    ///
    /// # Errors
    /// [`CliError::Failed`] if it can't be made.
    pub(crate) fn prepare(named: &Path, environment: &Environment) -> Result<Self> {
        let named = std::path::absolute(named)
            .map_err(CliError::io(|| format!("find the folder {}", named.display())))?;
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.3f");
        let folder = named.join(format!("{}-{now}", environment.name()));
        let made = (!named.exists()).then(|| named.clone());
        let make = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        make.map_err(|error| CliError::Failed {
            what: format!("cannot write diagnostics into {}", named.display()),
            hint: "name a folder that can be written, or that can be made".into(),
            source: Some(error.into()),
        })?;
        Ok(Self { folder, made, plan: String::new() })
    }

    /// Notes the plan: what a dry run prints.
    pub(crate) async fn note_plan(
        &mut self,
        output: &Output,
        dry_run: impl AsyncFnOnce(&Output) -> Result<()>,
    ) {
        self.plan = part(output, dry_run).await;
    }

    /// Removes the folder: nothing has failed.
    pub(crate) fn discard(self) {
        // An empty folder that stays harms nobody; one with other files in it stays.
        let _left = fs::remove_dir(&self.folder);
        let _left = self.made.map(fs::remove_dir);
    }

    /// Writes the error, the plan, the status and the logs. Says where they are; a failure is only a warning.
    pub(crate) async fn write(
        self,
        error: &CliError,
        settings: &Settings,
        environment: &Environment,
        output: &Output,
    ) {
        let secrets = Secrets::find(settings, environment);
        let status = part(output, async |output| status::once(environment, output).await).await;
        let logs =
            part(output, async |output| logs::last(LOG_LINES_MAX, environment, output).await).await;
        let error = match error.hint() {
            Some(hint) => format!("error: {}\nhint: {hint}\n", chain(error)),
            None => format!("error: {}\n", chain(error)),
        };
        let error = output.with_name(&error);
        let parts = [
            ("error.txt", &error),
            ("plan.txt", &self.plan),
            ("status.txt", &status),
            ("logs.txt", &logs),
            ("about.json", &about(settings, environment)),
        ];
        let folder = self.folder.display();
        let mut written = parts.into_iter().map(|(name, text)| {
            write_private(&self.folder.join(name), secrets.left_out_of(text).as_bytes())
        });
        match written.try_for_each(|part| part) {
            Ok(()) => {
                output.status(format_args!("Error, plan, status and logs are in {folder}"));
            }
            Err(error) => output.warn(format_args!("{error}; {folder} is incomplete")),
        }
    }
}

/// Returns what a command prints, with its error if it fails.
async fn part(output: &Output, command: impl AsyncFnOnce(&Output) -> Result<()>) -> String {
    let captured = output.captured();
    let failure = match timeout(PART_WAIT_MAX, command(&captured)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(chain(&error)),
        Err(_) => Some(format!("no answer within {}", humantime::format_duration(PART_WAIT_MAX))),
    };
    let mut text = captured.into_text();
    if let Some(failure) = failure {
        text.push_str(&format!("error: {failure}\n"));
    }
    text
}

/// Returns which program failed with which settings.
fn about(settings: &Settings, environment: &Environment) -> String {
    let Program { version, build } = Program::this();
    let about = json!({
        "schema_version": 1,
        "version": version,
        "build": build,
        "name": environment.name().to_string(),
        "settings": settings.without_passwords(),
    });
    format!("{about:#}\n")
}

/// Returns the text of a file with secrets; an unreadable one has none that could be elsewhere.
fn text_of(path: &Path) -> String {
    files::open_regular(path).and_then(io::read_to_string).unwrap_or_default()
}
