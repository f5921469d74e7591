//! `chefcito build` when something is wrong, or when it is interrupted.

use std::{fs, path::PathBuf, time::Duration};

use serde_json::Value;

use crate::{
    checkout::{COMPILE_IMAGE, Checkout, docker, engine_is_there},
    chefcito::{Home, kill, lives, wait_until},
};

#[test]
fn what_does_not_compile_is_shown_and_changes_nothing() {
    if !engine_is_there() {
        return;
    }
    let checkout = Checkout::new();
    let _before = checkout.build(&[]);
    let before = checkout.tags(&checkout.tea);
    checkout.write(
        &format!("services/{}/src/main.rs", checkout.tea),
        "fn main() {\n    pot::smell();\n}\n",
    );
    for args in [&["build"][..], &["build", "--quiet"], &["build", "--json"]] {
        let ran = checkout.run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran}");
        assert!(ran.stderr.contains("error: the service does not compile:\n"), "{ran}");
        assert!(
            ran.stderr.contains("cannot find function `smell`")
                && ran.stderr.contains("src/main.rs:2"),
            "{ran}"
        );
    }
    assert_eq!(checkout.tags(&checkout.tea), before);
    // A warning is printed, and is not a failure.
    checkout.write(
        &format!("services/{}/src/main.rs", checkout.tea),
        "fn main() {\n    let unused = pot::tell();\n}\n",
    );
    let ran = checkout.must(&["build"]);
    assert!(ran.stderr.contains("unused variable: `unused`"), "{ran}");
}

#[test]
fn an_interrupted_build_ends_what_it_started_and_tags_nothing() {
    if !engine_is_there() {
        return;
    }
    let checkout = Checkout::new();
    let script = format!("services/{}/build.rs", checkout.tea);
    let pid_file = checkout.root().join("pid");
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let _none = fs::remove_file(&pid_file);
        checkout.write(
            &script,
            &format!(
                "fn main() {{\n    std::fs::write({:?}, format!(\"{{}}\\n\", std::process::id())).unwrap();\n    std::thread::sleep(std::time::Duration::from_secs(1000)); // {signal}\n}}\n",
                pid_file.to_str().unwrap()
            ),
        );
        let build = checkout.start(&["build"]);
        let pid = || fs::read_to_string(&pid_file).ok()?.strip_suffix('\n')?.parse::<i32>().ok();
        wait_until("the build script runs", || pid().is_some());
        kill(signal, i32::try_from(build.id()).unwrap());
        let ran = checkout.home.finish(&["build"], build);
        assert_eq!(ran.code, Some(code), "{ran}");
        wait_until("the build script is gone", || !lives(pid().unwrap()));
        assert_eq!(checkout.tags(&checkout.tea), []);
    }
    fs::remove_file(checkout.root().join(&script)).unwrap();
    assert!(checkout.build(&[]).iter().all(|image| image["cached"] == false));
}

#[test]
fn a_build_interrupted_at_any_moment_leaves_whole_images_only() {
    if !engine_is_there() {
        return;
    }
    let checkout = Checkout::new();
    let _built = checkout.build(&[]);
    for delay_ms in [5, 20, 50, 100, 200, 300, 400, 500, 650, 800] {
        checkout.change(&checkout.tea, &format!("is after {delay_ms} ms"));
        let build = checkout.start(&["build"]);
        let pid = i32::try_from(build.id()).unwrap();
        // Not to wait for a state, but to hit another moment each time.
        std::thread::sleep(Duration::from_millis(delay_ms));
        kill("-INT", pid);
        let ran = checkout.home.finish(&["build"], build);
        assert!(matches!(ran.code, Some(0 | 130) | None), "{ran}");
        let tags = checkout.tags(&checkout.tea);
        let dev = tags.iter().find(|(tag, _)| tag == "dev").unwrap();
        assert!(
            tags.iter().any(|(tag, id)| tag != "dev" && *id == dev.1),
            "after {delay_ms} ms: {tags:?}"
        );
        assert!(
            docker(&["run", "--rm", &format!("chefcito-{}:dev", checkout.tea)]).ends_with("hot")
        );
    }
    let last = checkout.build(&[]);
    assert!(last.iter().all(|image| image["tags"].as_array().unwrap().len() == 2));
    assert_eq!(
        docker(&["run", "--rm", &format!("chefcito-{}:dev", checkout.tea)]),
        "It is after 800 ms hot"
    );
}

#[test]
fn without_cargo_what_is_up_to_date_stays_so() {
    if !engine_is_there() {
        return;
    }
    let checkout = Checkout::new();
    // A registry that does not exist.
    for service in checkout.services() {
        let file = format!("containerfiles/{service}/CONTAINERFILE");
        let text = fs::read_to_string(checkout.root().join(&file)).unwrap();
        checkout.write(&file, &text.replace(COMPILE_IMAGE, "localhost:1/rust:1"));
    }
    let _built = checkout.build(&[]);
    let build = || {
        let mut command = checkout.command(&["build"]);
        // No folder of programs, so neither cargo nor a C compiler.
        command.env("PATH", "/nowhere");
        checkout.home.finish(&["build"], command.spawn().unwrap())
    };
    let ran = build();
    assert_eq!(ran.code, Some(0), "{ran}");
    checkout.change(&checkout.tea, "was");
    let ran = build();
    assert_eq!(ran.code, Some(7), "{ran}");
    assert!(
        ran.stderr
            .contains("this machine has no cargo, and the engine can't pull localhost:1/rust:1"),
        "{ran}"
    );
    assert!(ran.stderr.contains("hint: install Rust"), "{ran}");
}

#[test]
fn mistakes_are_named() {
    if !engine_is_there() {
        return;
    }
    let checkout = Checkout::new();
    let ran = checkout.run(&["build", "coffee"]);
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stderr.contains("no service `coffee`") && ran.stderr.contains(&checkout.tea),
        "{ran}"
    );
    let file = format!("containerfiles/{}/CONTAINERFILE", checkout.tea);
    let text = fs::read_to_string(checkout.root().join(&file)).unwrap();
    checkout.write(&file, &format!("{text}VOLUME /data\n"));
    let ran = checkout.run(&["build"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr.contains(&format!("{}/CONTAINERFILE: line 14: `VOLUME`", checkout.tea)),
        "{ran}"
    );
    checkout.write(&file, &text);
    checkout.write("Cargo.lock", "version = 4\n");
    let ran = checkout.run(&["build"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("cargo check"), "the lock file is not changed: {ran}");
}

#[test]
fn without_an_engine_or_a_checkout_it_says_what_lacks() {
    let checkout = Checkout::new();
    let ran = checkout
        .command(&["build"])
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(7));
    assert!(String::from_utf8(ran.stderr).unwrap().contains("/nowhere/docker.sock"));
    assert!(!checkout.root().join("target").exists(), "nothing was touched");

    let home = Home::new();
    let ran = home.run(&["build"]);
    assert_eq!(ran.code, Some(7), "{ran}");
    assert!(ran.stderr.contains("no folder around it holds containerfiles/"), "{ran}");
}

#[test]
fn a_target_folder_that_can_not_be_written_to_is_named() {
    if !engine_is_there() {
        return;
    }
    let checkout = Checkout::new();
    checkout.write("target", "a file");
    let ran = checkout.run(&["build"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    let folder: PathBuf = checkout.images();
    assert!(ran.stderr.contains(&format!("cannot make {}", folder.display())), "{ran}");
}

#[test]
fn the_doctor_says_what_would_compile() {
    if !engine_is_there() {
        return;
    }
    let checkout = Checkout::new();
    let found = |path: Option<&str>| {
        let mut command = checkout.command(&["doctor", "--json"]);
        command.envs(path.map(|path| ("PATH", path)));
        let ran = checkout.home.finish(&["doctor", "--json"], command.spawn().unwrap());
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let checks = report["checks"].as_array().unwrap();
        let building = checks.iter().find(|check| check["what"] == "building images").unwrap();
        building["found"].as_str().unwrap().to_owned()
    };
    assert!(found(None).starts_with("compiled on this machine by rustc "), "{}", found(None));
    let without = found(Some("/nowhere"));
    assert!(without.contains("this machine has no cargo") && without.contains(COMPILE_IMAGE));
}
