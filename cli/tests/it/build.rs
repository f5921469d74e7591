//! `chefcito build`, on the real engine.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use auditable_serde::VersionInfo;
use flate2::read::ZlibDecoder;
use object::{Object, ObjectSection};
use serde_json::Value;

use crate::checkout::{Checkout, docker, engine_is_there, now};

#[test]
fn an_image_is_one_static_binary_that_runs_as_an_unprivileged_user() {
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

    // A touched file is not a change, and a test is not part of a binary.
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

    // The earlier sources: the engine still has that image.
    checkout.change_back(tea);
    let back = checkout.build(&[]);
    assert_eq!(back[1]["tags"], before[1]["tags"]);
    assert!(back.iter().all(|image| image["cached"] == true), "{back:?}");
    assert_eq!(checkout.calls_of_cargo(), [""; 0]);
    assert_eq!(docker(&["run", "--rm", &format!("chefcito-{tea}:dev")]), "It is hot");

    // A crate of both services, one of which is built.
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
    // The whole image: the binary is still cached.
    remove(&[&dev, content]);
    let again = checkout.build(&[]);
    assert_eq!((&again[1]["tags"], &again[1]["cached"]), (&before[1]["tags"], &false.into()));
    assert_eq!(checkout.calls_of_cargo(), [""; 0]);
    // A binary that is damaged.
    remove(&[&dev, content]);
    fs::write(checkout.images().join(tea), "spoiled").unwrap();
    assert_eq!(checkout.build(&[])[1]["tags"], before[1]["tags"]);
    assert!(!checkout.calls_of_cargo().is_empty());
    // The memory: everything is compiled again, with the same result.
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
    let reported: VersionInfo = serde_json::from_str(
        &std::io::read_to_string(ZlibDecoder::new(section.data().unwrap())).unwrap(),
    )
    .unwrap();
    let names: Vec<&str> = reported.packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ["pot", checkout.tea.as_str()]);

    let sbom: Value =
        serde_json::from_slice(&fs::read(built[0]["sbom"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!((&sbom["bomFormat"], &sbom["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    assert_eq!(sbom["metadata"]["component"]["name"], checkout.tea);
    assert_eq!(sbom["components"][0]["purl"], "pkg:cargo/pot@0.1.0");
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
