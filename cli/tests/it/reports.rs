//! Reports for people and pipelines.

use std::fs;

use serde_json::Value;

use crate::chefcito::{Home, kill, wait_until};

/// An environment whose kitchen takes no time.
fn fast_environment() -> Home {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--cooking-time", "1ms", "--stoves", "64"]);
    home
}

#[test]
fn a_run_is_reported_for_people_scripts_and_pipelines() {
    let home = fast_environment();
    let order =
        ["order", "--count", "20", "--fail-if", "errors>0", "--fail-if", "delivered.p50>=1us"];
    let reports = ["--report", "run.md", "--report", "run.json", "--report", "run.xml"];
    let ran = home.run(&[&order[..], &reports].concat());
    assert_eq!(ran.code, Some(5), "{ran}");

    let read = |name: &str| fs::read_to_string(home.path().join(name)).unwrap();
    let markdown = read("run.md");
    for part in [
        "## ❌ chefcito order: 20 accepted, 20 delivered",
        "- ✅ every order is accepted",
        "- ❌ limit delivered.p50\\>=1us: crossed: found ",
        "### The slowest order: ",
        "order.delivered",
    ] {
        assert!(markdown.contains(part), "{part}: {markdown}");
    }
    let figures: Value = serde_json::from_str(&read("run.json")).unwrap();
    assert_eq!((&figures["schema_version"], &figures["delivered"]), (&1.into(), &20.into()));
    let junit = read("run.xml");
    assert!(junit.contains("tests=\"4\" failures=\"1\""), "{junit}");
    assert!(
        junit.contains("name=\"limit delivered.p50&gt;=1us\">\n      <failure message="),
        "{junit}"
    );
}

#[test]
fn an_audit_is_reported_with_each_invariant() {
    let home = fast_environment();
    home.must(&["order", "--count", "3"]);
    home.must(&["audit", "--report", "audit.xml", "--report", "audit.md"]);
    let junit = fs::read_to_string(home.path().join("audit.xml")).unwrap();
    assert!(junit.contains("name=\"stock.conservation\"/>"), "{junit}");
    assert!(junit.contains(" failures=\"0\""), "{junit}");
    let markdown = fs::read_to_string(home.path().join("audit.md")).unwrap();
    assert!(markdown.starts_with("## ✅ chefcito audit: "), "{markdown}");
}

#[test]
fn a_report_that_can_not_be_written_is_refused_before_anything_is_ordered() {
    let home = fast_environment();
    fs::create_dir(home.path().join("folder.md")).unwrap();
    for path in ["nowhere/run.md", "folder.md"] {
        let ran = home.run(&["order", "--report", path]);
        assert_eq!(ran.code, Some(1), "{ran}");
        assert!(ran.stderr.contains(&format!("cannot write {path}")), "{ran}");
        assert!(ran.stderr.contains("hint: ") && !ran.stderr.contains(".chefcito-"), "{ran}");
    }
    let wrong = home.run(&["order", "--report", "run.txt"]);
    assert_eq!(wrong.code, Some(2), "{wrong}");
    assert!(wrong.stderr.contains(".md (Markdown), .json or .xml (JUnit)"), "{wrong}");
    let status: Value = serde_json::from_str(&home.must(&["status", "--json"]).stdout).unwrap();
    assert_eq!(status["orders"]["placed"], 0, "{status}");
}

/// As GitHub Actions runs it.
#[test]
fn a_pipeline_folds_what_up_says_and_shows_errors_and_reports() {
    let home = Home::new();
    let summary = home.path().join("summary.md");
    let run = |args: &[&str]| {
        let mut command = home.command(args);
        command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", &summary);
        let ran = command.output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
    };
    let (code, said) = run(&["up", "--port", "0", "--cooking-time", "1ms"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("::group::chefcito up (embedded)\n"), "{said}");
    assert!(said.ends_with("::endgroup::\n"), "{said}");

    let (code, said) = run(&["order", "--count", "2", "--fail-if", "delivered.p50>=1us"]);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("::error title=chefcito::limit crossed: "), "{said}");
    run(&["audit"]);
    let summary = fs::read_to_string(&summary).unwrap();
    assert!(summary.contains("chefcito order: 2 accepted"), "{summary}");
    assert!(summary.contains("chefcito audit: "), "both are in it: {summary}");
}

#[test]
fn a_run_that_is_interrupted_is_reported_without_what_it_did_not_see() {
    let home = fast_environment();
    let args = ["order", "--rate", "50", "--duration", "1m", "--report", "run.md"];
    let order = home.start(&args);
    wait_until("orders are placed", || {
        let status: Value = serde_json::from_str(&home.must(&["status", "--json"]).stdout).unwrap();
        status["orders"]["placed"].as_i64().unwrap() > 0
    });
    kill("-INT", i32::try_from(order.id()).unwrap());
    let ran = home.finish(&args, order);
    assert_eq!(ran.code, Some(130), "{ran}");
    let markdown = fs::read_to_string(home.path().join("run.md")).unwrap();
    assert!(markdown.contains("- ❌ the run is complete: interrupted"), "{markdown}");
    assert!(!markdown.contains("comes to its end"), "{markdown}");
}

#[test]
fn a_report_that_is_lost_does_not_hide_why_the_command_failed() {
    let home = fast_environment();
    let run = |limit: &str| {
        let mut command = home.command(&["order", "--fail-if", limit]);
        let ran = command.env("GITHUB_STEP_SUMMARY", "/nowhere/summary.md").output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
    };
    let (code, said) = run("delivered.p50>=1us");
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("warning: the report is not written: cannot write /nowhere/"), "{said}");
    let (code, said) = run("errors>0");
    assert_eq!(code, Some(1), "{said}");
}
