//! The figures of one invariant while it is being checked.

use std::fmt::Display;

use contracts::api::audit::{Invariant, SAMPLES_MAX};

/// One invariant, half checked.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    name: &'static str,
    rule: &'static str,
    expected: i64,
    found: i64,
    breaches: i64,
    samples: Vec<String>,
    note: Option<String>,
}

impl Finding {
    pub(crate) const fn new(name: &'static str, rule: &'static str) -> Self {
        Self { name, rule, expected: 0, found: 0, breaches: 0, samples: Vec::new(), note: None }
    }

    /// Adds to what there should be and what there is. Figures that differ are no breach by themselves.
    pub(crate) const fn count(&mut self, expected: i64, found: i64) {
        self.expected = self.expected.saturating_add(expected);
        self.found = self.found.saturating_add(found);
    }

    /// Notes that something is not as it must be.
    pub(crate) fn breach(&mut self, sample: impl Display) {
        self.breaches += 1;
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(sample.to_string());
        }
    }

    /// Adds figures, and notes a breach if they differ.
    pub(crate) fn compare(&mut self, expected: i64, found: i64, sample: impl Display) {
        self.count(expected, found);
        if expected != found {
            self.breach(sample);
        }
    }

    /// Returns whether everything is as it must be so far.
    pub(crate) const fn holds(&self) -> bool {
        self.breaches == 0
    }

    /// Says something worth knowing beside the figures.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.note = Some(note.into());
    }

    pub(crate) fn done(self) -> Invariant {
        Invariant {
            name: self.name.to_owned(),
            rule: self.rule.to_owned(),
            passed: self.holds(),
            expected: self.expected,
            found: self.found,
            difference: self.found.saturating_sub(self.expected),
            samples: self.samples,
            note: self.note,
        }
    }
}
