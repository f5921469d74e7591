//! The life of an embedded environment: up, up again, down; crashes and conflicts.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt};

use crate::chefcito::{Home, kill, lives, wait_until};

#[test]
fn up_and_up_again_and_down() {
    let home = Home::new();
    let first = home.must(&["up", "--port", "0"]);
    assert!(first.stdout.starts_with("http://127.0.0.1:"), "{first}");
    assert!(
        first.stderr.contains("Up in ")
            && first.stderr.contains("Other runtimes: compose, kubernetes"),
        "{first}"
    );
    let pid = home.embedded_pid();

    let second = home.must(&["up", "--port", "0"]);
    assert!(second.stderr.contains("Already up"), "{second}");
    assert_eq!((second.stdout, home.embedded_pid()), (first.stdout, pid), "nothing changed");

    assert_eq!(home.must(&["status", "--json"]).code, Some(0));
    let down = home.must(&["down"]);
    assert_eq!(down.stderr, "`chefcito` is down\n");
    assert!(!lives(pid), "no orphan is left");
    assert!(home.environment().join("data").exists(), "the data are kept");
    assert_eq!(home.run(&["status"]).code, Some(3));

    home.must(&["down", "--volumes"]);
    assert!(!home.environment().exists(), "the data are forgotten");
}

#[test]
fn what_programs_read_carries_its_version() {
    let home = Home::new();
    home.must(&["up", "--port", "0"]);
    let json = |args: &[&str]| -> serde_json::Value {
        serde_json::from_str(&home.must(args).stdout).unwrap()
    };
    let status = json(&["status", "--json"]);
    assert_eq!(
        (&status["schema_version"], &status["ready"], &status["name"]),
        (&1.into(), &true.into(), &"chefcito".into())
    );
    assert_eq!(status["services"].as_object().unwrap().len(), 7);
    let version = json(&["version", "--json"]);
    assert_eq!(
        (&version["schema_version"], &version["version"], &version["profile"]),
        (&1.into(), &env!("CARGO_PKG_VERSION").into(), &"dev".into())
    );
    assert!(version["target"].as_str().unwrap().starts_with(std::env::consts::ARCH), "{version}");
    assert_eq!(version["formats"]["events"]["order.placed"], 1, "{version}");
    let doctor = json(&["doctor", "--json"]);
    assert_eq!((&doctor["schema_version"], &doctor["able"][0]), (&1.into(), &"embedded".into()));
}

#[test]
fn a_secret_may_be_in_a_file() {
    let home = Home::new();
    let file = home.state().with_file_name("database.url");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let up = |url: &str| {
        fs::write(&file, url).unwrap();
        home.command(&["up", "--port", "0"])
            .env("CHEFCITO_DATABASE_URL_FILE", &file)
            .output()
            .unwrap()
    };
    let refused = up("postgres://chef:secret@127.0.0.1:1/lunch\n");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("did not start"), "{said}");
    assert!(!said.contains("secret"), "{said}");
    assert_eq!(up("mysql://db").status.code(), Some(1));
}

#[test]
fn the_state_is_for_its_owner_only() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--no-seed"]);
    let mode = |name: &str| {
        fs::metadata(home.environment().join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("."), mode("data"), mode("secrets")), (0o700, 0o700, 0o700));
    for file in ["admin.key", "environment.json", "settings.json", "secrets/key.pepper"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}

#[test]
fn stop_and_start_keep_settings_and_data() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--stoves", "3"]);
    assert_eq!(home.must(&["stop"]).stderr, "`chefcito` is down\n");
    let started = home.must(&["start"]);
    assert!(started.stderr.contains("Up in "), "{started}");
    assert!(
        fs::read_to_string(home.environment().join("environment.json"))
            .unwrap()
            .contains(r#""stoves": 3"#)
    );
    assert!(home.must(&["start"]).stderr.contains("Already up"));
}

#[test]
fn a_restart_keeps_settings_and_data() {
    let home = Home::new();
    assert_eq!(home.run(&["restart"]).code, Some(3));
    home.must(&["up", "--port", "0", "--stoves", "3", "--cooking-time", "0s"]);
    home.must(&["order", "--count", "2"]);
    let pid = home.embedded_pid();
    let restarted = home.must(&["restart"]);
    assert!(restarted.stderr.contains("Restarted in "), "{restarted}");
    assert!(restarted.stdout.starts_with("http://127.0.0.1:"), "{restarted}");
    assert!(!lives(pid) && home.embedded_pid() != pid, "{restarted}");
    let record = fs::read_to_string(home.environment().join("environment.json")).unwrap();
    assert!(record.contains(r#""stoves": 3"#), "{record}");
    let status = home.must(&["status", "--json"]).stdout;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["ready"], true);
    home.wait_for_orders(&[], "placed", 2);

    home.must(&["stop"]);
    home.must(&["restart"]);
    home.must(&["status"]);
}

#[test]
fn a_restart_that_fails_says_that_the_environment_is_stopped() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--no-seed"]);
    home.must(&["stop"]);
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let settings = home.environment().join("settings.json");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace(r#""port": 0"#, &format!(r#""port": {port}"#))).unwrap();
    let failed = home.run(&["restart"]);
    assert_eq!(failed.code, Some(1), "{failed}");
    assert!(failed.stderr.contains(&format!("port {port} is taken")), "{failed}");
    assert!(failed.stderr.contains("the environment is stopped now"), "{failed}");
    drop(holder);
    home.must(&["restart"]);
}

#[test]
fn only_what_differs_is_changed_and_why_is_said() {
    let home = Home::new();
    home.must(&["up", "--port", "0"]);
    let plan = home.must(&["up", "--port", "0", "--stoves", "2", "--dry-run"]);
    let pid = home.embedded_pid();
    assert_eq!(
        plan.stdout,
        format!(
            "stop the environment (process {pid}), data kept: stoves 8 → 2\n\
             start the environment on any free port\n\
             wait until every service is ready\n\
             send recipes and stock, if there never was a menu\n"
        )
    );
    let changed = home.must(&["up", "--port", "0", "--stoves", "2"]);
    assert!(
        changed.stderr.contains("Restarting the environment, data kept: stoves 8 → 2"),
        "{changed}"
    );
    assert!(!lives(pid) && home.embedded_pid() != pid);

    let other_database = home.run(&["up", "--database-url", "postgres://chef:secret@db/lunch"]);
    assert_eq!(other_database.code, Some(1));
    insta::assert_snapshot!(other_database.stderr, @r"
    Settings as last time: port 0 (any free one), stoves 2 (`chefcito up --reset` returns to the defaults)
    error: its data are in SQLite files, not at postgres://chef@db/lunch
    hint: take it down first with `chefcito down`, or choose another `--name`
    ");
}

#[test]
fn a_setting_that_no_environment_can_have_does_not_spoil_the_last_ones() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--stoves", "3"]);
    let broken = home.run(&["up", "--port", "0", "--log", "kitchen=much=too=much"]);
    assert_eq!(broken.code, Some(1), "{broken}");
    assert!(
        broken
            .stderr
            .contains("the environment did not start: the log filter `kitchen=much=too=much`"),
        "{broken}"
    );
    assert!(
        broken.stderr.contains("`chefcito start` starts it with its last settings"),
        "{broken}"
    );
    home.must(&["start"]);
    assert!(
        fs::read_to_string(home.environment().join("environment.json"))
            .unwrap()
            .contains(r#""stoves": 3"#)
    );
}

#[test]
fn the_default_port_taken_is_no_obstacle() {
    let home = Home::new();
    // If this fails, another process has the port already, which is as good.
    let _holder = TcpListener::bind("127.0.0.1:7373");
    let up = home.must(&["up"]);
    assert!(up.stderr.contains("Port 7373 was taken by "), "{up}");
    assert!(!up.stdout.contains(":7373\n"), "{up}");
}

#[test]
fn a_killed_environment_is_reported_and_comes_back() {
    let home = Home::new();
    home.must(&["up", "--port", "0"]);
    let pid = home.embedded_pid();
    kill("-KILL", pid);
    // The system takes a moment to close what the process had open.
    wait_until("the environment is gone", || home.run(&["status"]).code == Some(3));
    let status = home.run(&["status"]);
    assert!(status.stderr.contains("it crashed at "), "{status}");
    assert!(home.must(&["logs"]).stdout.lines().count() > 0, "the logs can still be read");

    let up = home.must(&["up", "--port", "0"]);
    assert!(up.stderr.contains("it crashed at "), "{up}");
    home.must(&["status"]);
}

#[test]
fn up_right_after_a_kill_does_not_take_the_dying_for_the_living() {
    let home = Home::new();
    home.must(&["up", "--port", "0"]);
    for _ in 0..5 {
        kill("-KILL", home.embedded_pid());
        home.must(&["up", "--port", "0"]);
        home.must(&["status"]);
    }
}

#[test]
fn two_environments_live_side_by_side() {
    let home = Home::new();
    let one = home.must(&["up", "--port", "0"]);
    let other = home.must(&["up", "--port", "0", "--name", "other"]);
    assert_ne!(one.stdout, other.stdout);
    home.must(&["down", "--name", "other"]);
    home.must(&["status"]);
}

#[test]
fn a_path_with_spaces_is_as_good_as_any() {
    let home = Home::with_a_space_in_its_path();
    home.must(&["up", "--port", "0"]);
    home.must(&["status"]);
    home.must(&["down", "--volumes"]);
}

#[test]
fn postgresql_keeps_the_data_of_two_environments_apart_until_they_are_forgotten() {
    let Some(database) = test_support::postgres() else { return };
    let home = Home::new();
    let up = |name: &str| {
        home.must(&["up", "--port", "0", "--name", name, "--database-url", database.url()])
    };
    up("one");
    up("two-b");
    home.must(&["order", "--name", "one", "--count", "3", "--timeout", "30s"]);
    let placed = |name: &str| {
        let status = home.must(&["status", "--json", "--name", name]).stdout;
        serde_json::from_str::<serde_json::Value>(&status).unwrap()["orders"]["placed"].clone()
    };
    home.wait_for_orders(&["--name", "one"], "placed", 3);
    assert_eq!(placed("two-b"), 0);

    // Moved away first, removed later: where the data are is still known.
    home.must(&["down", "--name", "one"]);
    up("one");
    assert_eq!(placed("one"), 3);
    home.must(&["down", "--name", "one"]);
    home.must(&["down", "--name", "one", "--volumes"]);
    up("one");
    assert_eq!((placed("one"), placed("two-b")), (0.into(), 0.into()), "forgotten; its keys, too");
}

#[test]
fn the_first_command_of_the_readme_delivers_fifty_orders() {
    let home = Home::new();
    let up = home.must(&["up", "--port", "0", "--cooking-time", "1ms", "--orders", "50"]);
    assert!(up.stdout.contains("50 accepted, 50 delivered"), "{up}");
    home.must(&["audit"]);
    home.must(&["down"]);
}
