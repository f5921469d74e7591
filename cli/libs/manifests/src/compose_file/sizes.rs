//! Parses durations and sizes.

use std::time::Duration;

/// Parses `1m30s`, `500ms` or `1h`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|one: char| !(one.is_ascii_digit() || one == '.'))?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|one: char| !one.is_ascii_lowercase()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()?;
        sum = sum.checked_add(part)?;
        rest = after;
    }
    // Longer ones do not fit the engine's nanoseconds.
    const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);
    (!text.trim().is_empty() && sum <= YEAR).then_some(sum)
}

/// Parses `128m`, `1.5g`, `64kb`, or a number of bytes. As in Docker, a kilobyte has 1,024.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|one: char| !(one.is_ascii_digit() || one == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit.trim() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit).filter(|bytes| i64::try_from(*bytes).is_ok());
    }
    let seconds = Duration::try_from_secs_f64(number.parse().ok()?).ok()?;
    // A duration is an exact decimal with nine places.
    let bytes = seconds.as_nanos().checked_mul(unit.into())? / 1_000_000_000;
    i64::try_from(bytes).ok().and_then(|bytes| u64::try_from(bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_sums() {
        assert_eq!(duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        for wrong in ["", "10", "s", "1x", "-1s", "1 s", "1e9h", "9999999999h", "1..s"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_are_counted_in_1024s() {
        assert_eq!(bytes("128m"), Some(128 << 20));
        assert_eq!(bytes("1.5G"), Some(3 << 29));
        assert_eq!(bytes("64KB"), Some(64 << 10));
        assert_eq!(bytes("512"), Some(512));
        for wrong in ["", "m", "-1m", "1q", "99999999999t", "nan"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
