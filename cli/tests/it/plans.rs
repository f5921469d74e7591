//! What `up --dry-run` prints is what `up` does.

use crate::chefcito::{Home, Ran, kill, wait_until};

/// Returns the operations that an `up --verbose` began, among these.
fn executed(ran: &Ran, printed: &[String]) -> Vec<String> {
    let lines = ran.stderr.lines().filter(|line| printed.iter().any(|one| one == line));
    lines.map(ToOwned::to_owned).collect()
}

/// Plans with some arguments, executes, and compares. Returns the operations.
fn planned_and_done(home: &Home, args: &[&str]) -> Vec<String> {
    let plan = home.must(&[&["up", "--port", "0"], args, &["--dry-run"]].concat());
    let printed: Vec<String> = plan.stdout.lines().map(ToOwned::to_owned).collect();
    let ran = home.must(&[&["up", "--port", "0", "--verbose"], args].concat());
    assert_eq!(executed(&ran, &printed), printed, "{plan}{ran}");
    printed
}

#[test]
fn an_embedded_environment_does_what_its_dry_run_says() {
    let home = Home::new();
    let first = planned_and_done(&home, &["--orders", "2"]);
    assert_eq!(first[0], "create the state folder and its keys");
    assert_eq!(first.last().unwrap(), "place 2 orders and follow each to the table");
    assert_eq!(planned_and_done(&home, &[]), Vec::<String>::new());
    let changed = planned_and_done(&home, &["--stoves", "3", "--seed", "7"]);
    assert!(changed[0].ends_with("data kept: stoves 8 → 3, seed 0 → 7"), "{changed:?}");
    let pid = home.embedded_pid();
    kill("-KILL", pid);
    wait_until("it is gone", || !home.run(&["status"]).stderr.is_empty());
    let after = planned_and_done(&home, &["--stoves", "3", "--seed", "7", "--no-seed"]);
    assert!(after[0].ends_with("; the last one crashed"), "{after:?}");
    home.must(&["down", "--volumes"]);
}

#[test]
fn a_plan_is_a_graph_for_scripts() {
    let home = Home::new();
    let args = ["up", "--port", "0", "--orders", "1", "--dry-run"];
    let plan = home.must(&args);
    let json = home.must(&[&args[..], &["--json"]].concat());
    let graph: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(graph["schema_version"], 1);
    let operations = graph["operations"].as_array().unwrap();
    let texts: Vec<&str> =
        operations.iter().map(|operation| operation["text"].as_str().unwrap()).collect();
    assert_eq!(texts, plan.stdout.lines().collect::<Vec<_>>());
    let kinds: Vec<&str> =
        operations.iter().map(|operation| operation["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["create-state", "start", "await-ready", "seed-if-empty", "order"]);
    for (id, operation) in operations.iter().enumerate() {
        assert_eq!(operation["id"], id);
        let needs = operation["needs"].as_array().unwrap();
        assert!(needs.iter().all(|need| need.as_u64().unwrap() < id as u64), "{operation}");
    }
    let alone = home.run(&["up", "--json"]);
    assert_eq!(alone.code, Some(2), "{alone}");
    assert!(!home.state().exists(), "nothing was begun");
}
