//! The question before data are destroyed.

use std::{
    fs,
    io::{Read, Write},
    process::Child,
};

use rusqlite::{Connection, params};

use crate::chefcito::{Home, Ran, kill, lives, wait_until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_chefcito");

/// Starts `chefcito` on a terminal, and returns what it says until it waits for an answer.
fn asked(home: &Home, line: &str) -> Option<(Child, String)> {
    let mut asking = home.on_terminal(&format!("exec {PROGRAM} {line}"), "dumb")?;
    let stdout = asking.stdout.as_mut().unwrap();
    let mut said = String::new();
    while !said.ends_with("[y/N] ") {
        let mut byte = [0];
        let read = stdout.read(&mut byte).unwrap();
        assert!(read > 0, "it ended without a question: {said}");
        said.push(char::from(byte[0]));
    }
    Some((asking, said))
}

/// Types an answer.
fn answered(home: &Home, mut asking: Child, answer: &str) -> Ran {
    asking.stdin.as_mut().unwrap().write_all(answer.as_bytes()).unwrap();
    home.finish(&["…"], asking)
}

#[test]
fn data_are_removed_only_once_that_is_confirmed() {
    const END_OF_INPUT: &str = "\u{4}";
    const CTRL_C: &str = "\u{3}";
    let home = Home::new();
    home.must(&["up", "--port", "0", "--cooking-time", "0s"]);
    home.must(&["order", "--count", "3"]);
    home.wait_for_orders(&[], "placed", 3);
    let pid = home.embedded_pid();
    let no_answers = [("n\n", 1), ("\n", 1), ("no way\n", 1), (END_OF_INPUT, 1), (CTRL_C, 130)];
    for (answer, code) in no_answers {
        let Some((asking, said)) = asked(&home, "down --volumes") else { return };
        let folder = home.environment();
        for named in ["`chefcito` (embedded), with 3 orders in it", folder.to_str().unwrap()] {
            assert!(said.contains(named), "{said}");
        }
        let ran = answered(&home, asking, answer);
        assert_eq!(ran.code, Some(code), "{answer:?}: {ran}");
        assert!(ran.stdout.to_lowercase().contains("nothing was removed"), "{answer:?}: {ran}");
        assert!(lives(pid) && folder.join("data").exists(), "{answer:?}: {ran}");
    }
    let Some((asking, _)) = asked(&home, "down --volumes") else { return };
    let ran = answered(&home, asking, "y\n");
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(!lives(pid) && !home.environment().exists(), "{ran}");
}

#[test]
fn a_signal_ends_the_question() {
    for (signal, code) in [("-TERM", 143), ("-HUP", 129), ("-INT", 130)] {
        let home = Home::new();
        home.must(&["up", "--port", "0", "--no-seed"]);
        home.must(&["stop"]);
        let Some((mut asking, _)) = asked(&home, "down --volumes") else { return };
        // Kept open: its end would be an answer, too.
        let _input = asking.stdin.take();
        kill(signal, child_of(&asking));
        let ran = home.finish(&["down", "--volumes"], asking);
        assert_eq!(ran.code, Some(code), "{ran}");
        assert!(ran.stdout.contains("Nothing was removed"), "{ran}");
        assert!(home.environment().join("data").exists());
    }
}

#[test]
fn events_are_deleted_only_once_that_is_confirmed() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--no-seed"]);
    home.must(&["stop"]);
    let database = Connection::open(home.environment().join("data/kitchen.sqlite")).unwrap();
    let id = "01a22892-26c8-761f-a8ff-606cad4582de";
    let letter = params![id, "order.placed", "it", "{}", "it is spoiled", 1, 1_i64];
    let insert = "INSERT INTO dead_letters VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    database.execute(insert, letter).unwrap();
    drop(database);
    home.must(&["start"]);
    let is_there = || home.must(&["dead-letters", "list", "--json"]).stdout.contains(id);
    for (answer, code) in [("n\n", 1), ("yes\n", 0)] {
        assert!(is_there());
        let Some((asking, said)) = asked(&home, "dead-letters drop --all") else { return };
        assert!(
            said.contains("This deletes 1 dead letter of all services in `chefcito`"),
            "{said}"
        );
        let ran = answered(&home, asking, answer);
        assert_eq!(ran.code, Some(code), "{ran}");
    }
    assert!(!is_there());
}

/// Returns the process that runs on the terminal of `script`.
fn child_of(script: &Child) -> i32 {
    let children = format!("/proc/{0}/task/{0}/children", script.id());
    fs::read_to_string(children).unwrap().trim().parse().unwrap()
}

#[test]
fn a_question_is_for_users_at_a_terminal_with_something_to_lose() {
    let home = Home::new();
    let done = |line: &str| {
        let started = home.on_terminal(&format!("{line} </dev/tty"), "dumb");
        let ran = started.map(|started| home.finish(&[line], started));
        if let Some(ran) = &ran {
            assert_eq!(ran.code, Some(0), "{ran}");
            assert!(!ran.stdout.contains("[y/N]"), "{ran}");
        }
        ran.is_some()
    };
    for flag in ["--yes", "-y"] {
        home.must(&["up", "--port", "0", "--no-seed"]);
        if !done(&format!("{PROGRAM} down --volumes {flag}")) {
            return;
        }
        assert!(!home.environment().exists());
    }
    done(&format!("{PROGRAM} down --volumes"));
    home.must(&["up", "--port", "0", "--no-seed"]);
    done(&format!("{PROGRAM} dead-letters drop --all"));
    done(&format!("{PROGRAM} down"));
    done(&format!("CI=true {PROGRAM} down --volumes"));
    wait_until("the data are gone", || !home.environment().exists());

    home.must(&["up", "--port", "0", "--no-seed"]);
    home.must(&["down", "--volumes"]);
    assert!(!home.environment().exists(), "without a terminal nobody is asked");
}
