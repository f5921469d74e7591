//! What pipelines show of a command: GitHub Actions' groups of log lines, annotations and summaries
//! (<https://docs.github.com/actions/reference/workflow-commands-for-github-actions>).

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
};

/// Returns the file with the summary of this step, which the pipeline shows as Markdown; `None` outside of one.
pub(crate) fn summary() -> Option<PathBuf> {
    env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn is_here() -> bool {
    env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true")
}

/// Returns whether a pipeline of any kind runs the command: nobody reads its terminal, if it has one.
pub(crate) fn is_any_pipeline() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Shows an error beside the pipeline's step.
pub(crate) fn annotate(error: &str) {
    if is_here() {
        command("error title=chefcito", error);
    }
}

/// Log lines that the pipeline folds, until it is dropped.
#[derive(Debug)]
pub(crate) struct Group {
    is_open: bool,
}

impl Group {
    /// Begins a group.
    pub(crate) fn begin(title: &str) -> Self {
        let is_open = is_here();
        if is_open {
            command("group", title);
        }
        Self { is_open }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.is_open {
            command("endgroup", "");
        }
    }
}

/// Writes a command for the pipeline, which reads them from stderr, too.
fn command(name: &str, text: &str) {
    let text = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    // A reader that has closed stderr does not want to know.
    let _unheard = writeln!(io::stderr(), "::{name}::{text}");
}
