//! `chefcito build`, on the real engine.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use auditable_serde::VersionInfo;
use flate2::read::ZlibDecoder;
use object::{Object, ObjectSection};
use serde_json::Value;

use crate::{
    checkout::{COMPILE_IMAGE, Checkout, compile_image_is_there, docker, engine_is_there, now},
    chefcito::{Home, kill, lives, wait_until},
};

#[test]
fn an_image_is_one_binary_on_nothing_that_runs_as_nobody_special() {
    if !engine_is_there() {
        return;
    }
    let checkout = Checkout::new();
    let ran = checkout.must(&["build"]);
    assert!(ran.stderr.contains("Built 2 of 2 images"), "{ran}");
    assert_eq!(ran.stdout.lines().count(), 2, "{ran}");
    let tea = &checkout.tea;
    let image = format!("chefcito-{tea}:dev");
    let seen: Value = serde_json::from_str(&docker(&["inspect", &image])).unwrap();
    let (config, image_config) = (&seen[0], &seen[0]["Config"]);
    assert_eq!(config["RootFS"]["Layers"].as_array().unwrap().len(), 1, "{config}");
    assert_eq!(image_config["User"], "10901:10901");
    assert_eq!(image_config["Entrypoint"][0], format!("/{tea}"));
    assert_eq!(
        image_config["Healthcheck"]["Test"],
        serde_json::json!(["CMD", format!("/{tea}"), "--health"])
    );
    assert_eq!(image_config["Labels"]["org.opencontainers.image.title"], format!("chefcito-{tea}"));
    assert!(image_config["ExposedPorts"]["8080/tcp"].is_object());

    let tags = checkout.tags(tea);
    let names: Vec<&str> = tags.iter().map(|(tag, _)| tag.as_str()).collect();
    assert!(names.len() == 2 && names[0].starts_with("c-") && names[1] == "dev", "{tags:?}");
    assert_eq!(tags[0].1, tags[1].1, "both tags are of one image");
    assert_eq!(docker(&["run", "--rm", "--network=none", "--read-only", &image]), "It is hot");

    let container = docker(&["create", &image]);
    let listed = std::process::Command::new("sh")
        .args(["-c", &format!("docker export {container} | tar -t")])
        .output()
        .unwrap();
    docker(&["rm", &container]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    // The engine adds what it mounts over.
    let own: Vec<&str> = listed
        .lines()
        .filter(|file| {
            !["dev/", "etc/", "proc/", "sys/", ".dockerenv"].iter().any(|of| file.starts_with(of))
        })
        .collect();
    assert_eq!(own, [tea.as_str()], "{listed}");
}

#[test]
fn nothing_is_called_when_nothing_has_changed() {
    if !engine_is_there() {
        return;
    }
    let checkout = Checkout::new();
    let since = now();
    let first = checkout.build(&[]);
    assert!(first.iter().all(|image| image["cached"] == false), "{first:?}");
    assert!(!checkout.calls_of_cargo().is_empty());
    assert!(!checkout.events_since(since).is_empty());

    let since = now();
    let ran = checkout.must(&["build"]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", "All 2 images are up to date\n"));
    assert_eq!(checkout.calls_of_cargo(), [""; 0]);
    assert_eq!(checkout.events_since(since), [""; 0]);

    // Touched, but not changed; and a test is no part of a binary.
    let touched = fs::File::options().write(true).open(checkout.main_of(&checkout.tea)).unwrap();
    touched.set_modified(SystemTime::now() - Duration::from_secs(1000)).unwrap();
    checkout.write(&format!("services/{}/tests/it.rs", checkout.tea), "// changed");
    let again = checkout.build(&[]);
    assert!(again.iter().all(|image| image["cached"] == true), "{again:?}");
    assert_eq!(checkout.calls_of_cargo(), [""; 0]);
    assert_eq!(checkout.events_since(since), [""; 0]);
}

#[test]
fn only_what_changed_is_compiled_and_packed() {
    if !engine_is_there() {
        return;
    }
    let checkout = Checkout::new();
    let (soup, tea) = (checkout.soup.as_str(), checkout.tea.as_str());
    let before = checkout.build(&[]);
    let _calls = checkout.calls_of_cargo();

    checkout.change(tea, "was");
    let after = checkout.build(&[]);
    assert_eq!(
        (&after[0]["cached"], &after[1]["cached"]),
        (&true.into(), &false.into()),
        "{after:?}"
    );
    assert_eq!(after[0]["tags"], before[0]["tags"]);
    assert_ne!(after[1]["tags"], before[1]["tags"]);
    let calls = checkout.calls_of_cargo();
    let build = calls.iter().find(|call| call.starts_with("build")).unwrap();
    assert!(build.ends_with(&format!("--bin {tea}")), "{build}");
    assert_eq!(
        docker(&["run", "--rm", &format!("chefcito-{tea}:dev")]),
        "It was hot".replace("is", "was")
    );

    // Back to what it was: the engine still has that image.
    checkout.change_back(tea);
    let back = checkout.build(&[]);
    assert_eq!(back[1]["tags"], before[1]["tags"]);
    assert!(back.iter().all(|image| image["cached"] == true), "{back:?}");
    assert_eq!(checkout.calls_of_cargo(), [""; 0]);
    assert_eq!(docker(&["run", "--rm", &format!("chefcito-{tea}:dev")]), "It is hot");

    // A crate of both, one of them asked for.
    checkout.write(
        "services/pot/src/lib.rs",
        "/// Tells.\npub fn tell() -> &'static str {\n    \"cold\"\n}\n",
    );
    let one = checkout.build(&[soup]);
    assert_eq!((one.len(), &one[0]["cached"]), (1, &false.into()));
    let run = |service: &str| docker(&["run", "--rm", &format!("chefcito-{service}:dev")]);
    assert_eq!((run(soup), run(tea)), ("It is cold".into(), "It is hot".into()));
}

#[test]
fn what_is_lost_is_made_again_with_as_little_as_it_takes() {
    if !engine_is_there() {
        return;
    }
    let checkout = Checkout::new();
    let tea = checkout.tea.as_str();
    let before = checkout.build(&[]);
    let _calls = checkout.calls_of_cargo();
    let remove = |tags: &[&str]| tags.iter().for_each(|tag| drop(docker(&["rmi", tag])));
    let content = before[1]["tags"][1].as_str().unwrap();
    let dev = format!("chefcito-{tea}:dev");

    // The tag only.
    remove(&[&dev]);
    assert_eq!(checkout.build(&[])[1]["tags"], before[1]["tags"]);
    // The whole image: the binary is still there.
    remove(&[&dev, content]);
    let again = checkout.build(&[]);
    assert_eq!((&again[1]["tags"], &again[1]["cached"]), (&before[1]["tags"], &false.into()));
    assert_eq!(checkout.calls_of_cargo(), [""; 0]);
    // A binary that is not what it was.
    remove(&[&dev, content]);
    fs::write(checkout.images().join(tea), "spoiled").unwrap();
    assert_eq!(checkout.build(&[])[1]["tags"], before[1]["tags"]);
    assert!(!checkout.calls_of_cargo().is_empty());
    // What was remembered: it is compiled again, and comes out the same.
    for spoil in ["", "{\"version\":"] {
        fs::write(checkout.images().join("memory.json"), spoil).unwrap();
        let again = checkout.build(&[]);
        assert!(again.iter().all(|image| image["cached"] == true), "{again:?}");
        assert_eq!(again[1]["tags"], before[1]["tags"]);
    }
    // Everything.
    fs::remove_dir_all(checkout.root().join("target")).unwrap();
    assert_eq!(checkout.build(&[])[1]["tags"], before[1]["tags"]);
}

#[test]
fn the_same_sources_give_the_same_content_anywhere() {
    if !engine_is_there() {
        return;
    }
    let first = Checkout::new();
    let second = Checkout::with_services([first.tea.clone(), first.soup.clone()]);
    let tags = |checkout: &Checkout| -> Vec<Value> {
        checkout.build(&[]).iter().map(|image| image["tags"].clone()).collect()
    };
    let (one, other) = (tags(&first), tags(&second));
    assert_eq!(one, other);
    let binary = fs::read(first.images().join(&first.tea)).unwrap();
    let path = first.root().to_str().unwrap().as_bytes().to_owned();
    assert!(
        !binary.windows(path.len()).any(|part| part == path),
        "the checkout's path is in the binary"
    );
}

#[test]
fn a_binary_and_a_bill_beside_the_image_tell_what_it_is_made_of() {
    if !engine_is_there() {
        return;
    }
    let checkout = Checkout::new();
    let built = checkout.build(&[&checkout.tea]);
    let container = docker(&["create", built[0]["id"].as_str().unwrap()]);
    let copy = checkout.root().join("copied");
    docker(&["cp", &format!("{container}:/{}", checkout.tea), copy.to_str().unwrap()]);
    docker(&["rm", &container]);
    let binary = fs::read(copy).unwrap();
    let file = object::File::parse(binary.as_slice()).unwrap();
    let section = file.section_by_name(".dep-v0").unwrap();
    let told: VersionInfo = serde_json::from_str(
        &std::io::read_to_string(ZlibDecoder::new(section.data().unwrap())).unwrap(),
    )
    .unwrap();
    let names: Vec<&str> = told.packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ["pot", checkout.tea.as_str()]);

    let sbom: Value =
        serde_json::from_slice(&fs::read(built[0]["sbom"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!((&sbom["bomFormat"], &sbom["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    assert_eq!(sbom["metadata"]["component"]["name"], checkout.tea);
    assert_eq!(sbom["components"][0]["purl"], "pkg:cargo/pot@0.1.0");
}

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
    // A warning is shown, and is no failure.
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
fn two_builds_at_once_wait_for_each_other() {
    if !engine_is_there() {
        return;
    }
    let checkout = Checkout::new();
    let builds: Vec<_> = (0..3).map(|_| checkout.start(&["build"])).collect();
    let ran: Vec<_> =
        builds.into_iter().map(|build| checkout.home.finish(&["build"], build)).collect();
    assert!(ran.iter().all(|ran| ran.code == Some(0)), "{}", ran[0]);
    let said = |words: &str| ran.iter().filter(|ran| ran.stderr.contains(words)).count();
    assert_eq!((said("Built 2 of 2"), said("All 2 images are up to date")), (1, 2));
    assert!(said("Waiting for another build") >= 1);
    assert_eq!(
        checkout.calls_of_cargo().iter().filter(|call| call.starts_with("build")).count(),
        1
    );
}

#[test]
fn without_cargo_what_is_up_to_date_stays_so() {
    if !engine_is_there() {
        return;
    }
    let checkout = Checkout::new();
    // A registry that nobody has.
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
        ran.stderr.contains("there is no cargo here, and the engine can't get localhost:1/rust:1"),
        "{ran}"
    );
    assert!(ran.stderr.contains("hint: install Rust"), "{ran}");
}

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
        ran.stderr
            .contains("Compiling in a container of rust:1.95.0-bookworm: there is no cargo here"),
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

    // Killed, it can't remove anything; the next one does.
    let mut build = checkout.start(&["build", "--in-container"]);
    wait_until("the build script runs", runs_the_script);
    build.kill().unwrap();
    build.wait().unwrap();
    fs::remove_file(checkout.root().join(&script)).unwrap();
    checkout.must(&["build", "--in-container"]);
    assert_eq!(containers(), "");
}

#[test]
fn mistakes_are_named() {
    if !engine_is_there() {
        return;
    }
    let checkout = Checkout::new();
    let ran = checkout.run(&["build", "coffee"]);
    assert_eq!(ran.code, Some(1), "{ran}");
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
    assert!(
        ran.stderr.contains("cargo check"),
        "the lock file is not changed behind anybody's back: {ran}"
    );
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
