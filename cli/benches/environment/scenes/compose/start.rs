//! How long a person waits for the environment, and for the same one with `docker compose` in the same run.

use std::time::Duration;

use anyhow::Result;

use crate::{
    containers::Containers,
    figures::{Figures, Goal},
    rival::Rival,
    stage::Environment,
};

/// How often each.
const RUNS: usize = 5;

pub(in super::super) async fn play(figures: &mut Figures) -> Result<()> {
    let rival = Rival::find();
    let mut ratios = [Vec::new(), Vec::new(), Vec::new()];
    for run in 0..RUNS {
        let environment = Environment::prepare()?;
        let up = ["up", "--runtime", "compose", "--port", "0", "--no-seed"];
        let ours = [environment.time(&up)?, environment.time(&up)?];
        if run == 0 {
            note_sizes(&environment, figures).await?;
        }
        let ours = [ours[0], ours[1], environment.time(&["down"])?];
        environment.time(&["down", "--volumes"])?;
        let goals = [
            ("`up`, images there, cold volumes, until ready", Goal::at_most(6.0, 3.0)),
            ("`up` again", Goal::at_most(0.3, 0.1)),
            ("`down`", Goal::at_most(4.0, 2.0)),
        ];
        for ((what, goal), took) in goals.into_iter().zip(ours) {
            figures.judge(what, "s", took.as_secs_f64(), goal);
        }
        // So that Ctrl-C is handled between two commands.
        tokio::task::yield_now().await;
        let Some(rival) = &rival else { continue };
        let theirs = rival.up_again_down(&environment)?;
        for (at, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            ratios[at].push((*ours, theirs));
        }
        tokio::task::yield_now().await;
    }
    let Some(rival) = rival else {
        figures.note("docker compose: none found, so nothing is compared", "", 0.0);
        return Ok(());
    };
    let goals = [("up --wait", 2.0), ("up again", 5.0), ("down", 2.0)];
    for ((what, aim), pairs) in goals.into_iter().zip(ratios) {
        for (ours, theirs) in pairs {
            let name = format!("docker compose {} {what}", rival.version());
            figures.note(&name, "s", theirs.as_secs_f64());
            let ratio = ratio(theirs, ours);
            figures.judge(
                format!("… as often as ours: {what}"),
                "×",
                ratio,
                Goal::at_least(1.0, aim),
            );
        }
    }
    Ok(())
}

async fn note_sizes(environment: &Environment, figures: &mut Figures) -> Result<()> {
    environment.rest().await?;
    let containers = Containers::of(environment.name()).await?;
    let memory = containers.memory_of_services().await?;
    figures.judge("memory of all services, idle", "MiB", memory, Goal::at_most(160.0, 80.0));
    for (service, size) in containers.image_sizes().await? {
        figures.judge(format!("image of {service}"), "MB", size, Goal::at_most(20.0, 10.0));
    }
    Ok(())
}

fn ratio(theirs: Duration, ours: Duration) -> f64 {
    theirs.as_secs_f64() / ours.as_secs_f64()
}
