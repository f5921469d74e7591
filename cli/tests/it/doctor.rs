//! The doctor's checks of clusters.

use serde_json::Value;

use crate::{chefcito::Home, cluster::Cluster};

/// Returns whether pods can run, and each check of what they need: verdict and finding.
fn of_clusters(home: &Home) -> (bool, Vec<(String, String, String)>) {
    let said: Value = serde_json::from_str(&home.must(&["doctor", "--json"]).stdout).unwrap();
    let able = said["able"].as_array().unwrap().iter().any(|one| one == "kubernetes");
    let checks = said["checks"].as_array().unwrap().iter();
    let ours = checks.filter(|check| check["runtime"] == "kubernetes");
    let text = |check: &Value, field: &str| check[field].as_str().unwrap_or_default().to_owned();
    let reported = ours.map(|one| (text(one, "what"), text(one, "verdict"), text(one, "found")));
    (able, reported.collect())
}

fn verdict<'t>(reported: &'t [(String, String, String)], what: &str) -> (&'t str, &'t str) {
    let (_, verdict, found) = reported.iter().find(|(one, ..)| one == what).unwrap();
    (verdict, found)
}

#[test]
fn without_a_cluster_kind_and_an_engine_are_needed() {
    let home = Home::new();
    home.put_program("kind", "echo kind v0.26.0 go1.23.6 linux/amd64");
    let (able, reported) = of_clusters(&home);
    assert!(!able, "{reported:?}");
    let too_old = "kind v0.26.0 is too old: v0.27 is the oldest that works";
    assert_eq!(verdict(&reported, "kind"), ("lacking", too_old));
    assert_eq!(verdict(&reported, "engine for kind").0, "lacking");
    assert_eq!(verdict(&reported, "current context").0, "lacking");
    assert_eq!(verdict(&reported, "kubectl").0, "good", "nothing needs it");
    home.put_program("kind", "echo kind v0.29.0 go1.24.2 linux/amd64");
    assert_eq!(verdict(&of_clusters(&home).1, "kind"), ("good", "v0.29.0"));
}

#[test]
fn commands_in_hints_are_for_the_environment_that_was_asked_about() {
    let said = Home::new().must(&["doctor", "--name", "ci"]).stdout;
    assert!(said.contains("hint: `chefcito up --name ci --runtime kubernetes`"), "{said}");
}

#[test]
fn with_a_cluster_nothing_else_is_needed() {
    let Some(cluster) = Cluster::open("doctor") else { return };
    let (able, reported) = of_clusters(&cluster.home);
    assert!(able, "{reported:?}");
    let (is, found) = verdict(&reported, "current context");
    assert!(is == "good" && found.starts_with("owner: v1.20.2"), "{reported:?}");
    assert_eq!(verdict(&reported, "engine for kind").0, "poor", "only to make another one");
}
