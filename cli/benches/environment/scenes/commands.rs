//! How long a person waits for a command.

use std::time::Duration;

use anyhow::Result;

use crate::{
    figures::{Figures, Goal},
    stage::Environment,
};

/// How often each.
const RUNS: usize = 20;

pub(super) async fn play(figures: &mut Figures) -> Result<()> {
    for _ in 0..RUNS {
        let environment = Environment::prepare()?;
        let up = ["up", "--port", "0"];
        let steps: [(_, &[&str], _); 4] = [
            ("`up` without data, until ready and seeded", &up, Goal::at_most(500.0, 150.0)),
            ("`up` again", &up, Goal::at_most(50.0, 20.0)),
            ("`down`", &["down"], Goal::at_most(500.0, 200.0)),
            ("`--help`", &["--help"], Goal::at_most(10.0, 5.0)),
        ];
        for (what, args, goal) in steps {
            figures.judge(what, "ms", millis(environment.time(args)?), goal);
            // So that Ctrl-C is handled between two commands.
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
