//! All environments of a user in one list.

use std::fs;

use serde_json::Value;

use crate::chefcito::{Home, kill, wait_until};

/// Returns the state of each environment, by name.
fn states(home: &Home) -> Vec<(String, String)> {
    let listed: Value = serde_json::from_str(&home.must(&["ls", "--json"]).stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = listed["environments"].as_array().unwrap();
    all.iter().map(|one| (text(&one["name"]), text(&one["state"]))).collect()
}

#[test]
fn environments_are_listed_with_what_they_are_doing() {
    let home = Home::new();
    let none = home.must(&["ls"]);
    assert!(none.stdout.is_empty() && none.stderr.contains("`chefcito up` starts one"), "{none}");
    assert!(!home.state().exists(), "a list touches nothing");

    let names = ["crashed", "down", "ready", "stopped"];
    for name in names {
        home.must(&["up", "-d", "--name", name, "--port", "0", "--no-seed"]);
    }
    home.must(&["stop", "--name", "stopped"]);
    home.must(&["down", "--name", "down"]);
    let record = home.state().join("crashed/environment.json");
    let record: Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
    kill("-KILL", i32::try_from(record["pid"].as_i64().unwrap()).unwrap());
    wait_until("the process has ended", || {
        states(&home)[0] == ("crashed".into(), "crashed".into())
    });
    let spoiled = home.state().join("spoiled");
    fs::create_dir(&spoiled).unwrap();
    fs::write(spoiled.join("settings.json"), "{").unwrap();

    let found = states(&home);
    let state = |name: &str| found.iter().find(|(one, _)| one == name).map(|(_, state)| &**state);
    assert_eq!(names.map(state), [Some("crashed"), Some("down"), Some("ready"), Some("stopped")]);
    assert_eq!(state("spoiled"), Some("unreadable"));

    let table = home.must(&["ls"]);
    let line = table.stdout.lines().find(|line| line.starts_with("ready ")).unwrap();
    assert!(line.contains("embedded") && line.contains("http://127.0.0.1:"), "{table}");
    assert!(table.stderr.contains("warning: spoiled: "), "{table}");
    assert_eq!(home.run(&["ps", "--name", "ready"]).code, Some(0), "as docker's users call it");
    for name in ["crashed", "down", "ready", "stopped"] {
        home.must(&["down", "--name", name, "--volumes"]);
    }
}
