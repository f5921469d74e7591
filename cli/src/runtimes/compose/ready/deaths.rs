//! Decides after which exits a container has failed for good.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use manifests::compose_file::Restart;

/// The most exits within [`WITHIN`]: a service that waits for another one does not exit.
const DEATHS_MAX: usize = 3;
/// The period of [`DEATHS_MAX`].
const WITHIN: Duration = Duration::from_secs(30);

/// What an exit means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The job has completed.
    Done,
    /// The engine restarts it.
    Hopeful,
    /// It has failed for good, with the reason.
    Hopeless(String),
}

/// The exits of all containers.
#[derive(Debug, Default)]
pub(super) struct Deaths(HashMap<String, Vec<Instant>>);

impl Deaths {
    /// Notes an exit.
    pub(super) fn note(
        &mut self,
        id: &str,
        code: i64,
        is_job: bool,
        restart: Restart,
        now: Instant,
    ) -> Verdict {
        if is_job && code == 0 {
            return Verdict::Done;
        }
        let deaths = self.0.entry(id.to_owned()).or_default();
        deaths.retain(|death| now.duration_since(*death) <= WITHIN);
        deaths.push(now);
        let comes_again = match restart {
            Restart::No => false,
            Restart::Always | Restart::UnlessStopped | Restart::OnFailure { retries_max: 0 } => {
                true
            }
            Restart::OnFailure { retries_max } => deaths.len() <= retries_max as usize,
        };
        match (comes_again, deaths.len()) {
            (false, _) => Verdict::Hopeless(format!("it ended with exit code {code}")),
            (true, count) if count >= DEATHS_MAX => Verdict::Hopeless(format!(
                "it ended {count} times within {} s, last with exit code {code}",
                WITHIN.as_secs()
            )),
            (true, _) => Verdict::Hopeful,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_deaths_are_forgiven_and_many_are_not() {
        let mut deaths = Deaths::default();
        let start = Instant::now();
        let mut die = |seconds| {
            let now = start + Duration::from_secs(seconds);
            deaths.note("a", 1, false, Restart::UnlessStopped, now)
        };
        assert_eq!(die(0), Verdict::Hopeful);
        assert_eq!(die(1), Verdict::Hopeful);
        assert_eq!(die(40), Verdict::Hopeful, "the first two are long ago");
        assert_eq!(die(41), Verdict::Hopeful);
        assert_eq!(
            die(42),
            Verdict::Hopeless("it ended 3 times within 30 s, last with exit code 1".into())
        );
    }

    #[test]
    fn a_container_without_restarts_is_hopeless_at_once() {
        let mut deaths = Deaths::default();
        let now = Instant::now();
        assert_eq!(deaths.note("a", 0, true, Restart::No, now), Verdict::Done);
        let hopeless = Verdict::Hopeless("it ended with exit code 2".into());
        assert_eq!(deaths.note("a", 2, true, Restart::No, now), hopeless);
        let once = Restart::OnFailure { retries_max: 1 };
        assert_eq!(deaths.note("b", 2, true, once, now), Verdict::Hopeful);
        assert_eq!(deaths.note("b", 2, true, once, now), hopeless);
    }
}
