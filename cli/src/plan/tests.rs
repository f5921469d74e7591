use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    fmt,
    time::Duration,
};

use proptest::prelude::*;
use serde::Serialize;
use tokio::task::yield_now;

use super::*;
use crate::{error::CliError, output::Manner, progress::Waiting, signals::Signals};

/// An operation that takes some turns of the executor, and may fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Work {
    name: usize,
    turns: u8,
    fails: bool,
    never_ends: bool,
    is_request: bool,
    is_large: bool,
}

impl Work {
    const fn new(name: usize, turns: u8) -> Self {
        let (fails, never_ends, is_request, is_large) = (false, false, false, false);
        Self { name, turns, fails, never_ends, is_request, is_large }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "work {}", self.name)
    }
}

impl Operation for Work {
    fn is_large(&self) -> bool {
        self.is_large
    }

    fn is_request(&self) -> bool {
        self.is_request
    }
}

/// Notes what happens: `+` begins, `-` is done, `<` is undone.
#[derive(Default)]
struct Noted {
    events: RefCell<Vec<(char, usize)>>,
    /// Whether work that never ends by itself was ended.
    was_ended: Cell<bool>,
}

/// Notes the end of work that never ends by itself.
struct Endless<'n>(&'n Noted);

impl Drop for Endless<'_> {
    fn drop(&mut self) {
        self.0.was_ended.set(true);
    }
}

impl Noted {
    fn note(&self, what: char, work: &Work) {
        self.events.borrow_mut().push((what, work.name));
    }

    fn names(&self, what: char) -> Vec<usize> {
        self.events
            .borrow()
            .iter()
            .filter(|(kind, _)| *kind == what)
            .map(|(_, name)| *name)
            .collect()
    }
}

impl Carrier for Noted {
    type Operation = Work;

    async fn execute(&self, work: &Work, _shown: &Waiting) -> Result<()> {
        self.note('+', work);
        for _ in 0..work.turns {
            yield_now().await;
        }
        if work.never_ends {
            let _endless = Endless(self);
            std::future::pending::<()>().await;
        }
        while work.is_request && !self.was_ended.get() {
            yield_now().await;
        }
        if work.fails {
            return Err(CliError::failed(format!("{work} failed")));
        }
        self.note('-', work);
        Ok(())
    }

    async fn undo(&self, begun: Vec<&Work>) -> Result<()> {
        begun.into_iter().for_each(|work| self.note('<', work));
        Ok(())
    }
}

/// Executes a whole plan on a model, and fails with the first thing that the model refuses.
pub(crate) fn carry_out<C: Carrier>(
    plan: &Plan<C::Operation>,
    model: &C,
) -> Result<(), TestCaseError> {
    let execution = Execution::of(plan);
    let run = block_on(execution.run(model, |_| true, &Deadline::none(), &output()));
    run.map_err(|error| TestCaseError::fail(error.to_string()))
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn output() -> Output {
    Output::new(Manner::quiet())
}

/// Returns any plan of up to 24 operations.
fn plans() -> impl Strategy<Value = Plan<Work>> {
    let node = (0..6_u8, proptest::collection::vec(any::<prop::sample::Index>(), 0..4));
    proptest::collection::vec(node, 1..24).prop_map(|nodes| {
        let mut plan = Plan::default();
        for (name, (turns, needs)) in nodes.into_iter().enumerate() {
            let needs: BTreeSet<NodeId> =
                needs.iter().filter(|_| name > 0).map(|need| NodeId(need.index(name))).collect();
            plan.add(Work::new(name, turns), needs);
        }
        plan
    })
}

fn needs(plan: &Plan<Work>, name: usize) -> Vec<usize> {
    plan.nodes[name].needs.iter().map(|need| need.0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_operation_begins_once_and_after_those_that_it_needs(plan in plans()) {
        let noted = Noted::default();
        let run = Execution::of(&plan);
        block_on(run.run(&noted, |_| true, &Deadline::none(), &output())).unwrap();
        let mut begun = noted.names('+');
        begun.sort_unstable();
        prop_assert_eq!(begun, (0..plan.nodes.len()).collect::<Vec<_>>());
        let mut done = BTreeSet::new();
        for (what, name) in noted.events.borrow().iter() {
            match what {
                '+' => prop_assert!(needs(&plan, *name).iter().all(|need| done.contains(need))),
                _ => prop_assert!(done.insert(*name)),
            }
        }
    }

    #[test]
    fn after_a_failure_nothing_begins_that_needs_it(
        mut plan in plans(),
        failing in any::<prop::sample::Index>(),
    ) {
        let failing = failing.index(plan.nodes.len());
        plan.nodes[failing].operation.fails = true;
        let noted = Noted::default();
        let run = Execution::of(&plan);
        let error = block_on(run.run(&noted, |_| true, &Deadline::none(), &output()));
        prop_assert_eq!(error.unwrap_err().to_string(), format!("work {failing} failed"));
        let (begun, done) = (noted.names('+'), noted.names('-'));
        for name in &begun {
            prop_assert!(!needs(&plan, *name).contains(&failing));
        }
        // What was under way has come to its end.
        prop_assert_eq!(begun.len(), done.len() + 1);
    }
}

#[test]
fn what_is_not_done_in_time_is_named_and_large_work_has_its_own_time() {
    let mut plan = Plan::default();
    let large = Work { is_large: true, turns: 200, ..Work::new(0, 0) };
    let large = plan.add(large, []);
    plan.add(Work { never_ends: true, ..Work::new(1, 0) }, [large]);
    let noted = Noted::default();
    let deadline = Deadline::new(Duration::ZERO, false);
    let run = Execution::of(&plan);
    let late = block_on(run.run(&noted, |_| true, &deadline, &output())).unwrap_err();
    assert_eq!(noted.names('-'), [0], "the large one had all the time that it needed");
    assert!(late.to_string().contains("still to be done: work 1"), "{late}");

    let never = Work { never_ends: true, is_large: true, ..Work::new(0, 0) };
    let mut plan = Plan::default();
    plan.add(never, []);
    let strict = Deadline::new(Duration::ZERO, true);
    let run = Execution::of(&plan);
    let late = block_on(run.run(&noted, |_| true, &strict, &output())).unwrap_err();
    assert!(late.to_string().contains("still to be done: work 0"), "{late}");
}

#[test]
fn a_signal_ends_what_waits_lets_requests_end_and_undoes_both() {
    let mut plan = Plan::default();
    let waits = Work { never_ends: true, ..Work::new(0, 0) };
    plan.add(waits, []);
    // Its answer comes when the other one was ended.
    let request = plan.add(Work { is_request: true, ..Work::new(1, 0) }, []);
    plan.add(Work::new(2, 0), [request]);
    let noted = Noted::default();
    let run = Execution::of(&plan);
    let ended = block_on(async {
        let mut signals = Signals::take_over().unwrap();
        let (deadline, output) = (Deadline::none(), output());
        let running = run.run_or_undo(&noted, |_| true, &deadline, &mut signals, &output);
        let interrupt = async {
            while noted.names('+').len() < 2 {
                yield_now().await;
            }
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM)
                .unwrap();
        };
        futures_util::future::join(running, interrupt).await.0
    });
    assert!(ended.unwrap_err().is_signal());
    assert_eq!(noted.names('-'), [1], "its answer was waited for");
    assert_eq!(noted.names('<'), [1, 0], "the third was never begun");
}
