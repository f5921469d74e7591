//! A dry run is what is executed: plans for random states of a namespace, carried out on a model of a cluster by the execution
//! that commands use.

use std::cell::RefCell;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    error::{CliError, Result},
    plan::{Carrier, tests::carry_out},
    progress::Waiting,
};

const KINDS: [&str; 4] = ["ConfigMap", "Job", "Deployment", "PersistentVolumeClaim"];

/// An object of a case: its kind, its rank, and what there is of it.
#[derive(Clone, Copy, Debug)]
struct Thing {
    kind: usize,
    rank: u8,
    is_wanted: bool,
    is_there: bool,
    differs: bool,
}

fn things() -> impl Strategy<Value = Vec<Thing>> {
    let thing = (0..KINDS.len(), 0..3_u8, any::<(bool, bool, bool)>());
    proptest::collection::vec(thing, 0..12).prop_map(|things| {
        let thing = |(kind, rank, (is_wanted, is_there, differs))| Thing {
            kind,
            rank,
            is_wanted,
            is_there,
            differs,
        };
        things.into_iter().map(thing).collect()
    })
}

fn object(thing: Thing, number: usize, value: u8) -> Object {
    let name = format!("thing-{number}");
    let object = json!({
        "apiVersion": "v1", "kind": KINDS[thing.kind], "metadata": {"name": name},
        "spec": {"value": value},
    });
    Object::from_value(object).unwrap()
}

fn wanted(things: &[Thing]) -> Wanted {
    let wanted = things.iter().enumerate().filter(|(_, thing)| thing.is_wanted);
    Wanted::of(wanted.map(|(number, thing)| (thing.rank, object(*thing, number, 1))).collect())
}

fn observed(things: &[Thing]) -> Vec<Object> {
    let there = things.iter().enumerate().filter(|(_, thing)| thing.is_there);
    there.map(|(number, thing)| object(*thing, number, u8::from(!thing.differs))).collect()
}

/// Returns what the cluster forecasts: jobs can't be changed.
fn forecasts(wanted: &Wanted, observed: &[Object]) -> BTreeMap<Id, Forecast> {
    let there: BTreeMap<Id, &Object> = observed.iter().map(|one| (one.id(), one)).collect();
    let forecast = |object: &Object| {
        let is = there.get(&object.id())?;
        let forecast = match object.kind() == "Job" && object.data() != is.data() {
            true => Forecast::Immutable,
            false => Forecast::Becomes(Box::new(object.clone())),
        };
        Some((object.id(), forecast))
    };
    wanted.objects().filter_map(forecast).collect()
}

fn planned(wanted: &Wanted, observed: &[Object]) -> Plan<Step> {
    let steps = steps(wanted, observed, &forecasts(wanted, observed));
    let mut plan = Plan::default();
    if !steps.is_empty() {
        add_steps(&mut plan, steps, wanted);
    }
    plan
}

struct Model<'a> {
    wanted: &'a Wanted,
    has: RefCell<BTreeMap<Id, Object>>,
    executed: RefCell<Vec<String>>,
    pods_are_ready: RefCell<bool>,
}

impl Model<'_> {
    fn rank(&self, id: &Id) -> usize {
        self.wanted.waves().position(|mut wave| wave.any(|object| object.id() == *id)).unwrap()
    }

    /// Refuses an object before all of lower ranks are as wanted.
    fn apply(&self, id: &Id) -> Result<()> {
        let wave = self.rank(id);
        let mut has = self.has.borrow_mut();
        for object in self.wanted.waves().take(wave).flatten() {
            if has.get(&object.id()).is_none_or(|is| is.data() != object.data()) {
                return Err(CliError::failed(format!("{id} before {}", object.id())));
            }
        }
        let object = self.wanted.objects().find(|object| object.id() == *id).unwrap();
        has.insert(id.clone(), object.clone());
        Ok(())
    }
}

impl Carrier for Model<'_> {
    type Operation = Step;

    async fn execute(&self, step: &Step, _shown: &Waiting) -> Result<()> {
        self.executed.borrow_mut().push(step.to_string());
        // Others that can begin, begin.
        tokio::task::yield_now().await;
        match step {
            Step::Create { id } | Step::Change { id, .. } | Step::Replace { id } => self.apply(id),
            Step::AwaitPods => {
                *self.pods_are_ready.borrow_mut() = true;
                Ok(())
            }
            Step::Remove { id } if *self.pods_are_ready.borrow() => {
                self.has.borrow_mut().remove(id);
                Ok(())
            }
            step => Err(CliError::failed(format!("too early: {step}"))),
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
    fn a_dry_run_is_what_is_executed_and_leads_to_what_is_wanted(things in things()) {
        let (wanted, observed) = (wanted(&things), observed(&things));
        let plan = planned(&wanted, &observed);
        let model = Model {
            wanted: &wanted,
            has: RefCell::new(observed.iter().map(|one| (one.id(), one.clone())).collect()),
            executed: RefCell::default(),
            pods_are_ready: RefCell::default(),
        };
        carry_out(&plan, &model)?;

        let mut printed: Vec<String> = plan.operations().map(ToString::to_string).collect();
        let mut executed = model.executed.take();
        printed.sort_unstable();
        executed.sort_unstable();
        prop_assert_eq!(printed, executed);

        let after: Vec<Object> = model.has.take().into_values().collect();
        prop_assert!(planned(&wanted, &after).is_empty());
        let data = |objects: &[Object]| objects.iter().filter(|one| is_data(one)).count();
        prop_assert!(data(&after) >= data(&observed), "data outlive their workload");
    }
}
