//! Progress of long work: a bar on a terminal, else a line from time to time.

use std::{
    fmt,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Output;

/// How often a line is printed off a terminal: often enough to show that the command is alive, seldom enough for a CI
/// log.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Work with a known end.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    output: &'a Output,
    /// The activity: `Delivering`.
    doing: &'static str,
    total: u64,
    bar: Option<ProgressBar>,
    told_at: Instant,
}

impl<'a> Progress<'a> {
    /// Begins to show the progress of `total` items.
    pub(crate) fn new(output: &'a Output, doing: &'static str, total: u64) -> Self {
        let bar = output.bars().map(|bars| {
            let look = if output.stderr_has_colors() { ":.cyan" } else { "" };
            let style = ProgressStyle::with_template(&format!(
                "{{msg}} {{wide_bar{look}}} {{human_pos}}/{{human_len}} {{per_sec}} {{eta}}"
            ))
            .unwrap_or_else(|_| ProgressStyle::default_bar());
            bars.add(ProgressBar::new(total).with_style(style).with_message(doing))
        });
        Self { output, doing, total, bar, told_at: Instant::now() }
    }

    /// Sets how many items are done.
    pub(crate) fn set(&mut self, done: u64) {
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None if self.told_at.elapsed() >= PLAIN_EVERY => {
                self.told_at = Instant::now();
                self.output.progress(format_args!("{} {done} of {}", self.doing, self.total));
            }
            None => {}
        }
    }

    /// Sets a new total.
    pub(crate) fn set_total(&mut self, total: u64) {
        self.total = total;
        if let Some(bar) = &self.bar {
            bar.set_length(total);
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Returns the message of a spinner.
fn message(what: impl fmt::Display) -> String {
    printable::line(&what.to_string()).into_owned()
}

/// A spinner for waiting without a measure: shown only on a terminal, gone when dropped.
#[derive(Debug)]
pub(crate) struct Waiting(Option<ProgressBar>);

impl Waiting {
    /// Shows nothing.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// Begins to show a text.
    pub(crate) fn new(output: &Output, what: impl fmt::Display) -> Self {
        Self(output.bars().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner().with_message(message(what)));
            // Short waits must not flicker.
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        }))
    }
}

impl Waiting {
    /// Shows another text.
    pub(crate) fn say(&self, what: impl fmt::Display) {
        if let Some(bar) = &self.0 {
            bar.set_message(message(what));
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
