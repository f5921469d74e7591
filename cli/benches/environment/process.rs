//! The processor time and memory of a process.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// The system's clock ticks per second for programs, on every architecture.
const TICKS_PER_SECOND: u32 = 100;

/// A process's own accounting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// Returns this process, in which the load generator runs.
    pub(crate) fn this() -> Self {
        Self(std::process::id())
    }

    /// Returns the processor time of its threads, in user and kernel mode, to a hundredth of a second.
    pub(crate) fn cpu(self) -> Result<Duration> {
        let stat = self.read("stat")?;
        // The name of the program, in brackets, may contain anything.
        let (_, fields) = stat.rsplit_once(')').context("a line of /proc that can't be read")?;
        let ticks: u32 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse::<u32>)
            .sum::<Result<_, _>>()
            .context("a line of /proc that can't be read")?;
        Ok(Duration::from_secs(1) * ticks / TICKS_PER_SECOND)
    }

    /// Returns its memory, in MiB.
    pub(crate) fn resident(self) -> Result<f64> {
        self.status("VmRSS:")
    }

    /// Returns the peak of its memory, in MiB.
    pub(crate) fn peak(self) -> Result<f64> {
        self.status("VmHWM:")
    }

    fn status(self, name: &str) -> Result<f64> {
        let status = self.read("status")?;
        let kib: f64 = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.split_whitespace().next())
            .with_context(|| format!("/proc does not tell {name}"))?
            .parse()?;
        Ok(kib / 1024.0)
    }

    fn read(self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.0);
        fs::read_to_string(&path).with_context(|| format!("can't read {path}: has it ended?"))
    }
}

/// Returns the cost of one of so many items, in microseconds.
pub(crate) fn micros_each(time: Duration, pieces: u64) -> f64 {
    time.as_secs_f64() * 1e6 / number(pieces.max(1))
}

/// Returns a count as a floating-point number.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
pub(crate) const fn number(count: u64) -> f64 {
    count as f64
}
