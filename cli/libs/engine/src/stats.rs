//! The processor and memory that containers use.

use std::time::Duration;

use bollard::query_parameters::StatsOptions;
use contracts::Timestamp;
use futures_util::StreamExt;

use super::{Engine, errors::EngineError};

/// A sample of the resources of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The time of the sample.
    pub at: Timestamp,
    /// Its processor time since its start.
    pub cpu: Duration,
    /// Its memory in bytes, without caches, as in `docker stats`.
    pub memory_bytes: u64,
    /// Its memory limit, in bytes.
    pub memory_limit_bytes: u64,
}

impl Sample {
    /// Returns the share of one processor since an earlier sample, in percent.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people's eyes")]
    pub fn cpu_percent(&self, earlier: &Self) -> f64 {
        let passed = self.at.since(earlier.at).as_micros() as f64;
        let taken = self.cpu.saturating_sub(earlier.cpu).as_micros() as f64;
        if passed > 0.0 { taken / passed * 100.0 } else { 0.0 }
    }
}

impl Engine {
    /// Returns a sample of a container at once; `None` if it is not running.
    ///
    /// # Errors
    /// [`EngineError`] if the request fails.
    pub async fn sample(&self, id: &str) -> Result<Option<Sample>, EngineError> {
        let options = StatsOptions { stream: false, one_shot: true };
        let mut reported = Box::pin(self.docker.stats(id, Some(options)));
        let Some(stats) = reported.next().await else { return Ok(None) };
        let stats =
            match stats.map_err(self.could_not(|| "return the statistics of a container".into())) {
                Err(error) if error.is_not_found() || error.is_conflict() => return Ok(None),
                stats => stats?,
            };
        let at = stats.read.and_then(|at| at.parse().ok());
        let cpu = stats.cpu_stats.and_then(|cpu| cpu.cpu_usage?.total_usage);
        let memory = stats.memory_stats.unwrap_or_default();
        let (Some(at), Some(cpu), Some(usage)) = (at, cpu, memory.usage) else { return Ok(None) };
        let details = memory.stats.unwrap_or_default();
        // It has another name with cgroups v1.
        let inactive = details.get("inactive_file").or_else(|| details.get("total_inactive_file"));
        Ok(Some(Sample {
            at,
            cpu: Duration::from_nanos(cpu),
            memory_bytes: usage.saturating_sub(inactive.copied().unwrap_or_default()),
            memory_limit_bytes: memory.limit.unwrap_or_default(),
        }))
    }
}
