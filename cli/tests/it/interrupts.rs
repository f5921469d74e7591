//! Ctrl-C, SIGTERM and concurrent commands leave nothing incomplete.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
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
    // SIGINT and SIGTERM.
    const BITS: u64 = 1 << 1 | 1 << 14;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.is_some_and(|caught| u64::from_str_radix(caught.trim(), 16).unwrap_or(0) & BITS == BITS)
}

#[test]
fn a_foreground_environment_ends_with_its_terminal_and_keeps_its_data() {
    for (signal, code) in
        [("-INT", Some(130)), ("-TERM", Some(143)), ("-HUP", Some(129)), ("-KILL", None)]
    {
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
fn a_command_that_was_started_to_survive_its_terminal_ignores_a_hang_up() {
    let home = Home::new();
    let plain = home.command(&["up", "--port", "0", "--foreground"]);
    let mut command = Command::new("nohup");
    command
        .arg(plain.get_program())
        .args(plain.get_args())
        .env_clear()
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .current_dir(home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut up = command.spawn().unwrap();
    let mut stdout = BufReader::new(up.stdout.take().unwrap());
    let mut address = String::new();
    stdout.read_line(&mut address).unwrap();
    let pid = i32::try_from(up.id()).unwrap();
    kill("-HUP", pid);
    kill("-TERM", pid);
    assert_eq!(home.finish(&["up", "--foreground"], up).code, Some(143));
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

#[test]
fn waiting_for_the_forwarder_to_a_cluster_can_be_interrupted() {
    let home = Home::new();
    let folder = home.environment();
    fs::create_dir_all(folder.join("logs")).unwrap();
    let record = r#"{
        "target": {"context": "far", "kubeconfig": null}, "server": "https://far.example", "port": 7373,
        "namespace": "chefcito", "is_forwarded": true, "version": "1", "started_at": "2026-01-01T00:00:00Z"
    }"#;
    fs::write(folder.join("cluster.json"), record).unwrap();
    // One that has just started says nothing about itself yet.
    let lock = fs::File::create(folder.join("forward.lock")).unwrap();
    lock.lock().unwrap();
    let order = home.start(&["order"]);
    let pid = i32::try_from(order.id()).unwrap();
    wait_until("it handles signals", || signals_are_taken_over(pid));
    let since = Instant::now();
    kill("-INT", pid);
    let ran = home.finish(&["order"], order);
    assert_eq!(ran.code, Some(130), "{ran}");
    assert!(since.elapsed() < Duration::from_secs(5), "it waited for the forwarder: {ran}");
    fs::remove_dir_all(folder).unwrap();
}

/// Makes a pipe that nothing writes to.
fn pipe(home: &Home, name: &str) -> std::path::PathBuf {
    let path = home.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

#[test]
fn a_signal_ends_the_wait_for_input_that_never_comes() {
    let home = Home::new();
    let pipe = pipe(&home, "recipes.yaml");
    let seed_pipe = ["seed", pipe.to_str().unwrap()];
    for args in [["seed", "/dev/stdin"], seed_pipe] {
        for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
            let mut seed = home.command(&args).stdin(Stdio::piped()).spawn().unwrap();
            // Open until it has ended: the end of the input would end it, too.
            let _input = seed.stdin.take();
            let pid = i32::try_from(seed.id()).unwrap();
            wait_until("it handles signals", || signals_are_taken_over(pid));
            kill(signal, pid);
            assert_eq!(home.finish(&args, seed).code, Some(code));
        }
    }
}

#[test]
fn a_signal_ends_a_command_that_opens_a_pipe() {
    let home = Home::new();
    let kubeconfig = pipe(&home, "kubeconfig");
    let args = ["up", "--runtime", "kubernetes"];
    let up = home.command(&args).env("KUBECONFIG", kubeconfig).spawn().unwrap();
    let pid = i32::try_from(up.id()).unwrap();
    wait_until("it handles signals", || signals_are_taken_over(pid));
    kill("-INT", pid);
    assert_eq!(home.finish(&args, up).code, Some(130));
}

#[test]
fn pipes_in_the_state_folder_are_refused_unread() {
    for name in ["environment.lock", "containers.json", "cluster.json", "admin.key", "logs/x.log"] {
        let home = Home::new();
        home.must(&["up", "--port", "0", "--no-seed"]);
        home.must(&["stop"]);
        let file = home.environment().join(name);
        let _missing = fs::remove_file(&file);
        pipe(&home, file.strip_prefix(home.path()).unwrap().to_str().unwrap());
        let command = if name.starts_with("logs") { "logs" } else { "status" };
        let ran = home.run(&[command]);
        assert!(matches!(ran.code, Some(1 | 3)), "{name}: {ran}");
        fs::remove_file(&file).unwrap();
    }
}
