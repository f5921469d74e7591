//! The results, beside their goals.

use std::fmt::Write;

use serde_json::{Value, json};

/// The least value of a figure, and a better one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    bar: f64,
    aim: f64,
    more_is_better: bool,
}

impl Goal {
    /// A figure that should be as great as possible.
    pub(crate) const fn at_least(bar: f64, aim: f64) -> Self {
        Self { bar, aim, more_is_better: true }
    }

    /// A figure that should be as small as possible.
    pub(crate) const fn at_most(bar: f64, aim: f64) -> Self {
        Self { bar, aim, more_is_better: false }
    }

    const fn verdict(self, found: f64) -> &'static str {
        match (self.reaches(found, self.bar), self.reaches(found, self.aim)) {
            (_, true) => "aim met",
            (true, false) => "met",
            (false, false) => MISSED,
        }
    }

    const fn reaches(self, found: f64, wanted: f64) -> bool {
        if self.more_is_better { found >= wanted } else { found <= wanted }
    }
}

const MISSED: &str = "MISSED";

/// One line: a figure of all runs.
#[derive(Clone, Debug)]
struct Figure {
    scene: &'static str,
    what: String,
    unit: &'static str,
    goal: Option<Goal>,
    runs: Vec<f64>,
}

impl Figure {
    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.runs.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
    }

    fn median(&self) -> f64 {
        median(self.runs.clone())
    }

    fn range(&self) -> (f64, f64) {
        let sorted = self.sorted();
        (sorted.first().copied().unwrap_or(0.0), sorted.last().copied().unwrap_or(0.0))
    }

    fn verdict(&self) -> &'static str {
        self.goal.map_or("", |goal| goal.verdict(self.median()))
    }
}

/// Returns the median; 0 without figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    match figures.len() {
        0 => 0.0,
        count if count % 2 == 0 => f64::midpoint(figures[count / 2 - 1], figures[count / 2]),
        count => figures[count / 2],
    }
}

/// The results of one scene, or of all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    figures: Vec<Figure>,
    faults: Vec<String>,
}

impl Figures {
    /// Adds a figure of a run.
    pub(crate) fn note(&mut self, what: impl Into<String>, unit: &'static str, value: f64) {
        self.add(what.into(), unit, value, None);
    }

    /// Adds a figure of a run with a goal.
    pub(crate) fn judge(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        value: f64,
        goal: Goal,
    ) {
        self.add(what.into(), unit, value, Some(goal));
    }

    /// Adds a fault, which fails the benchmark however fast it was.
    pub(crate) fn fault(&mut self, what: String) {
        self.faults.push(what);
    }

    /// Returns the faults.
    pub(crate) fn faults(&self) -> &[String] {
        &self.faults
    }

    fn add(&mut self, what: String, unit: &'static str, value: f64, goal: Option<Goal>) {
        match self.figures.iter_mut().find(|figure| figure.what == what) {
            Some(figure) => figure.runs.push(value),
            None => {
                self.figures.push(Figure { scene: "", what, unit, goal, runs: vec![value] });
            }
        }
    }

    /// Adds the results of a scene.
    pub(crate) fn join(&mut self, scene: &'static str, other: Self) {
        self.figures.extend(other.figures.into_iter().map(|figure| Figure { scene, ..figure }));
        self.faults.extend(other.faults);
    }

    /// Returns the lines of a scene.
    pub(crate) fn table(&self, title: &str) -> String {
        let mut text = format!("\n{title}");
        for figure in &self.figures {
            let (min, max) = figure.range();
            let what = match figure.unit {
                "" => figure.what.clone(),
                unit => format!("{}, {unit}", figure.what),
            };
            let (bar, aim) = figure
                .goal
                .map_or_else(Default::default, |goal| (shown(goal.bar), shown(goal.aim)));
            text.push_str(&row(
                &what,
                &shown(figure.median()),
                &range(&figure.runs, min, max),
                &bar,
                &aim,
                figure.verdict(),
            ));
        }
        for fault in &self.faults {
            text.push_str(&format!("\n  WRONG: {fault}"));
        }
        text
    }

    /// Returns how many goals were reached, as a sentence.
    pub(crate) fn summary(&self) -> String {
        let verdicts: Vec<_> = self
            .figures
            .iter()
            .map(Figure::verdict)
            .filter(|verdict| !verdict.is_empty())
            .collect();
        let count = |wanted| verdicts.iter().filter(|verdict| **verdict == wanted).count();
        let correct = match self.faults.len() {
            0 => "every audit passed".into(),
            count => format!("{count} things are WRONG"),
        };
        format!(
            "\n{} goals: {} aims met, {} bars met, {} missed; {correct}",
            verdicts.len(),
            count("aim met"),
            count("met"),
            count(MISSED),
        )
    }

    /// Returns everything as JSON.
    pub(crate) fn document(&self, quick: bool) -> Value {
        let figures: Vec<Value> = self
            .figures
            .iter()
            .map(|figure| {
                let (min, max) = figure.range();
                json!({
                    "scene": figure.scene,
                    "what": figure.what,
                    "unit": figure.unit,
                    "runs": figure.runs,
                    "median": figure.median(),
                    "min": min,
                    "max": max,
                    "bar": figure.goal.map(|goal| goal.bar),
                    "aim": figure.goal.map(|goal| goal.aim),
                    "verdict": figure.verdict(),
                })
            })
            .collect();
        json!({"schema_version": 1, "quick": quick, "figures": figures, "faults": self.faults})
    }
}

/// Returns the heading.
pub(crate) fn header() -> String {
    row("", "median", "min – max", "bar", "aim", "").trim_start_matches('\n').into()
}

/// Returns an empty text for a single run.
fn range(runs: &[f64], min: f64, max: f64) -> String {
    if runs.len() > 1 { format!("{} – {}", shown(min), shown(max)) } else { String::new() }
}

fn row(what: &str, median: &str, range: &str, bar: &str, aim: &str, verdict: &str) -> String {
    let mut line = String::from("\n");
    // Writing to a string can't fail.
    let _ = write!(line, "  {what:<58}{median:>9}{range:>19}{bar:>8}{aim:>8}  {verdict}");
    line.truncate(line.trim_end().len());
    line
}

/// Returns a number for people: three digits, or whole with separated thousands.
fn shown(number: f64) -> String {
    let digits = match number.abs() {
        ..9.995 if number.fract() != 0.0 => 2,
        ..99.95 if number.fract() != 0.0 => 1,
        _ => 0,
    };
    let text = format!("{number:.digits$}");
    if digits > 0 {
        return text;
    }
    let mut shown = String::new();
    for (at, digit) in text.chars().enumerate() {
        if at > 0 && (text.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}
