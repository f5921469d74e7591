//! `chefcito build` where this machine can't compile: in a container, on the real engine.

use std::{fs, time::Instant};

use crate::{
    checkout::{Checkout, compile_image_is_there, docker},
    chefcito::{PATIENCE, kill, wait_until},
    fake_docker::{FakeDocker, Says},
};

#[test]
fn where_this_machine_can_not_compile_a_container_does() {
    if !compile_image_is_there() {
        return;
    }
    let checkout = Checkout::new();
    let build = || {
        let mut command = checkout.command(&["build"]);
        command.env("PATH", "/nowhere");
        checkout.home.finish(&["build"], command.spawn().unwrap())
    };
    let run = || docker(&["run", "--rm", &format!("chefcito-{}:dev", checkout.tea)]);
    let ran = build();
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(
        ran.stderr.contains(
            "Compiling in a container of rust:1.95.0-bookworm: this machine has no cargo"
        ),
        "{ran}"
    );
    assert_eq!(run(), "It is hot");
    let sbom =
        fs::read_to_string(checkout.images().join(format!("{}.cdx.json", checkout.tea))).unwrap();
    assert!(sbom.contains("pkg:cargo/pot@0.1.0"), "{sbom}");
    let binary = fs::read(checkout.images().join(&checkout.tea)).unwrap();
    let path = checkout.root().to_str().unwrap().as_bytes();
    assert!(
        !binary.windows(path.len()).any(|part| part == path),
        "the checkout's path is in the binary"
    );

    let ran = build();
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (Some(0), "All 2 images are up to date\n"),
        "{ran}"
    );
    checkout.change(&checkout.tea, "was");
    let ran = build();
    assert!(ran.stderr.contains("Built 1 of 2 images"), "{ran}");
    assert_eq!(run(), "It was hot");
    checkout.write(
        &format!("services/{}/src/main.rs", checkout.tea),
        "fn main() {\n    pot::smell();\n}\n",
    );
    let ran = build();
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("cannot find function `smell`"), "{ran}");
    assert_eq!(
        docker(&["ps", "--all", "--quiet", "--filter", &format!("name={}", checkout.builder())]),
        ""
    );
}

#[test]
fn an_interrupted_build_in_a_container_leaves_no_container() {
    if !compile_image_is_there() {
        return;
    }
    let checkout = Checkout::new();
    let script = format!("services/{}/build.rs", checkout.tea);
    checkout.write(
        &script,
        "fn main() {\n    std::thread::sleep(std::time::Duration::from_secs(1000));\n}\n",
    );
    let containers =
        || docker(&["ps", "--all", "--quiet", "--filter", &format!("name={}", checkout.builder())]);
    let build = checkout.start(&["build", "--in-container"]);
    let runs_the_script = || {
        let container = containers();
        !container.is_empty() && {
            let top = std::process::Command::new("docker")
                .args(["top", &container, "-eo", "pid,comm"])
                .output()
                .unwrap();
            String::from_utf8(top.stdout).unwrap().contains("build-script")
        }
    };
    wait_until("the build script runs", runs_the_script);
    kill("-INT", i32::try_from(build.id()).unwrap());
    let ran = checkout.home.finish(&["build"], build);
    assert_eq!(ran.code, Some(130), "{ran}");
    assert_eq!((containers().as_str(), checkout.tags(&checkout.tea)), ("", vec![]));

    // A killed command removes nothing; the next one does.
    let mut build = checkout.start(&["build", "--in-container"]);
    wait_until("the build script runs", runs_the_script);
    build.kill().unwrap();
    build.wait().unwrap();
    fs::remove_file(checkout.root().join(&script)).unwrap();
    checkout.must(&["build", "--in-container"]);
    assert_eq!(containers(), "");
}

#[test]
fn a_build_can_be_interrupted_while_the_engine_is_silent() {
    let checkout = Checkout::new();
    let engine = FakeDocker::start(|asked| {
        let is_silent = asked.starts_with("PUT /containers/c/archive")
            || asked.starts_with("DELETE /containers/c?");
        is_silent.then_some(Says::IsSilent)
    });
    let args = ["build", "--in-container"];
    let mut command = checkout.command(&args);
    command.env("DOCKER_HOST", format!("unix://{}", engine.socket().display()));
    let build = command.spawn().unwrap();
    let asked = |what: &str| engine.asked().iter().any(|line| line.starts_with(what));
    wait_until("the sources are sent", || asked("PUT /containers/c/archive"));
    let since = Instant::now();
    kill("-INT", i32::try_from(build.id()).unwrap());
    let ran = checkout.home.finish(&args, build);
    assert_eq!(ran.code, Some(130), "{ran}");
    assert!(asked("DELETE /containers/c?"), "{:?}", engine.asked());
    assert!(since.elapsed() < PATIENCE, "it waited for the engine: {ran}");
}
