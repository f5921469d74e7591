//! What the parts of one run share: the draws, the faults that are on, the trace of all that happened, the coverage.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use embedded::Steps;
use store::StoreError;
use tokio::sync::Notify;

use crate::{
    machine,
    plan::{Draws, Plan},
};

/// How many steps a run makes at the most, some ten times as many as usual: more is an endless loop.
const STEPS_MAX: u64 = 60_000;

/// The world of one run.
pub(crate) struct World {
    state: Mutex<State>,
    /// Notified when the process was killed.
    pub(crate) killed: Notify,
}

struct State {
    draws: Draws,
    hash: u64,
    timeline: Option<Vec<String>>,
    coverage: BTreeMap<&'static str, u64>,
    steps: u64,
    /// The step at which the process is killed; its files are saved then.
    kill_at: Option<u64>,
    is_killed: bool,
    folder: PathBuf,
    saved: PathBuf,
    commits_fail: u64,
    commits_unknown: u64,
    /// The service whose disk is full.
    full_disk: Option<&'static str>,
    problems: Vec<String>,
}

impl fmt::Debug for World {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    pub(crate) fn new(seed: u64, keeps_timeline: bool) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                draws: Draws::new(seed),
                hash: 0xcbf2_9ce4_8422_2325,
                timeline: keeps_timeline.then(Vec::new),
                coverage: BTreeMap::new(),
                steps: 0,
                kill_at: None,
                is_killed: false,
                folder: PathBuf::new(),
                saved: PathBuf::new(),
                commits_fail: 0,
                commits_unknown: 0,
                full_disk: None,
                problems: Vec::new(),
            }),
            killed: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a life in `folder`; if it is killed, its files are copied to `saved`.
    pub(crate) fn begin(&self, folder: &Path, saved: &Path, kill_after: Option<u64>) {
        let mut state = self.lock();
        state.kill_at = kill_after.map(|after| state.steps + after);
        state.is_killed = false;
        // A process that can't save anything while it opens gives up; whoever starts it starts it again.
        (state.commits_fail, state.commits_unknown) = (0, 0);
        state.full_disk = None;
        folder.clone_into(&mut state.folder);
        saved.clone_into(&mut state.saved);
    }

    /// Lets commits go wrong.
    pub(crate) fn storm(&self, plan: &Plan) {
        let mut state = self.lock();
        (state.commits_fail, state.commits_unknown) = (plan.commits_fail, plan.commits_unknown);
    }

    /// Lets commits go wrong no more.
    pub(crate) fn calm(&self) {
        let mut state = self.lock();
        (state.commits_fail, state.commits_unknown) = (0, 0);
        state.full_disk = None;
    }

    /// Lets every commit of this service fail, and of no other.
    pub(crate) fn fill_disk(&self, of: Option<&'static str>) {
        self.lock().full_disk = of;
        self.note(format_args!("disk       full: {}", of.unwrap_or("none")));
    }

    /// Uses the draws of the run.
    pub(crate) fn draw<T>(&self, with: impl FnOnce(&mut Draws) -> T) -> T {
        with(&mut self.lock().draws)
    }

    /// Counts that something happened which must happen in some seed.
    pub(crate) fn sometimes(&self, what: &'static str) {
        *self.lock().coverage.entry(what).or_default() += 1;
    }

    /// Notes what happened: it goes into the hash, and into the timeline if there is one.
    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        let line = format!("{:>14.6} ms  {what}", machine::elapsed() as f64 / 1e6);
        let mut state = self.lock();
        for byte in line.bytes() {
            state.hash = (state.hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        if let Some(timeline) = &mut state.timeline {
            timeline.push(line);
        }
    }

    /// Notes what must not be.
    pub(crate) fn problem(&self, what: String) {
        self.note(format_args!("PROBLEM {what}"));
        self.lock().problems.push(what);
    }

    /// Returns whether the run has no end.
    pub(crate) fn is_endless(&self) -> bool {
        self.lock().steps > STEPS_MAX
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.lock().is_killed
    }

    /// Kills the process now.
    pub(crate) fn kill(&self) {
        self.kill_in(&mut self.lock());
        self.note(format_args!("kill"));
    }

    fn kill_in(&self, state: &mut State) {
        if !std::mem::replace(&mut state.is_killed, true) {
            if let Err(error) = copy(&state.folder, &state.saved) {
                state.problems.push(format!("the files could not be saved: {error}"));
            }
            self.killed.notify_one();
        }
    }

    /// One step of a service; returns whether it may go on.
    fn step(&self, service: &str, what: &str) -> bool {
        let mut state = self.lock();
        state.steps += 1;
        if state.is_killed {
            return false;
        }
        if state.steps > STEPS_MAX {
            state.problems.push(format!("no end after {STEPS_MAX} steps"));
            self.kill_in(&mut state);
            return false;
        }
        if state.kill_at.is_some_and(|kill_at| state.steps >= kill_at) {
            self.kill_in(&mut state);
            let steps = state.steps;
            drop(state);
            self.note(format_args!("kill       {service} at step {steps} {what}"));
            self.sometimes(match what {
                "before a commit" => "fault: killed before a commit",
                "after a commit" => "fault: killed after a commit",
                _ => "fault: killed between steps",
            });
            return what == "after a commit";
        }
        true
    }

    /// Ends the run: returns the hash, the steps, the coverage, the problems and the timeline.
    pub(crate) fn end(&self) -> (u64, u64, BTreeMap<&'static str, u64>, Vec<String>, Vec<String>) {
        let mut state = self.lock();
        let state = &mut *state;
        let timeline = state.timeline.take().unwrap_or_default();
        let coverage = std::mem::take(&mut state.coverage);
        (state.hash, state.steps, coverage, std::mem::take(&mut state.problems), timeline)
    }
}

/// Copies what `kill -9` leaves: the databases and their write-ahead logs, but not the shared memory.
fn copy(folder: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        if let Some(name) = name.filter(|name| path.is_file() && !name.ends_with("-shm")) {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// The steps of a world, as the databases know them.
#[derive(Debug)]
pub(crate) struct WorldSteps(pub(crate) Arc<World>);

impl Steps for WorldSteps {
    fn pause(&self, service: &'static str) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let goes_on = self.0.step(service, "between steps");
        let wait = self.0.draw(|draws| match draws.below(8) {
            0..4 => None,
            4..7 => Some(Duration::from_micros(draws.below(2_000))),
            _ => Some(Duration::from_micros(draws.below(40_000))),
        });
        Box::pin(async move {
            match wait {
                _ if !goes_on => std::future::pending().await,
                None => tokio::task::yield_now().await,
                Some(wait) => tokio::time::sleep(wait).await,
            }
        })
    }

    fn before_commit(&self, service: &'static str) -> Result<(), StoreError> {
        if !self.0.step(service, "before a commit") {
            return Err(StoreError::Closed);
        }
        let (share, full_disk) = {
            let state = self.0.lock();
            (state.commits_fail, state.full_disk)
        };
        if full_disk == Some(service) {
            self.0.note(format_args!("commit     {service} fails: its disk is full"));
            return Err(StoreError::engine("the simulation says that the disk is full"));
        }
        if share > 0 && self.0.draw(|draws| draws.happens(share)) {
            self.0.sometimes("fault: commit fails");
            self.0.note(format_args!("commit     {service} fails"));
            return Err(StoreError::engine("the simulation lets a commit fail"));
        }
        Ok(())
    }

    fn after_commit(&self, service: &'static str) -> Result<(), StoreError> {
        self.0.note(format_args!("commit     {service}"));
        if !self.0.step(service, "after a commit") {
            return Err(StoreError::Closed);
        }
        let share = self.0.lock().commits_unknown;
        if share > 0 && self.0.draw(|draws| draws.happens(share)) {
            self.0.sometimes("fault: commit with an unknown outcome");
            self.0.note(format_args!("commit     {service} has an unknown outcome"));
            return Err(StoreError::Unknown("the simulation lost the answer".into()));
        }
        Ok(())
    }
}
