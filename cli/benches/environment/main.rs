//! The speed of an environment, measured on real `chefcito up` processes with the load generator of `chefcito order`.
//!
//! ```text
//! cargo bench -p chefcito                                     everything: some fifteen minutes
//! cargo bench -p chefcito -- --quick                          once instead of three times, 5 s instead of 30 s
//! cargo bench -p chefcito -- --only delivered --only memory   these scenes
//! cargo bench -p chefcito -- --json figures.json              every figure of every run, too
//! cargo bench -p chefcito -- --against 8f64a95                embedded, in turn with another revision
//! cargo bench -p chefcito -- --runtime compose                the same in containers, and beside docker compose
//! cargo bench -p chefcito -- --runtime kubernetes             images into a node, beside what `kind load` does
//! cargo bench -p chefcito -- --runtime processes              a burst at services that have 128 MiB each
//! ```
//!
//! The load generator runs on the same cores as the environment, which is as shipped: keys, limits, logs, metrics and
//! board. Each repetition has a new environment with a state folder below the target folder, and ends with an audit.
//! Each line shows the least value (bar) and a better one (aim), and is judged by its median. The exit code is about
//! correctness only: 1 if an audit failed or something could not be measured.
//!
//! In containers the images must exist (`chefcito build`); `docker compose` is the program in `CHEFCITO_TEST_COMPOSE`,
//! or the plugin of `docker`.
//!
//! The scene `load` needs the images, too, and the simulated node (`.ci/base-images node`).
//!
//! The scene `burst` builds the programs of all services, and needs root, memory cgroups (either version), PostgreSQL's
//! programs and `redis-server`.
//!
//! The scene `postgres` needs the URL of a server in `CHEFCITO_TEST_POSTGRES_URL`.

mod against;
mod containers;
mod figures;
mod hello;
mod options;
mod process;
mod rival;
mod scenes;
mod stage;

use std::{
    fs,
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    figures::{Figures, header},
    options::Options,
};

fn main() -> ExitCode {
    let options = Options::parse();
    let done = if options.hello { hello::be_the_server() } else { measure(&options) };
    done.unwrap_or_else(|error| {
        // If even this can't be written, there is no way to report it.
        let _unheard = writeln!(io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Runs the scenes; after an interrupt, takes down the environment, and ends with the signal's exit code.
fn measure(options: &Options) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            correct = play(options) => Ok(if correct? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
            _ = interrupted.recv() => Ok(ExitCode::from(130)),
            _ = terminated.recv() => Ok(ExitCode::from(143)),
        }
    })
}

/// Runs the scenes, prints their results, and returns whether all was correct.
async fn play(options: &Options) -> Result<bool> {
    let mut all = Figures::default();
    say(&header())?;
    if let Some(revision) = &options.against {
        let figures = against::play(revision, options).await?;
        say(&figures.table(&format!("This revision, and {revision}")))?;
        all.join("against", figures);
    }
    for scene in options.scenes() {
        let mut figures = Figures::default();
        for run in 1..=options.runs_of(scene) {
            progress(&format!("{} {run}/{}", scene.name(), options.runs_of(scene)))?;
            let played = scenes::play(scene, options, &mut figures).await;
            played.with_context(|| format!("the scene `{}`", scene.name()))?;
        }
        progress("")?;
        say(&figures.table(scene.title()))?;
        all.join(scene.name(), figures);
    }
    say(&all.summary())?;
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&all.document(options.quick))?;
        fs::write(path, text).with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(all.faults().is_empty())
}

fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// Shows on a terminal what is being measured, in a line that the next one overwrites.
fn progress(text: &str) -> io::Result<()> {
    use io::IsTerminal;
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        write!(stderr, "\r\x1b[K{text}")?;
        stderr.flush()?;
    }
    Ok(())
}
