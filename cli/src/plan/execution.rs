//! The execution of a plan.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    pin::pin,
    time::Duration,
};

use futures_util::{
    StreamExt,
    future::{AbortHandle, abortable},
    stream::FuturesUnordered,
};
use tokio::time::timeout;

use super::{Deadline, NodeId, Operation, Plan};
use crate::{
    error::{CliError, Result},
    output::{Output, capitalized},
    progress::Waiting,
    signals::Signals,
};

/// The most operations under way at a time.
const UNDER_WAY_MAX: usize = 16;
/// How long the operations that are under way may still take after one has failed: what becomes of them should be known.
const END_WAIT_MAX: Duration = Duration::from_secs(10);

/// Carries out single operations.
pub(crate) trait Carrier {
    /// Its operations.
    type Operation: Operation;

    /// Carries out one operation. `shown` shows its progress.
    ///
    /// # Errors
    /// Why it failed.
    async fn execute(&self, operation: &Self::Operation, shown: &Waiting) -> Result<()>;

    /// Undoes operations that were begun, the last one first. Some of them may not be completed, or may still take effect.
    ///
    /// # Errors
    /// Why they can't be undone.
    async fn undo(&self, begun: Vec<&Self::Operation>) -> Result<()>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Begun,
    Done,
}

/// A plan that is being executed.
#[derive(Debug)]
pub(crate) struct Execution<'p, O> {
    plan: &'p Plan<O>,
    states: RefCell<Vec<State>>,
    /// The operations under way.
    going: RefCell<BTreeMap<NodeId, AbortHandle>>,
    is_given_up: Cell<bool>,
}

impl<'p, O: Operation> Execution<'p, O> {
    /// Begins nothing yet.
    pub(crate) fn of(plan: &'p Plan<O>) -> Self {
        let states = RefCell::new(vec![State::Waiting; plan.nodes.len()]);
        Self { plan, states, going: RefCell::default(), is_given_up: Cell::new(false) }
    }

    /// Carries out the operations that `which` selects and that were not begun before, each when those that it needs are
    /// done. After an error it begins no more, and waits for those under way.
    ///
    /// # Errors
    /// The first error of an operation; [`CliError::NotReady`] after the deadline, with the operations under way.
    pub(crate) async fn run<C: Carrier<Operation = O>>(
        &self,
        carrier: &C,
        which: impl Fn(&O) -> bool,
        deadline: &Deadline,
        output: &Output,
    ) -> Result<()> {
        let shown = Waiting::new(output, "");
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < UNDER_WAY_MAX
                && let Some(id) = self.next(&which)
            {
                let operation = self.operation(id);
                output.detail(format_args!("{operation}"));
                let (work, handle) = abortable(carrier.execute(operation, &shown));
                self.begin(id, handle);
                under_way.push(async move { (id, work.await) });
            }
            let Some(first) = self.first_going() else { return Ok(()) };
            let (done, all) = self.progress();
            shown.say(format_args!("{} ({done} of {all} done)", capitalized(first)));
            let waited =
                deadline.spend(under_way.next(), self.is_large(), || self.still_to_be_done());
            let Some((id, result)) = waited.await? else { return Ok(()) };
            self.going.borrow_mut().remove(&id);
            match result {
                Ok(Ok(())) => self.states.borrow_mut()[id.0] = State::Done,
                Ok(Err(error)) => {
                    let rest = async { while under_way.next().await.is_some() {} };
                    let _late = timeout(END_WAIT_MAX, rest).await;
                    return Err(error);
                }
                // Given up.
                Err(_) => {}
            }
        }
    }

    /// Runs as [`Execution::run`] does, and undoes what was begun after a signal. A second signal ends the undo, too, and
    /// what is left is reported.
    ///
    /// # Errors
    /// As [`Execution::run`], or the error of the signal.
    pub(crate) async fn run_or_undo<C: Carrier<Operation = O>>(
        &self,
        carrier: &C,
        which: impl Fn(&O) -> bool,
        deadline: &Deadline,
        signals: &mut Signals,
        output: &Output,
    ) -> Result<()> {
        let mut running = pin!(self.run(carrier, which, deadline, output));
        let result = signals.or(running.as_mut()).await;
        let undo = async {
            self.give_up();
            let _late = timeout(END_WAIT_MAX, running).await;
            carrier.undo(self.begun()).await
        };
        undo_after_signal(result, undo, signals, output).await
    }

    /// Lets no further operation begin, and ends those under way, except requests.
    pub(crate) fn give_up(&self) {
        self.is_given_up.set(true);
        let going = self.going.borrow();
        going
            .iter()
            .filter(|(id, _)| !self.operation(**id).is_request())
            .for_each(|(_, handle)| handle.abort());
    }

    fn begin(&self, id: NodeId, handle: AbortHandle) {
        self.states.borrow_mut()[id.0] = State::Begun;
        let _none = self.going.borrow_mut().insert(id, handle);
    }

    fn first_going(&self) -> Option<&'p O> {
        self.going.borrow().keys().next().map(|id| self.operation(*id))
    }

    /// Returns how many operations are done, and how many there are.
    fn progress(&self) -> (usize, usize) {
        let states = self.states.borrow();
        (states.iter().filter(|state| **state == State::Done).count(), states.len())
    }

    fn is_large(&self) -> bool {
        self.going.borrow().keys().any(|id| self.operation(*id).is_large())
    }

    fn still_to_be_done(&self) -> String {
        let going = self.going.borrow();
        let texts: Vec<String> = going.keys().map(|id| self.operation(*id).to_string()).collect();
        format!("still to be done: {}", texts.join("; "))
    }

    fn operation(&self, id: NodeId) -> &'p O {
        &self.plan.nodes[id.0].operation
    }

    /// Returns the operations that were begun, the last one first.
    fn begun(&self) -> Vec<&'p O> {
        let states = self.states.borrow();
        let ids = (0..states.len()).rev().filter(|id| states[*id] != State::Waiting);
        ids.map(|id| self.operation(NodeId(id))).collect()
    }

    /// Returns the next operation that can begin.
    fn next(&self, which: impl Fn(&O) -> bool) -> Option<NodeId> {
        if self.is_given_up.get() {
            return None;
        }
        let states = self.states.borrow();
        let can_begin = |id: &NodeId| {
            let node = &self.plan.nodes[id.0];
            states[id.0] == State::Waiting
                && which(&node.operation)
                && node.needs.iter().all(|need| states[need.0] == State::Done)
        };
        (0..states.len()).map(NodeId).find(can_begin)
    }
}

/// Undoes what a command made if a signal ended it. A second signal ends the undo, too, and what is left is reported.
///
/// # Errors
/// The error of the command, or of the undo.
pub(crate) async fn undo_after_signal<T>(
    result: Result<T>,
    undo: impl Future<Output = Result<()>>,
    signals: &mut Signals,
    output: &Output,
) -> Result<T> {
    if !result.as_ref().is_err_and(CliError::is_signal) {
        return result;
    }
    let undone = signals.or(undo).await;
    if undone.as_ref().is_err_and(CliError::is_signal) {
        output.warn(format_args!(
            "interrupted again: not all that this command made was removed; `chefcito down` removes the rest"
        ));
    }
    undone.and(result)
}
