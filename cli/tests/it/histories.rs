//! Histories: each request and answer of a run, and what an audit finds in them.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use serde_json::Value;

use crate::chefcito::{Home, PATIENCE, kill, wait_until};

/// How much address space a command may have that reads a file: a debug build has some 200 MiB of it at rest.
const LITTLE_MEMORY: &str = "-v 1048576";

fn fast_environment() -> Home {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--cooking-time", "1ms", "--stoves", "64"]);
    home
}

fn audit(home: &Home, history: &Path) -> (Option<i32>, Value) {
    let ran = home.run(&["audit", "--json", "--history", history.to_str().unwrap()]);
    let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"));
    (ran.code, report)
}

/// Returns an invariant of a report.
fn invariant<'a>(report: &'a Value, name: &str) -> &'a Value {
    let all = report["invariants"].as_array().unwrap();
    all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name}: {report:#}"))
}

/// Writes a copy of a history in which the first line with one text has another text instead.
fn forged(history: &Path, old: &str, new: &str) -> PathBuf {
    let text = fs::read_to_string(history).unwrap();
    assert!(text.contains(old), "no {old} in {text}");
    let forged = history.with_file_name("forged.jsonl");
    fs::write(&forged, text.replacen(old, new, 1)).unwrap();
    forged
}

#[test]
fn a_run_in_either_model_is_recorded_and_its_answers_are_audited() {
    let home = fast_environment();
    let history = home.path().join("new/run.jsonl");
    let file = history.to_str().unwrap();
    home.must(&["order", "--count", "60", "--concurrency", "8", "--history", file]);
    let open = ["order", "--rate", "200", "--count", "40", "--json", "--history", file];
    let figures: Value = serde_json::from_str(&home.must(&open).stdout).unwrap();
    assert_eq!(figures["history"], "HOME/new/run.jsonl");

    let text = fs::read_to_string(&history).unwrap();
    assert_eq!((text.matches("{\"begin\"").count(), text.matches("\"place\"").count()), (2, 100));
    assert!(text.contains("\"read\""), "orders are followed by reads");
    let (code, report) = audit(&home, &history);
    assert_eq!((code, &report["passed"]), (Some(0), &true.into()), "{report:#}");
    assert_eq!(invariant(&report, "history.reads")["difference"], 0);
    assert!(invariant(&report, "history.reads")["expected"].as_i64().unwrap() >= 100);
    let found = invariant(&report, "ledger.accepted");
    assert_eq!((&found["expected"], &found["found"]), (&100.into(), &100.into()));
}

#[test]
fn contradictory_answers_and_missing_orders_are_reported_in_sentences() {
    let home = fast_environment();
    let history = home.path().join("run.jsonl");
    home.must(&["order", "--count", "5", "--history", history.to_str().unwrap()]);
    let text = fs::read_to_string(&history).unwrap();
    let id = text.split("\"orders\":[{\"id\":\"").nth(1).unwrap()[..36].to_owned();

    // The answer to the request of the first order names another order, which was never read.
    let gone = forged(
        &history,
        &format!("{{\"id\":\"{id}\""),
        &format!("{{\"id\":\"{}\"", "0192f3c4-5a6b-7c8d-9e0f-112233445566"),
    );
    let (code, report) = audit(&home, &gone);
    assert_eq!((code, &report["passed"]), (Some(6), &false.into()), "{report:#}");
    let samples = invariant(&report, "ledger.accepted")["samples"].to_string();
    assert!(samples.contains("0192f3c4-5a6b-7c8d-9e0f-112233445566"), "{samples}");

    let twice = text.replacen("\"number\":1,", "\"number\":77,", 1);
    let twice_file = history.with_file_name("twice.jsonl");
    fs::write(&twice_file, twice).unwrap();
    let reported = home.run(&["audit", "--history", twice_file.to_str().unwrap()]);
    assert_eq!(reported.code, Some(6), "{reported}");
    assert!(reported.stdout.contains("history.numbers is broken: "), "{reported}");
    assert!(
        reported.stdout.contains("twice.jsonl: line ")
            && reported.stdout.contains("before it had 77"),
        "{reported}"
    );
    assert!(reported.stderr.contains("history.numbers"), "{reported}");
    home.must(&["audit", "--history", history.to_str().unwrap()]);
}

#[test]
fn a_run_that_is_killed_leaves_a_history_to_go_on_from() {
    let home = fast_environment();
    let history = home.path().join("run.jsonl");
    let file = history.to_str().unwrap();
    let mut ordering =
        home.start(&["order", "--rate", "500", "--duration", "60s", "--history", file]);
    wait_until("answers are recorded", || {
        fs::read_to_string(&history).is_ok_and(|text| text.matches("\"status\":202").count() > 100)
    });
    let busy = home.run(&["order", "--history", file]);
    assert_eq!(busy.code, Some(1), "{busy}");
    assert!(busy.stderr.contains("another process is recording into HOME/run.jsonl"), "{busy}");
    kill("-KILL", i32::try_from(ordering.id()).unwrap());
    ordering.wait().unwrap();

    let text = fs::read_to_string(&history).unwrap();
    fs::write(&history, format!("{text}{{\"invoke\":{{\"ca")).unwrap();
    assert_eq!(audit(&home, &history).0, Some(0));
    home.must(&["order", "--history", file]);
    let (code, report) = audit(&home, &history);
    assert_eq!(code, Some(0), "{report:#}");
    assert!(invariant(&report, "ledger.accepted")["found"].as_i64().unwrap() > 100);
}

#[test]
fn an_invalid_history_is_refused_in_little_time_and_memory() {
    let home = Home::new();
    home.must(&["up", "--port", "0"]);
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
    fs::File::create(path("huge")).unwrap().set_len(1 << 40).unwrap();
    fs::write(path("binary"), [0x7f, b'E', 0, 0xff, b'\n', 0]).unwrap();
    fs::write(path("text"), "dear diary\n").unwrap();
    let cases = [
        (path("pipe"), "HOME/pipe is a pipe, a socket or a device; it should be a regular file"),
        (
            "/dev/zero".into(),
            "/dev/zero is a pipe, a socket or a device; it should be a regular file",
        ),
        ("/".into(), "/ is a folder; it should be a regular file"),
        (path("huge"), "HOME/huge: line 1: found a line of more than 1048576 bytes"),
        (path("binary"), "HOME/binary: line 1: found `\\u{7f}E\\u{0}\u{fffd}`"),
        (
            path("text"),
            "HOME/text: line 1: found `dear diary` (expected value, at column 1); valid is ",
        ),
    ];
    for (file, why) in &cases {
        for command in [["audit", "--history", file], ["order", "--history", file]] {
            let since = Instant::now();
            let ran = home.run_with_limit(LITTLE_MEMORY, &command);
            assert_eq!(ran.code, Some(1), "{ran}");
            assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains(why), "{ran}");
            assert!(since.elapsed() < PATIENCE, "{file}: {:?}", since.elapsed());
        }
    }
    assert_eq!(fs::read_to_string(path("text")).unwrap(), "dear diary\n");
    // A ledger is a file just as a history.
    for (file, why) in [
        (path("pipe"), "HOME/pipe is a pipe, a socket or a device; it should be a regular file"),
        (path("huge"), "HOME/huge: line 1: "),
    ] {
        let ran = home.run_with_limit(LITTLE_MEMORY, &["audit", "--ledger", &file]);
        assert!(ran.code == Some(1) && ran.stderr.contains(why), "{ran}");
    }

    let missing = home.run(&["audit", "--history", &path("missing")]);
    assert_eq!(missing.code, Some(1), "{missing}");
    assert!(missing.stderr.contains("cannot read HOME/missing"), "{missing}");
    fs::set_permissions(path("text"), fs::Permissions::from_mode(0o000)).unwrap();
    let closed = home.command(&["audit", "--history", &path("text")]);
    let closed = home.without_override(&closed).output().unwrap();
    let stderr = String::from_utf8(closed.stderr).unwrap();
    assert!(closed.status.code() == Some(1) && stderr.contains("cannot read "), "{stderr}");

    let both = home.run(&["order", "--history", &path("same"), "--ledger", &path("same")]);
    assert_eq!(both.code, Some(2), "{both}");
    assert!(both.stderr.contains("--history and --ledger can't be the same file"), "{both}");
}
