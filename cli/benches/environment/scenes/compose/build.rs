//! The time that the images take: in a copy of this checkout with a target folder of its own, in which one service
//! changes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use uuid::Uuid;

use crate::figures::{Figures, Goal};

/// How often a service changes, and how often nothing does.
const RUNS: usize = 5;
/// The prefix of the copied checkout.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// The file that changes, and its line after which the change goes.
const CHANGED: (&str, &str) =
    ("services/kitchen/src/main.rs", "fn main() -> std::process::ExitCode {");

pub(in super::super) async fn play(figures: &mut Figures) -> Result<()> {
    let copy = Copy::make()?;
    // The first one compiles everything, once for all runs of the benchmark.
    let (first, _) = copy.build()?;
    figures.note("`build` before anything is measured", "s", first.as_secs_f64());
    for _ in 0..RUNS {
        copy.change()?;
        let (took, images) = copy.build()?;
        let packaged: Vec<f64> = images
            .iter()
            .filter(|image| image["cached"] == false)
            .filter_map(|image| image["seconds"].as_f64())
            .collect();
        ensure!(packaged.len() == 1, "{} images were packaged, not one", packaged.len());
        let compiled = took.as_secs_f64() - packaged[0];
        figures.note("one service changed: compiling it, and all else", "s", compiled);
        let goal = Goal::at_most(2.0, 0.5);
        figures.judge("one service changed: packaging its image", "s", packaged[0], goal);
        tokio::task::yield_now().await;
        let (again, images) = copy.build()?;
        ensure!(images.iter().all(|image| image["cached"] == true), "nothing had changed");
        let goal = Goal::at_most(150.0, 60.0);
        figures.judge("nothing changed", "ms", again.as_secs_f64() * 1e3, goal);
        tokio::task::yield_now().await;
    }
    // The tag `dev` is shared: it is set back to this checkout's image.
    build(Path::new(ROOT), None).map(drop)
}

/// A copy of the checkout.
struct Copy(PathBuf);

impl Copy {
    fn make() -> Result<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chefcito-bench-checkout");
        fs::create_dir_all(&folder)?;
        for name in [
            "Cargo.toml",
            "Cargo.lock",
            ".cargo",
            ".dockerignore",
            "cli",
            "services",
            "manifests",
            "containerfiles",
        ] {
            copy(&Path::new(ROOT).join(name), &folder.join(name))
                .with_context(|| format!("can't copy {name}"))?;
        }
        Ok(Self(folder))
    }

    /// Changes the source of the kitchen.
    fn change(&self) -> Result<()> {
        let (file, line) = CHANGED;
        let text = fs::read_to_string(Path::new(ROOT).join(file))?;
        let change = format!("{line}\n    std::hint::black_box(\"{}\");", Uuid::new_v4());
        ensure!(text.contains(line), "{file} has changed");
        Ok(fs::write(self.0.join(file), text.replacen(line, &change, 1))?)
    }

    fn build(&self) -> Result<(Duration, Vec<Value>)> {
        build(&self.0, Some(&self.0.join("target")))
    }
}

/// Builds all images of a checkout; returns how long it took, and the line of each.
fn build(checkout: &Path, target: Option<&Path>) -> Result<(Duration, Vec<Value>)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chefcito"));
    command.args(["build", "--json"]).current_dir(checkout).stdin(Stdio::null());
    // Cargo's variables for this benchmark are not for the cargo of the copy.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_")) {
        if name != "CARGO_HOME" {
            command.env_remove(name);
        }
    }
    command.env_remove("RUSTFLAGS").envs(target.map(|target| ("CARGO_TARGET_DIR", target)));
    let start = Instant::now();
    let ran = command.output()?;
    let took = start.elapsed();
    let words = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
    ensure!(ran.status.success(), "`chefcito build`: {words}");
    let said: Value = serde_json::from_slice(&ran.stdout)?;
    Ok((took, said["images"].as_array().cloned().unwrap_or_default()))
}

/// Copies only files that differ, so that the others keep their time and are not compiled again.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        let text = fs::read(from)?;
        if !fs::read(to).is_ok_and(|there| there == text) {
            fs::write(to, text)?;
        }
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        if name != "target" {
            copy(&from.join(&name), &to.join(&name))?;
        }
    }
    Ok(())
}
