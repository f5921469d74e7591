//! Environments of one name: of two owners, of one owner whose state folder was lost, and on an engine that `docker` no
//! longer points to. Nothing of another owner is adopted or removed.

use std::sync::Mutex;

use crate::{
    chefcito::{Home, Ran},
    compose_environments::ComposeEnvironment,
    fake_docker::{FakeDocker, json},
    restaurant::{Restaurant, UP},
};

/// Runs a command of a home as somebody.
fn run_as(owner: &str, home: &Home, args: &[&str]) -> Ran {
    let mut command = home.command(args);
    command.env("CHEFCITO_OWNER", owner);
    home.finish(args, command.spawn().unwrap())
}

fn must_as(owner: &str, home: &Home, args: &[&str]) -> Ran {
    let ran = run_as(owner, home, args);
    assert_eq!(ran.code, Some(0), "{ran}");
    ran
}

/// Asserts that a command is refused, since the environment belongs to Ann.
fn is_refused(ran: &Ran) {
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr.contains("of ann@bar, and not this one; nothing of it was changed"),
        "{ran}"
    );
}

#[test]
fn postgresql_keeps_the_schemas_of_the_owner_who_was_there_first() {
    let Some(database) = test_support::postgres() else { return };
    let up = ["up", "--port", "0", "--database-url", database.url()];
    let [ann, bob, moved] = [Home::new(), Home::new(), Home::new()];
    must_as("ann@bar", &ann, &up);
    must_as("ann@bar", &ann, &["order", "--count", "3", "--timeout", "30s"]);

    let refused = run_as("bob@bar", &bob, &up);
    is_refused(&refused);
    assert!(refused.stderr.contains("CHEFCITO_OWNER=ann@bar"), "{refused}");
    is_refused(&run_as("bob@bar", &bob, &[&up[..], &["--dry-run"]].concat()));
    assert!(!bob.environment().exists(), "the commands left nothing");
    must_as("bob@bar", &bob, &[&up[..], &["--name", "other"]].concat());
    must_as("bob@bar", &bob, &["down", "--name", "other", "--volumes"]);

    must_as("ann@bar", &ann, &["down"]);
    must_as("ann@bar", &moved, &up);
    // Her data are found without her state folder.
    moved.wait_for_orders(&[], "placed", 3);
    must_as("ann@bar", &moved, &["down", "--volumes"]);
    must_as("bob@bar", &bob, &up);

    // Ann's state folder still names the database, which has another environment of that name now.
    let refused = run_as("ann@bar", &ann, &["down", "--volumes"]);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("of bob@bar, and not this one"), "{refused}");
    must_as("bob@bar", &bob, &["status"]);
}

/// A service that needs nothing, and a volume.
const FILE: &str = "
services:
  tea:
    image: redis:7.4.5
    entrypoint: [/bin/sh, -c, 'trap \"exit 0\" TERM; echo Tea; while :; do sleep 1 & wait $$!; done']
    volumes: ['shared:/shared']
    networks: [inside]
networks: {inside: {}}
volumes: {shared: {}}
";

#[test]
fn an_engine_keeps_the_containers_of_the_owner_who_was_there_first() {
    let Some(ann) = ComposeEnvironment::new("owned", FILE) else { return };
    let name = ann.name.as_str();
    let up = ["up", "--runtime", "compose", "--port", "0", "--name", name];
    must_as("ann@bar", &ann.home, &up);
    let before = ann.containers();
    let bob = Home::with_engine().unwrap();
    std::fs::create_dir_all(bob.path().join("manifests")).unwrap();
    std::fs::create_dir_all(bob.path().join("cli")).unwrap();
    std::fs::write(bob.path().join("cli/Cargo.toml"), "").unwrap();
    std::fs::write(bob.path().join("manifests/compose.yaml"), FILE).unwrap();

    is_refused(&run_as("bob@bar", &bob, &up));
    is_refused(&run_as("bob@bar", &bob, &[&up[..], &["--dry-run"]].concat()));
    let exec = ["exec", "--name", name, "tea", "true"];
    is_refused(&run_as("bob@bar", &bob, &exec));
    must_as("ann@bar", &bob, &exec);
    for args in [&["down", "--volumes"][..], &["down"], &["stop"]] {
        is_refused(&run_as("bob@bar", &bob, &[args, &["--name", name]].concat()));
    }
    assert_eq!(ann.containers(), before, "they run on");
    assert!(!bob.state().join(name).exists(), "the commands left nothing");

    // Another state folder of Ann.
    let found = must_as("ann@bar", &bob, &up);
    assert!(found.stderr.contains("Already up"), "{found}");
    let record = bob.state().join(name).join("identity.json");
    let whole = std::fs::read_to_string(&record).unwrap();
    for damaged in [&whole[..whole.len() / 2], "", "{}", "[1]"] {
        std::fs::write(&record, damaged).unwrap();
        for args in [&["down", "--volumes"][..], &["up"], &["stop"], &["status"]] {
            let refused = run_as("ann@bar", &bob, &[args, &["--name", name]].concat());
            assert_eq!(refused.code, Some(1), "{refused}");
            assert!(refused.stderr.contains("identity.json can't be read"), "{refused}");
        }
    }
    std::fs::remove_file(&record).unwrap();
    assert_eq!(ann.containers(), before);
    must_as("ann@bar", &bob, &["down", "--volumes", "--name", name]);
    assert!(ann.containers().is_empty());
}

#[test]
fn containers_are_found_on_their_engine_after_docker_was_pointed_at_another() {
    let Some(environment) = ComposeEnvironment::new("moved", FILE) else { return };
    environment.up();
    let elsewhere = FakeDocker::start(|_| None);
    let name = ["--name", environment.name.as_str()];
    for info in [json(500, r#"{"message":"not now"}"#), json(200, "{}")] {
        let info = Mutex::new(Some(info));
        let nameless = FakeDocker::start(move |line| match line {
            "GET /info" => info.lock().unwrap().take(),
            _ => None,
        });
        let status = nameless.run(&environment.home, &[&["status"], &name[..]].concat());
        assert!(status.stdout.contains("tea"), "an engine that does not say its id: {status}");
    }
    let run = |args: &[&str]| elsewhere.run(&environment.home, &[args, &name].concat());
    let status = run(&["status"]);
    assert!(status.stdout.contains("tea"), "{status}");
    let logs = run(&["logs"]);
    assert!(logs.stdout.contains("Tea"), "{logs}");
    let down = run(&["down"]);
    assert_eq!(down.code, Some(0), "{down}");
    assert!(environment.containers().is_empty(), "{down}");
    let up = run(&["up"]);
    assert_eq!(up.code, Some(0), "{up}");
    assert_eq!(environment.containers().len(), 1, "its data are there: {up}");
    let asked = elsewhere.asked();
    assert!(!asked.iter().any(|line| line.starts_with("POST")), "nothing was changed: {asked:?}");
}

#[test]
fn a_cluster_keeps_the_namespace_of_the_owner_who_was_there_first() {
    let Some(it) = Restaurant::prepare("owned") else { return };
    let name = it.cluster.name.clone();
    let up = [&UP[..], &["--port", "0", "--name", &name]].concat();
    must_as("ann@bar", &it.cluster.home, &up);
    let bob = Home::new();
    it.cluster.show_to(&bob);

    is_refused(&run_as("bob@bar", &bob, &up));
    is_refused(&run_as("bob@bar", &bob, &[&up[..], &["--dry-run"]].concat()));
    assert!(!bob.state().join(&name).exists(), "the commands left nothing");
    must_as("ann@bar", &it.cluster.home, &["status", "--name", &name]);

    // The state folder of Bob knows a namespace of that name, which is Ann's now.
    let record = |home: &Home, file: &str| home.state().join(&name).join(file);
    std::fs::create_dir_all(bob.state().join(&name)).unwrap();
    for file in ["cluster.json", "settings.json"] {
        std::fs::copy(record(&it.cluster.home, file), record(&bob, file)).unwrap();
    }
    for args in [&["down", "--volumes"][..], &["down"], &["stop"]] {
        is_refused(&run_as("bob@bar", &bob, &[args, &["--name", &name]].concat()));
    }
    let again = must_as("ann@bar", &it.cluster.home, &up);
    assert!(again.stderr.contains("Already up"), "{again}");

    // Another state folder of Ann.
    let down = must_as("ann@bar", &bob, &["down", "--volumes", "--name", &name]);
    assert!(down.stderr.contains("Removed its data"), "{down}");
}
