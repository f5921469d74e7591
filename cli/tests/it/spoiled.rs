//! Problems of the machine itself: damaged or hostile files, a disk that is full or read-only, a stopped process.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::chefcito::{Home, PATIENCE, kill, lives, wait_until};

/// The address space of a command that reads a file, in KiB, and the seconds that it may compute, however busy the machine is: a debug
/// build has some 200 MiB at rest and needs less than a second.
const LITTLE: &str = "-v 1048576 && ulimit -t 10";

#[test]
fn yaml_that_means_harm_is_refused_in_little_time_and_memory() {
    let home = Home::new();
    fs::create_dir_all(home.state()).unwrap();
    let laughs: String = (1..10)
        .map(|n| format!("l{n}: &l{n} [{}*l{}]\n", format!("*l{}, ", n - 1).repeat(9), n - 1))
        .collect();
    let list = format!("a: &a [{}x]\nb: [{}*a]\n", "x,".repeat(100_000), "*a,".repeat(100_000));
    let text = format!("a: &a {}\nb: [{}*a]\n", "x".repeat(400_000), "*a,".repeat(100_000));
    let cases: [(&str, Vec<u8>, &str); 11] = [
        ("laughs", format!("l0: &l0 ha\n{laughs}").into(), "its aliases repeat too much"),
        ("list", list.into(), "its aliases repeat too much"),
        ("text", text.into(), "its aliases repeat too much"),
        ("self", b"a: &a [*a]\n".to_vec(), "line 1"),
        ("deep", "[".repeat(500_000).into(), "line 1 column 129"),
        ("deep pairs", "[? ".repeat(300_000).into(), "line 1 column 385"),
        ("deep blocks", "- ".repeat(500_000).into(), "line 1 column 257"),
        ("huge", vec![b'#'; 10 * 1024 * 1024], "larger than 1 MiB"),
        ("binary", vec![0xff; 1_000], "line 1: it is not UTF-8"),
        ("broken", b"recipes:\n  - {name: soup\n".to_vec(), "line 2"),
        ("tabs", b"recipes:\n\t- soup\n".to_vec(), "line 2"),
    ];
    for (name, bytes, why) in cases {
        let file = home.state().join(format!("{name}.yaml"));
        fs::write(&file, bytes).unwrap();
        let ran = home.run_with_limit(LITTLE, &["seed", file.to_str().unwrap()]);
        assert_eq!(ran.code, Some(1), "{ran}");
        assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains(why), "{ran}");
    }
    for (file, why) in [("/dev/zero", "larger than 1 MiB"), ("/", "Is a directory")] {
        let ran = home.run_with_limit(LITTLE, &["seed", file]);
        assert!(ran.code == Some(1) && ran.stderr.contains(why), "{ran}");
    }
}

#[test]
fn data_behind_a_symbolic_link_are_not_said_to_be_gone() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--no-seed"]);
    home.must(&["stop"]);
    for folder in [home.environment().join("data"), home.environment()] {
        let elsewhere = home.path().join("elsewhere");
        fs::rename(&folder, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &folder).unwrap();
        let ran = home.run(&["down", "--volumes"]);
        assert_eq!(ran.code, Some(1), "{ran}");
        assert!(ran.stderr.contains("is a symbolic link to HOME/elsewhere"), "{ran}");
        assert!(fs::read_dir(&elsewhere).unwrap().next().is_some(), "its files are still there");
        fs::remove_file(&folder).unwrap();
        fs::rename(&elsewhere, &folder).unwrap();
    }
    home.must(&["down", "--volumes"]);
    assert!(!home.environment().exists());
}

#[test]
fn a_wrong_key_is_reported_and_up_repairs_it() {
    let home = Home::new();
    let up = ["up", "--port", "0"];
    home.must(&up);
    let file = home.environment().join("admin.key");
    let right = fs::read_to_string(&file).unwrap();
    let other = format!("cfk_local_{}", "0".repeat(64));
    let wrong: [(&[u8], &str); 5] = [
        (b"", "not an API key"),
        (b"nonsense", "not an API key"),
        (other.as_bytes(), "it does not hold the local admin key"),
        (b"a\nb", "not an API key"),
        (b"\xff\xfe", "cannot read HOME/.local/state/chefcito/chefcito/admin.key"),
    ];
    for (key, why) in wrong {
        fs::write(&file, key).unwrap();
        for command in [["status", "-q"], ["audit", "-q"], ["keys", "list"]] {
            let ran = home.run(&command);
            assert!(ran.code == Some(1) && ran.stderr.contains(why), "{ran}");
        }
        let started = home.run(&["start"]);
        assert_eq!(started.code, Some(1), "{started}");
    }
    let mended = home.must(&up);
    assert!(mended.stderr.contains("it does not accept the key in admin.key"), "{mended}");
    assert_ne!(fs::read_to_string(&file).unwrap(), right);
    home.must(&["status"]);

    fs::remove_file(&file).unwrap();
    let lost = home.run(&["status"]);
    assert_eq!(lost.code, Some(7), "{lost}");
    assert!(lost.stderr.contains("the admin key of `chefcito` is not known here"), "{lost}");
    assert!(lost.stderr.contains("`chefcito up` saves it"), "{lost}");
    home.must(&up);
    home.must(&["status"]);
}

#[test]
fn a_damaged_record_is_reported_and_up_repairs_it() {
    let home = Home::new();
    home.must(&["up", "--port", "0"]);
    let pid = home.embedded_pid();
    let record = home.environment().join("environment.json");
    let whole = fs::read(&record).unwrap();
    for damaged in
        [&whole[..whole.len() / 2], b"", b"\0\0\0\0", b"{\"address\": \"127.0.0.1:99999\"}"]
    {
        fs::write(&record, damaged).unwrap();
        let ran = home.run(&["status"]);
        assert_eq!(ran.code, Some(3), "{ran}");
        assert!(ran.stderr.contains("its environment.json is damaged"), "{ran}");
    }
    let up = home.must(&["up", "--port", "0"]);
    assert!(up.stderr.contains("it does not say where it listens"), "{up}");
    assert!(!lives(pid), "no orphan is left");
    home.must(&["status"]);

    fs::write(&record, "{").unwrap();
    let pid = home.embedded_pid();
    home.must(&["down"]);
    assert!(!lives(pid), "`down` needs no record");
}

#[test]
fn a_record_that_is_cut_off_is_an_error_that_changes_nothing() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--no-seed"]);
    home.must(&["stop"]);
    let settings = home.environment().join("settings.json");
    let whole = fs::read(&settings).unwrap();
    let refused = |args: &[&str], name: &str| {
        let ran = home.run(args);
        assert_eq!(ran.code, Some(1), "{ran}");
        assert!(ran.stderr.contains(&format!("{name} can't be read, so it is not known")), "{ran}");
        assert!(ran.stderr.contains("hint: restore it, or"), "{ran}");
    };
    for length in (0..whole.len()).step_by(23) {
        fs::write(&settings, &whole[..length]).unwrap();
        refused(&["down", "--volumes"], "settings.json");
        assert_eq!(fs::read(&settings).unwrap(), whole[..length]);
    }
    refused(&["up"], "settings.json");
    refused(&["status"], "settings.json");
    fs::write(&settings, &whole).unwrap();
    for name in ["containers.json", "cluster.json"] {
        let record = home.environment().join(name);
        fs::write(&record, "{\"version\": ").unwrap();
        refused(&["order"], name);
        fs::remove_file(record).unwrap();
    }
    assert!(
        fs::read_dir(home.environment().join("data")).unwrap().count() > 0,
        "the data are there"
    );
    home.must(&["start"]);
}

#[test]
fn a_record_of_a_newer_version_is_an_error_that_changes_nothing() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--no-seed"]);
    let pid = home.embedded_pid();
    let refused = |args: &[&str], name: &str| {
        let ran = home.run(args);
        assert_eq!(ran.code, Some(1), "{ran}");
        let what = format!("{name}: it has the format 2, and this version knows 1");
        assert!(
            ran.stderr.contains(&what) && ran.stderr.contains("hint: use that version"),
            "{ran}"
        );
    };
    for name in
        ["environment.json", "settings.json", "identity.json", "containers.json", "cluster.json"]
    {
        let record = home.environment().join(name);
        let before = fs::read_to_string(&record).ok();
        let newer = match &before {
            Some(before) => before.replace("\"format\": 1", "\"format\": 2"),
            None => "{\"format\": 2}".into(),
        };
        assert_ne!(Some(&newer), before.as_ref(), "{name} has a format");
        fs::write(&record, &newer).unwrap();
        for args in [&["up", "--port", "0"][..], &["down", "--volumes"]] {
            refused(args, name);
            assert_eq!(fs::read_to_string(&record).unwrap(), newer);
            assert!(lives(pid) && home.environment().join("data").exists());
        }
        match before {
            Some(before) => fs::write(&record, before).unwrap(),
            None => fs::remove_file(&record).unwrap(),
        }
    }
    home.must(&["status"]);
}

#[test]
fn the_state_folder_of_an_earlier_version_is_refused_and_stays_as_it_is() {
    for (file, content, found) in [
        ("house.lock", "4711\n", "house.lock, which is environment.lock now"),
        ("house.json", "{}", "house.json, which is environment.json now"),
        (
            "cluster.json",
            "{\"place\": {}}",
            "cluster.json with the field `place`, which is `target` now",
        ),
    ] {
        let home = Home::new();
        let folder = home.environment();
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(file), content).unwrap();
        fs::write(folder.join("settings.json"), "{}").unwrap();
        for args in [
            &["up", "--port", "0"][..],
            &["up", "--dry-run"],
            &["start"],
            &["status"],
            &["order"],
            &["logs"],
            &["down"],
            &["down", "--volumes"],
        ] {
            let ran = home.run(args);
            assert_eq!(ran.code, Some(1), "{ran}");
            let folder = "HOME/.local/state/chefcito/chefcito";
            let what = format!(
                "an earlier version of chefcito made the state folder {folder}: it has {found}"
            );
            assert!(ran.stderr.contains(&what), "{ran}");
            let hint = "close the environment with `chefcito down` of the version that made it";
            assert!(ran.stderr.contains(hint), "{ran}");
            assert!(ran.stderr.contains(&format!("remove {folder}")), "{ran}");
        }
        let mut left: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        let mut there = [file, "settings.json"];
        there.sort_unstable();
        assert_eq!(left, there, "nothing is added or removed");
        assert_eq!(fs::read_to_string(folder.join(file)).unwrap(), content);
        home.must(&["man"]);
    }
}

#[test]
fn a_damaged_database_is_named_and_left_alone() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--cooking-time", "0s"]);
    home.must(&["order", "--count", "20"]);
    home.must(&["stop"]);
    let file = home.environment().join("data/orders.sqlite");
    let whole = fs::read(&file).unwrap();
    let mut holed = whole.clone();
    holed[4_096..].fill(0x5a);
    for damaged in [vec![0x5a; 20_000], holed, whole[..8_192].to_vec()] {
        fs::write(&file, &damaged).unwrap();
        let ran = home.run(&["start"]);
        assert_eq!(ran.code, Some(1), "{ran}");
        assert!(ran.stderr.contains("can't open the database of orders"), "{ran}");
        assert!(!ran.stderr.contains("panicked"), "{ran}");
        assert_eq!(home.run(&["status"]).code, Some(3), "nothing runs half");
        assert!(fs::read(&file).unwrap() == damaged, "what is damaged may still be saved");
    }
    fs::write(&file, &whole).unwrap();
    home.must(&["start"]);
    home.must(&["order", "--count", "5"]);
    home.must(&["audit"]);
}

/// A home whose state is on a disk of its own. Dropped before the disk, so that nothing runs on it then.
struct Drive {
    home: Home,
    disk: Disk,
}

struct Disk(PathBuf);

impl Drive {
    /// Mounts a disk of that size; `None`, with a printed line, if that is not allowed.
    fn mount(size: &str) -> Option<Self> {
        let home = Home::new();
        let place = home.state().parent().unwrap().to_owned();
        fs::create_dir_all(&place).unwrap();
        let mounted = mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], &place);
        if !mounted {
            test_support::lacking("a disk of its own, which root may mount outside a container");
            return None;
        }
        Some(Self { home, disk: Disk(place) })
    }

    fn remount(&self, options: &str) {
        assert!(mount(&["-o", &format!("remount,{options}")], &self.disk.0));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(args: &[&str], place: &Path) -> bool {
    let mount = Command::new("mount").args(args).arg(place).stderr(Stdio::null()).status();
    mount.is_ok_and(|status| status.success())
}

/// Fills the disk.
fn fill(path: &Path) {
    let mut piece = 64 * 1024;
    let mut ballast = fs::File::create(path).unwrap();
    while piece > 0 {
        match std::io::Write::write_all(&mut ballast, &vec![0; piece]) {
            Ok(()) => {}
            Err(_) => piece /= 2,
        }
    }
}

#[test]
fn a_full_disk_refuses_orders_and_keeps_those_that_it_took() {
    let Some(drive) = Drive::mount("24m") else { return };
    let home = &drive.home;
    let up = home.must(&["up", "--port", "0", "--cooking-time", "0s", "--stoves", "64"]);
    assert!(up.stdout.starts_with("http://"), "{up}");
    let pid = home.embedded_pid();
    let ledger = |name: &str| drive.disk.0.with_file_name(name).to_str().unwrap().to_owned();
    let (before, full, after) = (ledger("before"), ledger("full"), ledger("after"));
    home.must(&["order", "--count", "50", "--ledger", &before]);

    let ballast = home.environment().join("ballast");
    fill(&ballast);
    let crowd = ["order", "--count", "200", "--timeout", "2s", "--no-wait", "--ledger", &full];
    let refused = home.run(&crowd);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("The service can't answer now (503)"), "{refused}");
    assert!(lives(pid), "the environment stands");
    let unnoted = home.run(&["order", "--timeout", "1s"]);
    assert_eq!(unnoted.code, Some(1), "{unnoted}");

    fs::remove_file(&ballast).unwrap();
    home.must(&["order", "--count", "50", "--ledger", &after]);
    let ledgers = ["--ledger", &before, "--ledger", &full, "--ledger", &after];
    home.must(&[&["audit"][..], &ledgers].concat());
    assert_eq!(home.embedded_pid(), pid, "it is the same process");
    for log in fs::read_dir(home.environment().join("logs")).unwrap() {
        for line in fs::read_to_string(log.unwrap().path()).unwrap().lines() {
            serde_json::from_str::<serde_json::Value>(line).expect("every line is whole");
        }
    }
}

#[test]
fn an_environment_does_not_open_on_a_disk_that_takes_nothing() {
    let Some(drive) = Drive::mount("64k") else { return };
    let ran = drive.home.run(&["up", "--port", "0"]);
    assert!(matches!(ran.code, Some(1 | 7)), "{ran}");
    let why =
        ["No space left on device", "the disk of HOME/.local/state/chefcito/chefcito is full"];
    assert!(why.iter().any(|why| ran.stderr.contains(why)), "{ran}");

    let Some(drive) = Drive::mount("24m") else { return };
    drive.home.must(&["up", "--port", "0"]);
    drive.home.must(&["stop"]);
    drive.remount("ro");
    for command in [&["up", "--port", "0"][..], &["start"], &["down", "--volumes"]] {
        let ran = drive.home.run(command);
        assert!(matches!(ran.code, Some(1 | 7)), "{ran}");
        assert!(ran.stderr.contains("Read-only file system"), "{ran}");
    }
    assert_eq!(drive.home.run(&["status"]).code, Some(3));
    drive.remount("rw");
    drive.home.must(&["start"]);
}

#[test]
fn an_environment_that_stands_still_is_not_waited_for_for_ever() {
    let home = Home::new();
    let up = ["up", "--port", "0", "--timeout", "2s"];
    home.must(&["up", "--port", "0", "--cooking-time", "0s"]);
    let pid = home.embedded_pid();
    kill("-STOP", pid);
    let since = Instant::now();
    let commands: [(&[&str], i32, &str); 7] = [
        (&["status"], 1, "did not answer `GET /v1/status` within 10s"),
        (&["audit", "--timeout", "1s"], 1, "did not answer `GET /v1/status` within 10s"),
        (&["audit", "--live"], 1, "did not answer `GET /v1/status` within 10s"),
        (&["seed"], 1, "did not answer `PUT /v1/recipes` within 30s"),
        (&["market"], 1, "did not answer `GET /v1/market` within 30s"),
        (&["order", "--timeout", "2s"], 1, "no answer within 2s"),
        (
            &["up", "--port", "0", "--cooking-time", "0s", "--timeout", "2s"],
            4,
            "it does not answer",
        ),
    ];
    let running: Vec<_> = commands.iter().map(|(args, ..)| home.start(args)).collect();
    for ((args, code, why), child) in commands.iter().zip(running) {
        let ran = home.finish(args, child);
        assert_eq!(ran.code, Some(*code), "{ran}");
        assert!(ran.stderr.contains(why), "{ran}");
    }
    assert!(since.elapsed() < Duration::from_secs(30) + PATIENCE, "{:?}", since.elapsed());
    kill("-CONT", pid);
    wait_until("it goes on as if nothing had been", || home.run(&["status"]).code == Some(0));
    home.must(&["order", "--count", "5"]);
    home.must(&["audit"]);

    kill("-STOP", pid);
    let down = home.must(&["down"]);
    assert!(down.stderr.contains("did not end after SIGTERM and was killed"), "{down}");
    assert!(!lives(pid));
    home.must(&up);
}
