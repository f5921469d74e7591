//! What tests with generated manifests have in common.

use proptest::{prelude::ProptestConfig, test_runner::RngSeed};

/// How many there are of each kind of test, unless `PROPTEST_CASES` is set: less than a minute of one core.
const CASES: u32 = 300;

/// Returns the configuration of such a test: the same cases each time, unless `PROPTEST_CASES` and `PROPTEST_RNG_SEED` ask for more and
/// for others.
pub(crate) fn generated_cases() -> ProptestConfig {
    let mut config = ProptestConfig { failure_persistence: None, ..Default::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
    }
    config
}
