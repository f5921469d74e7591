//! Moments for people: in the zone of this machine, from `TZ` or `/etc/localtime`, or in UTC.

use std::fmt;

use contracts::Timestamp;
use jiff::{
    civil::{Date, DateTime},
    tz::{Offset, TimeZone},
};

/// A zone, and the day on which the command began.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    zone: TimeZone,
    /// Whether it is of UTC because that was asked for.
    is_utc: bool,
    today: Date,
}

impl Clock {
    /// Returns a clock of this machine's zone. Where the machine names none that is known, that is UTC.
    pub(crate) fn local() -> Self {
        Self::of(TimeZone::try_system().unwrap_or(TimeZone::UTC), false)
    }

    /// Returns a clock of UTC.
    pub(crate) fn utc() -> Self {
        Self::of(TimeZone::UTC, true)
    }

    /// Returns a clock of UTC if that is wanted, else of this machine's zone.
    pub(crate) fn new(utc: bool) -> Self {
        if utc { Self::utc() } else { Self::local() }
    }

    fn of(zone: TimeZone, is_utc: bool) -> Self {
        let today = zone.to_datetime(jiff::Timestamp::now()).date();
        Self { zone, is_utc, today }
    }

    /// Returns whether it is of UTC because that was asked for.
    pub(crate) const fn is_utc(&self) -> bool {
        self.is_utc
    }

    /// Returns its zone.
    pub(crate) const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Returns a moment as the time of day to the millisecond; with its date if that is not today's.
    pub(crate) fn time_of_day(&self, moment: Timestamp) -> TimeOfDay {
        match self.at(moment) {
            Some((_, local)) => TimeOfDay::Local { is_today: local.date() == self.today, local },
            None => TimeOfDay::Unwritable(moment),
        }
    }

    /// Returns a moment as RFC 3339, to the microsecond, with the offset of the zone.
    pub(crate) fn rfc_3339(&self, moment: Timestamp) -> String {
        let of_jiff = jiff::Timestamp::from_microsecond(moment.as_micros());
        match (self.at(moment), of_jiff) {
            (Some((offset, _)), Ok(of_jiff)) if !self.is_utc => {
                format!("{:.6}", of_jiff.display_with_offset(offset))
            }
            _ => moment.to_string(),
        }
    }

    /// Returns the name of the zone at a moment: `UTC`, `CET`, `+0530`.
    pub(crate) fn zone_at(&self, moment: Timestamp) -> String {
        let moment = jiff::Timestamp::from_microsecond(moment.as_micros()).unwrap_or_default();
        self.zone.to_offset_info(moment).abbreviation().to_owned()
    }

    fn at(&self, moment: Timestamp) -> Option<(Offset, DateTime)> {
        let moment = jiff::Timestamp::from_microsecond(moment.as_micros()).ok()?;
        let offset = self.zone.to_offset(moment);
        Some((offset, offset.to_datetime(moment)))
    }
}

/// A time of day, to be printed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TimeOfDay {
    /// In the zone of the clock.
    Local {
        /// Whether the date is left out.
        is_today: bool,
        /// The date and time.
        local: DateTime,
    },
    /// A moment that no calendar has.
    Unwritable(Timestamp),
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (is_today, local) = match self {
            Self::Unwritable(moment) => return moment.fmt(formatter),
            Self::Local { is_today, local } => (is_today, local),
        };
        if !is_today {
            write!(formatter, "{} ", local.date())?;
        }
        write!(
            formatter,
            "{:02}:{:02}:{:02}.{:03}",
            local.hour(),
            local.minute(),
            local.second(),
            local.millisecond()
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_moment_is_written_in_the_zone_with_its_date_unless_that_is_today() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let clock = Clock { today: jiff::civil::date(2026, 1, 31), is_utc: false, zone };
        let winter: Timestamp = "2026-01-31T12:00:00.0019Z".parse().unwrap();
        let summer: Timestamp = "2026-07-01T22:30:00Z".parse().unwrap();
        assert_eq!(clock.time_of_day(winter).to_string(), "13:00:00.001");
        assert_eq!(clock.time_of_day(summer).to_string(), "2026-07-02 00:30:00.000");
        assert_eq!(clock.rfc_3339(winter), "2026-01-31T13:00:00.001900+01:00");
        assert_eq!([winter, summer].map(|at| clock.zone_at(at)), ["CET", "CEST"]);
    }

    #[test]
    fn every_moment_can_be_written() {
        let far = Duration::from_secs(20_000 * 365 * 86_400);
        for clock in [Clock::utc(), Clock::local()] {
            for moment in [
                Timestamp::MIN,
                Timestamp::MAX,
                Timestamp::MAX.plus(far),
                Timestamp::MIN.minus(far),
            ] {
                assert!(!clock.time_of_day(moment).to_string().is_empty());
                assert!(!clock.rfc_3339(moment).is_empty());
                assert!(!clock.zone_at(moment).is_empty());
            }
        }
        let moment: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        assert_eq!(Clock::utc().rfc_3339(moment), moment.to_string());
    }
}
