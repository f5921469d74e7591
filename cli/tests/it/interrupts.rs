//! Ctrl-C, SIGTERM and concurrent commands leave nothing incomplete.

use std::{
    fs,
    io::{BufRead, BufReader},
    thread,
    time::Duration,
};

use crate::chefcito::{Home, kill, lives, wait_until};

/// Returns the processes of the embedded environments of a home.
fn embedded_processes(home: &Home) -> Vec<i32> {
    let state = home.state().to_str().unwrap().to_owned();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let of_this_home = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let home = format!("HOME={}", state.trim_end_matches("/.local/state/chefcito"));
        let in_home =
            environment.split(|byte| *byte == 0).any(|variable| variable == home.as_bytes());
        in_home
            && arguments.split(|byte| *byte == 0).any(|argument| argument == b"embedded")
            && lives(*pid)
    };
    pids.filter(of_this_home).collect()
}

#[test]
fn an_interrupted_up_leaves_nothing_whenever_it_happens() {
    for delay_ms in [0, 2, 4, 6, 8, 10, 15, 20, 30, 50, 80, 120] {
        let home = Home::new();
        let up = home.start(&["up", "--port", "0"]);
        let pid = i32::try_from(up.id()).unwrap();
        // Not to wait for a state, but to hit another moment each time.
        thread::sleep(Duration::from_millis(delay_ms));
        let signal = if delay_ms % 4 == 0 { "-INT" } else { "-TERM" };
        kill(signal, pid);
        let ran = home.finish(&["up"], up);
        match ran.code {
            // It was faster: everything is up.
            Some(0) => {
                home.must(&["status"]);
                home.must(&["down", "--volumes"]);
            }
            // The signal ended it before it had begun.
            None => {}
            Some(130) if signal == "-INT" => {}
            Some(143) if signal == "-TERM" => {}
            _ => panic!("{ran}"),
        }
        assert_eq!(embedded_processes(&home), [0_i32; 0], "after {delay_ms} ms: {ran}");
        assert!(!home.environment().exists(), "after {delay_ms} ms: {ran}");
    }
}

#[test]
fn an_interrupted_up_leaves_what_was_there_before() {
    let home = Home::new();
    home.must(&["up", "--port", "0"]);
    let before = home.embedded_pid();
    let up = home.start(&["up", "--port", "0", "--foreground"]);
    let pid = i32::try_from(up.id()).unwrap();
    wait_until("it handles signals", || signals_are_taken_over(pid));
    kill("-INT", pid);
    assert_eq!(home.finish(&["up", "--foreground"], up).code, Some(130));
    assert!(lives(before), "the environment was there before");
}

/// Returns whether a process handles SIGINT itself.
fn signals_are_taken_over(pid: i32) -> bool {
    const SIGINT_BIT: u64 = 1 << 1;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught
        .is_some_and(|caught| u64::from_str_radix(caught.trim(), 16).unwrap_or(0) & SIGINT_BIT != 0)
}

#[test]
fn a_foreground_environment_ends_with_its_terminal_and_keeps_its_data() {
    for (signal, code) in [("-INT", Some(130)), ("-TERM", Some(143)), ("-KILL", None)] {
        let home = Home::new();
        let mut up = home.start(&["up", "--port", "0", "--foreground"]);
        let mut stdout = BufReader::new(up.stdout.take().unwrap());
        let mut address = String::new();
        stdout.read_line(&mut address).unwrap();
        assert!(address.starts_with("http://"), "it says where it is once it is up: {address}");
        let pid = home.embedded_pid();
        kill(signal, i32::try_from(up.id()).unwrap());
        assert_eq!(home.finish(&["up", "--foreground"], up).code, code);
        wait_until("the environment is gone", || !lives(pid));
        assert!(home.environment().join("data").exists());
    }
}

#[test]
fn two_ups_at_once_make_one_environment() {
    let home = Home::new();
    let args = ["up", "--port", "0"];
    let ups: Vec<_> = (0..4).map(|_| home.start(&args)).collect();
    let addresses: Vec<String> = ups
        .into_iter()
        .map(|up| {
            let ran = home.finish(&args, up);
            assert_eq!(ran.code, Some(0), "{ran}");
            ran.stdout
        })
        .collect();
    assert!(addresses.iter().all(|address| *address == addresses[0]), "{addresses:?}");
    assert_eq!(embedded_processes(&home).len(), 1);
}

#[test]
fn ups_and_downs_in_a_crowd_end_in_order() {
    let home = Home::new();
    let crowd: Vec<_> = (0..6)
        .map(|n| if n % 2 == 0 { ["up", "--port=0"] } else { ["down", "--volumes"] })
        .collect();
    let running: Vec<_> = crowd.iter().map(|args| (args, home.start(args))).collect();
    for (args, child) in running {
        let ran = home.finish(args, child);
        assert_eq!(ran.code, Some(0), "{ran}");
    }
    home.must(&["down", "--volumes"]);
    assert_eq!(embedded_processes(&home), [0_i32; 0]);
}
