//! The limits of `--fail-if 'delivered.p99>1s'`.

use std::{cmp::Ordering, fmt, str::FromStr, time::Duration};

use super::{Distribution, Report, micros_shown};

/// A figure of a report that can have a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// How long orders took to be accepted.
    Accepted(Point),
    /// How long accepted orders took to be delivered.
    Delivered(Point),
    /// Requests that failed for good.
    Errors,
    /// Orders that the kitchen refused.
    Rejected,
    /// Orders that their guests cancelled.
    Cancelled,
    /// Orders that were not at their end in time.
    Undelivered,
    /// Orders accepted per second.
    AcceptedRate,
    /// Orders delivered per second.
    DeliveredRate,
}

/// A point of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The median.
    P50,
    /// The 90th percentile.
    P90,
    /// The 99th percentile.
    P99,
    /// The 99.9th percentile.
    P999,
    /// The maximum.
    Max,
}

impl Point {
    /// All points.
    pub const ALL: [Self; 5] = [Self::P50, Self::P90, Self::P99, Self::P999, Self::Max];

    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::Max => "max",
        }
    }

    /// Returns its value in a distribution, in microseconds.
    #[must_use]
    pub fn of(self, distribution: &Distribution) -> u64 {
        match self {
            Self::P50 => distribution.quantile(0.5),
            Self::P90 => distribution.quantile(0.9),
            Self::P99 => distribution.quantile(0.99),
            Self::P999 => distribution.quantile(0.999),
            Self::Max => distribution.max(),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted(point) => write!(formatter, "accepted.{}", point.name()),
            Self::Delivered(point) => write!(formatter, "delivered.{}", point.name()),
            Self::Errors => formatter.write_str("errors"),
            Self::Rejected => formatter.write_str("rejected"),
            Self::Cancelled => formatter.write_str("cancelled"),
            Self::Undelivered => formatter.write_str("undelivered"),
            Self::AcceptedRate => formatter.write_str("rate.accepted"),
            Self::DeliveredRate => formatter.write_str("rate.delivered"),
        }
    }
}

impl Metric {
    /// Returns all figures.
    pub fn all() -> impl Iterator<Item = Self> {
        let counts = [Self::Errors, Self::Rejected, Self::Cancelled, Self::Undelivered];
        let rates = [Self::AcceptedRate, Self::DeliveredRate];
        let points =
            Point::ALL.map(Self::Accepted).into_iter().chain(Point::ALL.map(Self::Delivered));
        points.chain(counts).chain(rates)
    }

    /// Returns whether it is a duration.
    #[must_use]
    pub const fn is_duration(self) -> bool {
        matches!(self, Self::Accepted(_) | Self::Delivered(_))
    }

    /// Returns whether it needs orders to be followed to their end.
    #[must_use]
    pub const fn needs_following(self) -> bool {
        !matches!(self, Self::Accepted(_) | Self::Errors | Self::AcceptedRate)
    }

    /// Returns its value: microseconds, a count, or a rate per second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
    pub fn of(self, report: &Report) -> f64 {
        match self {
            Self::Accepted(point) => point.of(&report.accepting) as f64,
            Self::Delivered(point) => point.of(&report.delivery) as f64,
            Self::Errors => report.failed as f64,
            Self::Rejected => report.rejected as f64,
            Self::Cancelled => report.cancelled as f64,
            Self::Undelivered => report.undelivered as f64,
            Self::AcceptedRate => report.accepted_rate(),
            Self::DeliveredRate => report.delivered_rate(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Below,
    AtMost,
    Above,
    AtLeast,
}

impl Comparison {
    // Longer operators first, so that `<=` is not parsed as `<`.
    const ALL: [(&'static str, Self); 4] =
        [("<=", Self::AtMost), (">=", Self::AtLeast), ("<", Self::Below), (">", Self::Above)];

    fn holds(self, found: f64, limit: f64) -> bool {
        match found.partial_cmp(&limit) {
            Some(Ordering::Less) => matches!(self, Self::Below | Self::AtMost),
            Some(Ordering::Equal) => matches!(self, Self::AtMost | Self::AtLeast),
            Some(Ordering::Greater) => matches!(self, Self::Above | Self::AtLeast),
            None => false,
        }
    }
}

/// A condition under which a run fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    metric: Metric,
    comparison: Comparison,
    value: f64,
    text: String,
}

/// A limit that was crossed.
#[derive(Clone, Debug, PartialEq)]
pub struct Crossed {
    /// The limit as it was given.
    pub limit: String,
    /// The measured value, for people.
    pub found: String,
}

impl fmt::Display for Crossed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (it is {})", self.limit, self.found)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Limit {
    /// Returns its figure.
    #[must_use]
    pub const fn metric(&self) -> Metric {
        self.metric
    }

    /// Returns the measured value if the report crosses the limit.
    #[must_use]
    pub fn crossed_by(&self, report: &Report) -> Option<Crossed> {
        let found = self.metric.of(report);
        let shown = match self.metric.is_duration() {
            true => micros_shown(whole(found)),
            false => format!("{:.1}", found).trim_end_matches(".0").into(),
        };
        self.comparison
            .holds(found, self.value)
            .then(|| Crossed { limit: self.text.clone(), found: shown })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it was a whole number before"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

/// An invalid limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseLimitError {
    /// It has no comparison.
    #[error("it should compare a figure with a value by <, <=, > or >=: `delivered.p99>1s`")]
    NoComparison,
    /// There is no such figure.
    #[error("there is no figure `{name}`: there are {}", names())]
    UnknownMetric {
        /// The unknown name.
        name: String,
    },
    /// A duration has to be compared with a duration.
    #[error("{metric} is a duration, but `{value}` is not: it should look like 250ms or 1.5s")]
    NotADuration {
        /// The figure.
        metric: String,
        /// The value that is not a duration.
        value: String,
    },
    /// A number has to be compared with a number.
    #[error("{metric} is a number, but `{value}` is not a number of 0 or more")]
    NotANumber {
        /// The figure.
        metric: String,
        /// The value that is not a number.
        value: String,
    },
}

fn names() -> String {
    Metric::all().map(|metric| metric.to_string()).collect::<Vec<_>>().join(", ")
}

impl FromStr for Limit {
    type Err = ParseLimitError;

    fn from_str(text: &str) -> Result<Self, ParseLimitError> {
        let at = text.find(['<', '>']).ok_or(ParseLimitError::NoComparison)?;
        let (name, rest) = text.split_at(at);
        let (sign, comparison) = Comparison::ALL
            .into_iter()
            .find(|(sign, _)| rest.starts_with(sign))
            .ok_or(ParseLimitError::NoComparison)?;
        let (name, value) = (name.trim(), rest[sign.len()..].trim());
        let metric = Metric::all().find(|metric| metric.to_string() == name).ok_or_else(|| {
            ParseLimitError::UnknownMetric { name: name.chars().take(64).collect() }
        })?;
        let value = value_of(metric, value)?;
        Ok(Self { metric, comparison, value, text: text.trim().into() })
    }
}

fn value_of(metric: Metric, value: &str) -> Result<f64, ParseLimitError> {
    let shown = || value.chars().take(64).collect::<String>();
    if metric.is_duration() {
        return humantime::parse_duration(value)
            .map(|duration: Duration| duration.as_secs_f64() * 1e6)
            .map_err(|_| ParseLimitError::NotADuration {
                metric: metric.to_string(),
                value: shown(),
            });
    }
    let number = value.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| ParseLimitError::NotANumber { metric: metric.to_string(), value: shown() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        text.parse::<Limit>().map_or_else(|error| error.to_string(), |limit| format!("{limit:?}"))
    }

    #[test]
    fn every_figure_can_have_a_limit() {
        for metric in Metric::all() {
            let value = if metric.is_duration() { "1.5s" } else { "2" };
            for sign in ["<", "<=", ">", ">="] {
                let limit: Limit = format!(" {metric} {sign} {value} ").parse().unwrap();
                assert_eq!(limit.metric(), metric);
                assert_eq!(limit.value, if metric.is_duration() { 1_500_000.0 } else { 2.0 });
            }
        }
    }

    #[test]
    fn an_invalid_limit_is_refused_with_the_reason() {
        let texts = [
            "",
            "delivered.p99",
            "delivered.p99=1s",
            "p99>1s",
            "delivered.p98>1s",
            "delivered.p99>1",
            "delivered.p99>",
            "delivered.p99>>1s",
            "errors>1s",
            "errors>-1",
            "errors>nan",
            "rate.accepted<inf",
        ];
        let said: Vec<_> = texts.map(|text| format!("{text}: {}", said(text))).into();
        insta::assert_snapshot!(said.join("\n"));
    }

    #[test]
    fn a_limit_is_crossed_when_its_comparison_holds() {
        let mut report = Report { failed: 2, ..Report::default() };
        report.delivery.record(Duration::from_millis(1_000));
        let crossed = |text: &str| {
            text.parse::<Limit>()
                .unwrap()
                .crossed_by(&report)
                .map(|crossed| crossed.to_string())
                .unwrap_or_default()
        };
        let limits = [
            "errors>1",
            "errors>2",
            "errors>=2",
            "errors<3",
            "errors<2",
            "errors<=2",
            "delivered.p99>0.9s",
            "delivered.max>2s",
            "rate.delivered<1",
            "undelivered>0",
        ];
        insta::assert_snapshot!(
            limits.map(|limit| format!("{limit}: {}", crossed(limit))).join("\n")
        );
    }
}
