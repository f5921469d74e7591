//! Colours and progress, as people and pipelines want them.

use crate::chefcito::Home;

/// Returns whether stdout and stderr have colours in a pipe.
fn colors(home: &Home, flag: &[&str], variables: &[(&str, &str)]) -> [bool; 2] {
    let is_colored = |bytes: &[u8]| bytes.contains(&0x1b);
    let run = |args: &[&str]| {
        home.command(&[args, flag].concat()).envs(variables.iter().copied()).output().unwrap()
    };
    let (help, logs) = (run(&["logs", "--help"]), run(&["logs"]));
    let (failed, unknown) = (run(&["keys", "list"]), run(&["logs", "--unknown"]));
    assert_eq!(
        [logs.status.code(), failed.status.code(), unknown.status.code()],
        [Some(0), Some(3), Some(2)]
    );
    let [help, logs] = [help, logs].map(|ran| is_colored(&ran.stdout));
    let [failed, unknown] = [failed, unknown].map(|ran| is_colored(&ran.stderr));
    assert_eq!((help, failed), (logs, unknown), "{flag:?} {variables:?}");
    [logs, failed]
}

fn with_a_log() -> Home {
    let home = Home::new();
    let folder = home.environment().join("logs");
    std::fs::create_dir_all(&folder).unwrap();
    let line = r#"{"time":"2026-01-31T12:00:00Z","message":"Cooking"}"#;
    std::fs::write(folder.join("kitchen.log"), format!("{line}\n")).unwrap();
    home
}

#[test]
fn colours_in_a_pipe_are_wanted_by_a_flag_or_a_variable() {
    let home = with_a_log();
    let (yes, no) = ([true; 2], [false; 2]);
    assert_eq!(colors(&home, &[], &[]), no);
    assert_eq!(colors(&home, &["--color", "auto"], &[("CLICOLOR", "1")]), no);
    assert_eq!(colors(&home, &["--color", "always"], &[]), yes);
    assert_eq!(colors(&home, &["--color=always"], &[("NO_COLOR", "1"), ("TERM", "dumb")]), yes);
    assert_eq!(colors(&home, &[], &[("CLICOLOR_FORCE", "1")]), yes);
    assert_eq!(colors(&home, &[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")]), yes);
    assert_eq!(colors(&home, &[], &[("CLICOLOR_FORCE", "0")]), no);
    assert_eq!(colors(&home, &[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]), no);
    assert_eq!(colors(&home, &["--color", "never"], &[("CLICOLOR_FORCE", "1")]), no);
    for wrong in [&["--color", "sometimes"][..], &["--color"], &["--color="]] {
        let ran = home.run(&[&["logs"], wrong].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran}");
    }
}

#[test]
fn colours_on_a_terminal_are_left_out_where_they_are_not_wanted() {
    let home = with_a_log();
    let program = env!("CARGO_BIN_EXE_chefcito");
    for (variables, kind, expected) in [
        ("", "xterm", true),
        ("", "dumb", false),
        ("NO_COLOR=1", "xterm", false),
        ("CLICOLOR=0", "xterm", false),
        ("CLICOLOR=0 CLICOLOR_FORCE=1", "xterm", true),
        ("CLICOLOR_FORCE=1", "dumb", true),
    ] {
        for args in ["logs", "keys list", "--help", "--unknown"] {
            let line = format!("env {variables} {program} {args}");
            let Some(child) = home.on_terminal(&line, kind) else { return };
            let ran = home.finish(&[&line], child);
            assert_eq!(ran.stdout.contains('\u{1b}'), expected, "{ran}");
        }
    }
}

#[test]
fn no_progress_leaves_out_what_goes_on_and_keeps_results() {
    let home = Home::new();
    home.must(&["up", "--port", "0"]);
    let again = home.must(&["up", "--stoves", "9", "--no-progress"]);
    assert!(again.stderr.contains("Up in "), "{again}");
    assert!(!again.stderr.contains("Restarting"), "{again}");
    let shown = home.must(&["up", "--stoves", "8"]);
    assert!(shown.stderr.contains("Restarting"), "{shown}");

    home.must(&["seed", "--set", "rice=0"]);
    home.must(&["market", "set", "--outage", "on"]);
    let program = env!("CARGO_BIN_EXE_chefcito");
    for kind in ["dumb", "xterm"] {
        let line = format!("{program} --no-progress order --dish 'rice with meat' --timeout 6s");
        let Some(order) = home.on_terminal(&line, kind) else { return };
        let ran = home.finish(&["order"], order);
        assert_eq!(ran.code, Some(4), "{ran}");
        assert!(!ran.stdout.contains("Delivering"), "{ran}");
        assert!(ran.stdout.contains("error:"), "{ran}");
    }
}
