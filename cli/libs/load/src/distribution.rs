//! A distribution of durations, in a histogram of a fixed size.

use std::{fmt::Write, time::Duration};

use hdrhistogram::Histogram;

/// The longest duration that is distinguished: an hour. Longer ones count as this.
const MICROS_MAX: u64 = 3_600_000_000;
/// Three digits: 1.23 ms and 1.24 ms are distinguished.
const DIGITS: u8 = 3;
/// The width of the longest bar of a picture.
const BAR_WIDTH: u64 = 40;
/// The most bars of a picture.
const BARS_MAX: usize = 12;

/// A histogram of durations. Its size does not grow with what is recorded.
#[derive(Clone, Debug)]
pub struct Distribution {
    histogram: Histogram<u64>,
    longest: u64,
}

impl Default for Distribution {
    fn default() -> Self {
        Self::new()
    }
}

impl Distribution {
    /// Returns an empty distribution.
    ///
    /// # Panics
    /// Never panics: the bounds are valid.
    #[must_use]
    pub fn new() -> Self {
        let histogram =
            Histogram::new_with_bounds(1, MICROS_MAX, DIGITS).expect("the bounds are valid");
        Self { histogram, longest: 0 }
    }

    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let micros = micros(duration);
        self.histogram.saturating_record(micros);
        self.longest = self.longest.max(micros);
    }

    /// Returns how many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Returns the duration that this share (from 0 to 1) did not exceed, in microseconds; 0 if it is empty.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        if self.histogram.is_empty() {
            0
        } else {
            self.histogram.value_at_quantile(share).min(self.max())
        }
    }

    /// Returns the longest, in microseconds.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.longest
    }

    /// Returns the mean, in microseconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.histogram.mean()
    }

    /// Returns a picture in text: a line for each non-empty range of 1, 2, 5, 10 …; empty if nothing was counted.
    #[must_use]
    pub fn picture(&self) -> String {
        let counts = self.steps();
        let most = counts.iter().map(|(_, _, count)| *count).max().unwrap_or(0).max(1);
        let ranges: Vec<String> = counts
            .iter()
            .map(|(from, to, _)| format!("{} – {}", micros_shown(*from), micros_shown(*to)))
            .collect();
        let width = ranges.iter().map(|range| range.chars().count()).max().unwrap_or(0);
        let mut picture = String::new();
        for ((_, _, count), range) in counts.iter().zip(ranges) {
            let bar = usize::try_from((count * BAR_WIDTH).div_ceil(most)).unwrap_or(0);
            let bar = format!("{:<1$}", "█".repeat(bar), 40);
            // Writing to a string can't fail.
            let _infallible = writeln!(picture, "{range:>width$}  {bar}  {count}");
        }
        picture
    }

    /// Returns the counts of the ranges from the first to the last that is not empty.
    fn steps(&self) -> Vec<(u64, u64, u64)> {
        if self.histogram.is_empty() {
            return Vec::new();
        }
        let fine = |power: u32| [1, 2, 5].map(|digit| digit * 10_u64.pow(power));
        let fine: Vec<u64> =
            [0].into_iter().chain((0..=9).flat_map(fine)).chain([10_u64.pow(10)]).collect();
        let coarse: Vec<u64> =
            [0].into_iter().chain((0..=10).map(|power| 10_u64.pow(power))).collect();
        let steps = self.steps_between(&fine);
        if steps.len() <= BARS_MAX { steps } else { self.steps_between(&coarse) }
    }

    fn steps_between(&self, bounds: &[u64]) -> Vec<(u64, u64, u64)> {
        let mut steps: Vec<_> = bounds.windows(2).map(|pair| (pair[0], pair[1], 0)).collect();
        for bucket in self.histogram.iter_recorded() {
            // Each bucket is counted in one range, even if it overlaps two.
            let step = bounds.partition_point(|bound| *bound <= bucket.value_iterated_to());
            if let Some((_, _, count)) = steps.get_mut(step - 1) {
                *count += bucket.count_at_value();
            }
        }
        let filled = |step: &(u64, u64, u64)| step.2 > 0;
        let last = steps.iter().rposition(filled).unwrap_or(0);
        let first = steps.iter().position(filled).unwrap_or(0);
        steps.truncate(last + 1);
        steps.split_off(first)
    }
}

/// Returns a duration in whole microseconds, rounded up, so that no duration counts as 0.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
}

/// Returns microseconds for people: three digits and a unit.
#[must_use]
pub fn micros_shown(micros: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "only three digits are shown")]
    let number = micros as f64;
    match micros {
        0 => "0".into(),
        1..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", three_digits(number / 1e3)),
        1_000_000..120_000_000 => format!("{} s", three_digits(number / 1e6)),
        _ => format!("{} min", three_digits(number / 6e7)),
    }
}

fn three_digits(number: f64) -> String {
    let digits = match number {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    let text = format!("{number:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(millis: impl IntoIterator<Item = u64>) -> Distribution {
        let mut distribution = Distribution::new();
        millis.into_iter().for_each(|ms| distribution.record(Duration::from_millis(ms)));
        distribution
    }

    #[test]
    fn quantiles_are_true_to_three_digits() {
        let distribution = of(1..=1_000);
        let shown =
            [0.5, 0.9, 0.99, 0.999, 1.0].map(|share| micros_shown(distribution.quantile(share)));
        insta::assert_snapshot!(shown.join(", "), @"500 ms, 900 ms, 990 ms, 999 ms, 1 s");
        assert_eq!(distribution.max(), distribution.quantile(1.0));
        assert_eq!((Distribution::new().quantile(0.5), Distribution::new().max()), (0, 0));
    }

    #[test]
    fn a_picture_shows_where_they_are() {
        let distribution = of((0..300).map(|n| 2 + n % 7).chain([40, 45, 900]));
        insta::assert_snapshot!(distribution.picture());
        assert_eq!(Distribution::new().picture(), "");
    }

    #[test]
    fn a_wide_picture_has_coarser_lines() {
        let mut distribution = of([1, 10, 100, 1_000, 10_000, 100_000, 10_000_000_000]);
        distribution.record(Duration::ZERO);
        distribution.record(Duration::from_micros(7));
        insta::assert_snapshot!(distribution.picture());
    }

    #[test]
    fn durations_are_shown_with_three_digits_and_a_unit() {
        let shown = [
            0,
            7,
            999,
            1_000,
            1_234,
            12_345,
            99_990,
            123_456,
            999_999,
            1_500_000,
            61_000_000,
            3_600_000_000,
        ];
        insta::assert_snapshot!(
            shown.map(micros_shown).join(", "),
            @"0, 7 µs, 999 µs, 1 ms, 1.23 ms, 12.3 ms, 100 ms, 123 ms, 1000 ms, 1.5 s, 61 s, 60 min"
        );
    }
}
