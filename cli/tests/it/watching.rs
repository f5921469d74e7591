//! The status that is watched.

use std::{
    io::{BufRead, BufReader, Read},
    process::Child,
};

use crate::chefcito::{Home, kill};

/// Reads lines until one has the text.
fn read_until(output: &mut impl BufRead, text: &str) {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "the output ended before `{text}`");
    }
}

fn interrupt(home: &Home, args: &[&str], watch: Child) {
    kill("-INT", i32::try_from(watch.id()).unwrap());
    assert_eq!(home.finish(args, watch).code, Some(130));
}

#[test]
fn a_status_is_watched_across_a_restart() {
    let home = Home::new();
    home.must(&["up", "--port", "0"]);
    let (for_people, json) = (["status", "--watch"], ["status", "--watch", "--json"]);
    let mut watches = [home.start(&for_people), home.start(&json)];
    let [mut seen, mut read] =
        watches.each_mut().map(|watch| BufReader::new(watch.stdout.take().unwrap()));
    let mut errors = BufReader::new(watches[1].stderr.take().unwrap());
    read_until(&mut seen, "chefcito is ready");
    read_until(&mut read, r#""ready":true"#);
    home.must(&["stop"]);
    read_until(&mut seen, "chefcito has no status: nothing is running as `chefcito`");
    read_until(&mut errors, "nothing is running as `chefcito`");
    home.must(&["start"]);
    read_until(&mut seen, "chefcito is ready");
    read_until(&mut read, r#""ready":true"#);
    let [for_people_watch, json_watch] = watches;
    interrupt(&home, &for_people, for_people_watch);
    interrupt(&home, &json, json_watch);
}

#[test]
fn a_dumb_terminal_gets_plain_lines_of_progress() {
    let home = Home::new();
    home.must(&["up", "--port", "0"]);
    home.must(&["seed", "--set", "rice=0"]);
    home.must(&["market", "set", "--outage", "on"]);
    let program = env!("CARGO_BIN_EXE_chefcito");
    let line = format!("{program} order --dish 'rice with meat' --timeout 7s");
    let Some(order) = home.on_terminal(&line, "dumb") else { return };
    let ran = home.finish(&["order"], order);
    assert_eq!(ran.code, Some(4), "{ran}");
    assert!(ran.stdout.contains("Delivering 0 of 1") && !ran.stdout.contains('\u{1b}'), "{ran}");
}

#[test]
fn a_watched_status_fits_into_a_small_terminal() {
    const ROWS: usize = 12;
    let home = Home::new();
    home.must(&["up", "--port", "0"]);
    let program = env!("CARGO_BIN_EXE_chefcito");
    let line = format!("stty rows {ROWS} cols 40 && exec {program} status --watch");
    let Some(mut watch) = home.on_terminal(&line, "xterm") else { return };
    let mut output = BufReader::new(watch.stdout.take().unwrap());
    let mut drawn = Vec::new();
    for _ in 0..3 {
        // Each picture begins by clearing what is below, and ends by wrapping lines again.
        let mut picture = String::new();
        while !picture.ends_with("\u{1b}[?7h") {
            let mut byte = [0];
            output.read_exact(&mut byte).unwrap();
            picture.push(char::from(byte[0]));
        }
        drawn.push(picture);
    }
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert!(drawn[0].trim_start().starts_with("\u{1b}[J\u{1b}[?7l"), "{drawn:?}");
    for picture in &drawn {
        assert_eq!(picture.trim().lines().count(), ROWS - 1, "{picture:?}");
    }
    let up = format!("\u{1b}[{}A\u{1b}[J\u{1b}[?7l", ROWS - 1);
    assert!(drawn[1..].iter().all(|picture| picture.trim_start().starts_with(&up)), "{drawn:?}");
}
