//! What moves while one waits: a bar on a terminal, a plain line now and then elsewhere.

use std::{
    fmt,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Output;

/// How often a plain line tells how far it is: often enough to see that it lives, seldom enough for a CI log.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Work with a known end.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    output: &'a Output,
    /// What is being done: `Delivering`.
    doing: &'static str,
    total: u64,
    bar: Option<ProgressBar>,
    told_at: Instant,
}

impl<'a> Progress<'a> {
    /// Begins to show that something is being done, `total` times.
    pub(crate) fn new(output: &'a Output, doing: &'static str, total: u64) -> Self {
        let bar = output.bars().map(|bars| {
            let style = ProgressStyle::with_template(
                "{msg} {wide_bar:.cyan} {human_pos}/{human_len} {per_sec} {eta}",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar());
            bars.add(ProgressBar::new(total).with_style(style).with_message(doing))
        });
        Self { output, doing, total, bar, told_at: Instant::now() }
    }

    /// Tells how far it is.
    pub(crate) fn set(&mut self, done: u64) {
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None if self.told_at.elapsed() >= PLAIN_EVERY => {
                self.told_at = Instant::now();
                self.output.status(format_args!("{} {done} of {}", self.doing, self.total));
            }
            None => {}
        }
    }

    /// Tells that there is more to do than was known.
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

/// Waiting for something that has no measure: shown only on a terminal, gone when dropped.
#[derive(Debug)]
pub(crate) struct Waiting(Option<ProgressBar>);

impl Waiting {
    /// Begins to show what is waited for.
    pub(crate) fn new(output: &Output, what: impl fmt::Display) -> Self {
        Self(output.bars().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner().with_message(what.to_string()));
            // Short waits shall not flicker.
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        }))
    }
}

impl Waiting {
    /// Says what is waited for now.
    pub(crate) fn say(&self, what: impl fmt::Display) {
        if let Some(bar) = &self.0 {
            bar.set_message(what.to_string());
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
