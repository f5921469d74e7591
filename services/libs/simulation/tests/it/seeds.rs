//! Many seeds.

use std::path::Path;

use simulation::seeds::{run_apart, run_many};

const PROGRAM: &str = env!("CARGO_BIN_EXE_simulation");
/// How many seeds a test runs, unless `CHEFCITO_TEST_SIMULATION_SEEDS` says another number: half a minute on two cores.
const SEEDS: u64 = 60;

#[test]
fn no_seed_fails_and_together_they_meet_everything() {
    let seeds = match std::env::var("CHEFCITO_TEST_SIMULATION_SEEDS") {
        Ok(seeds) => seeds.parse().unwrap(),
        Err(_) => SEEDS,
    };
    let jobs = std::thread::available_parallelism().map_or(1, Into::into);
    let summary = run_many(Path::new(PROGRAM), (1, seeds), jobs, None, true, &|_| {}).unwrap();
    if let Some(failed) = summary.failed.first() {
        panic!(
            "seed {} fails; repeat it: cargo run --release -p simulation -- --seed {}\n{:#?}",
            failed.seed, failed.seed, failed.problems
        );
    }
    assert_eq!(summary.ran, seeds);
    assert!(seeds < SEEDS || summary.never_met().is_empty(), "never: {:#?}", summary.never_met());
}

#[test]
fn a_seed_does_the_same_again() {
    for seed in 1..=6 {
        let [one, other] = [(); 2].map(|()| run_apart(Path::new(PROGRAM), seed, None).unwrap());
        assert!(one.hash != 0 && one.steps > 0);
        assert_eq!((one.hash, one.steps), (other.hash, other.steps), "seed {seed}");
        assert_eq!(one.coverage, other.coverage);
    }
    let [one, other] = [1, 2].map(|seed| run_apart(Path::new(PROGRAM), seed, None).unwrap());
    assert_ne!(one.hash, other.hash);
}
