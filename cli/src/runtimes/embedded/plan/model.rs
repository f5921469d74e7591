//! A dry run is what is executed: plans for random states, carried out on a model of the process by the execution that commands
//! use.

use std::cell::{Cell, RefCell};

use proptest::prelude::*;

use super::{
    tests::{running, wanted},
    *,
};
use crate::{
    error::Result,
    plan::{Carrier, tests::carry_out},
    progress::Waiting,
};

#[derive(Default)]
struct Model {
    has_state: Cell<bool>,
    runs: Cell<bool>,
    is_ready: Cell<bool>,
    is_empty: Cell<bool>,
    executed: RefCell<Vec<String>>,
}

impl Model {
    fn is(&self, it: bool, step: &Step) -> Result<()> {
        if it { Ok(()) } else { Err(CliError::failed(format!("not possible now: {step}"))) }
    }
}

impl Carrier for Model {
    type Operation = Step;

    async fn execute(&self, step: &Step, _shown: &Waiting) -> Result<()> {
        self.executed.borrow_mut().push(step.to_string());
        tokio::task::yield_now().await;
        match step {
            Step::CreateState => self.is(!self.has_state.replace(true), step),
            Step::Stop { .. } => self.is(self.runs.replace(false), step),
            Step::Start { .. } => self.is(self.has_state.get() && !self.runs.replace(true), step),
            Step::AwaitReady => {
                self.is_ready.set(true);
                self.is(self.runs.get(), step)
            }
            Step::SeedIfEmpty => {
                self.is_empty.set(false);
                self.is(self.is_ready.get(), step)
            }
            Step::Order { .. } => self.is(self.is_ready.get(), step),
        }
    }

    async fn undo(&self, _begun: Vec<&Step>) -> Result<()> {
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_dry_run_is_what_is_executed_and_leads_to_what_is_wanted(
        kind in 0..3,
        (state, crashed, is_ready, is_empty, locked) in any::<(bool, bool, bool, bool, bool)>(),
        (seed, other_build, other_port) in any::<(bool, bool, bool)>(),
        (stoves, orders) in (1..3_u32, 0..3_u32),
    ) {
        let mut wanted = Wanted { seed, orders, ..wanted() };
        let now = running(&wanted);
        wanted.settings.stoves = stoves.try_into().unwrap();
        wanted.settings.port = other_port.then_some(9000);
        if other_build {
            wanted.program.build = "b".into();
        }
        let (observed, runs) = match (kind, now) {
            (0, _) => (Observed::Nothing { state: state || crashed, crashed }, false),
            (1, _) => (Observed::NoRecord { pid: Some(7) }, true),
            (_, Observed::Running { record, .. }) => {
                let (ready, empty) = (is_ready, is_ready && is_empty);
                (Observed::Running { record, ready, empty, locked: is_ready && locked }, true)
            }
            (_, other) => (other, true),
        };
        let model = Model {
            has_state: Cell::new(!matches!(observed, Observed::Nothing { state: false, .. })),
            runs: Cell::new(runs),
            is_ready: Cell::new(matches!(observed, Observed::Running { ready: true, .. })),
            is_empty: Cell::new(is_empty),
            ..Model::default()
        };
        let plan = plan(&wanted, &observed).unwrap();
        carry_out(&plan, &model)?;

        let printed: Vec<String> = plan.operations().map(ToString::to_string).collect();
        prop_assert_eq!(printed, model.executed.take());
        prop_assert!(model.runs.get() && model.is_ready.get());
        prop_assert!(!seed || !model.is_empty.get());
    }
}
