//! Figures and moments as people read them.

use std::time::Duration;

use contracts::{Quantities, Timestamp};
use jiff::tz::TimeZone;

/// Returns how long ago something was, in at most six letters.
pub(crate) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m{:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// Returns how soon something is: `in 4s`. A part of a second counts as a whole one.
pub(crate) fn until(left: Duration) -> String {
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    format!("in {}", age(Duration::from_secs(seconds)))
}

/// Returns how long something took.
pub(crate) fn took(took: Duration) -> String {
    match took.as_millis() {
        ms @ 0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.2} s", took.as_secs_f64()),
        _ => age(took),
    }
}

/// Returns how long something took that may have ended before it began, by clocks that differ.
pub(crate) fn between(begin: Timestamp, end: Timestamp) -> String {
    took(end.since(begin))
}

/// Returns a moment as the time of day.
pub(crate) fn time_of_day(moment: Timestamp, zone: &TimeZone) -> String {
    let moment = jiff::Timestamp::from_microsecond(moment.as_micros()).unwrap_or_default();
    let local = zone.to_datetime(moment);
    format!("{:02}:{:02}:{:02}", local.hour(), local.minute(), local.second())
}

/// Returns quantities as a list: `2 lemon, 1 tomato`.
pub(crate) fn quantities(quantities: &Quantities) -> String {
    let each = quantities.iter().map(|(ingredient, quantity)| format!("{quantity} {ingredient}"));
    each.collect::<Vec<_>>().join(", ")
}

/// Returns text from outside as part of one line.
pub(crate) fn safe(text: &str) -> String {
    printable::line(text).replace('\t', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short_and_durations_exact() {
        let ages = [0, 59, 60, 3_599, 3_600, 86_399, 90_000].map(Duration::from_secs).map(age);
        assert_eq!(ages, ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d01h"]);
        let soon = [1, 999, 1_000, 4_001].map(Duration::from_millis).map(until);
        assert_eq!(soon, ["in 1s", "in 1s", "in 1s", "in 5s"]);
        let durations = [0, 999, 1_000, 59_994, 61_000].map(Duration::from_millis).map(took);
        assert_eq!(durations, ["0 ms", "999 ms", "1.00 s", "59.99 s", "1m01s"]);
    }

    #[test]
    fn every_moment_has_a_time_of_day() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let noon: Timestamp = "2026-01-31T12:03:04.5Z".parse().unwrap();
        assert_eq!(time_of_day(noon, &zone), "13:03:04");
        for moment in [Timestamp::MIN, Timestamp::MAX] {
            assert_eq!(time_of_day(moment, &zone).len(), 8);
        }
    }
}
