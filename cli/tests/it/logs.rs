//! Log files as the services write them, read by the real binary.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    sync::mpsc,
    thread,
};

use contracts::{
    Timestamp,
    services::{KITCHEN, ORDERS},
};

use crate::chefcito::{Home, PATIENCE};

fn line(second: u32, level: &str, service: &str, message: &str) -> String {
    format!(
        r#"{{"time":"2026-01-31T12:{:02}:{:02}.000000Z","level":"{level}","service":"{service}","message":"{message}"}}"#,
        second / 60,
        second % 60
    )
}

fn folder(home: &Home) -> PathBuf {
    let folder = home.environment().join("logs");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn append(home: &Home, file: &str, lines: &[String]) {
    let mut file =
        OpenOptions::new().append(true).create(true).open(folder(home).join(file)).unwrap();
    file.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
}

fn a_day_in_the_kitchen() -> Home {
    let home = Home::new();
    let order = r#","order_id":"0192f3c4-5a6b-7c8d-9e0f-112233445566","dish":"pizza"}"#;
    let placed = line(2, "INFO", ORDERS, "Placed").replace('}', order);
    append(&home, "orders.log", &[placed, line(6, "INFO", ORDERS, "Delivered")]);
    append(&home, "kitchen.log.1", &[line(1, "DEBUG", KITCHEN, "Lit the stoves")]);
    append(
        &home,
        "kitchen.log",
        &[line(3, "INFO", KITCHEN, "Cooking"), line(5, "WARN", KITCHEN, "Smoke")],
    );
    append(
        &home,
        "embedded.log",
        &["thread 'main' panicked at the oven:".into(), "too hot".into()],
    );
    home
}

#[test]
fn lines_of_all_services_are_merged_by_time() {
    let home = a_day_in_the_kitchen();
    fs::remove_file(home.environment().join("logs/embedded.log")).unwrap();
    insta::assert_snapshot!(home.must(&["logs"]).stdout, @r"
    2026-01-31 12:00:01.000 kitchen    DEBUG Lit the stoves
    2026-01-31 12:00:02.000 orders     Placed order_id=0192f3c4-5a6b-7c8d-9e0f-112233445566 dish=pizza
    2026-01-31 12:00:03.000 kitchen    Cooking
    2026-01-31 12:00:05.000 kitchen    WARN Smoke
    2026-01-31 12:00:06.000 orders     Delivered
    ");
    assert_eq!(home.must(&["logs"]).stdout, home.must(&["logs", "--tail", "all"]).stdout);
}

#[test]
fn lines_since_a_time_are_shown_although_the_clock_went_back() {
    let home = Home::new();
    let lines = [line(90, "INFO", KITCHEN, "before"), line(30, "INFO", KITCHEN, "set back")];
    append(&home, "kitchen.log", &lines);
    append(
        &home,
        "orders.log",
        &[line(10, "INFO", ORDERS, "early"), line(70, "INFO", ORDERS, "x")],
    );
    for tail in ["9", "all"] {
        let ran = home.must(&["logs", "--since", "2026-01-31T12:01:00Z", "--tail", tail]);
        let mut messages: Vec<&str> =
            ran.stdout.lines().filter_map(|line| line.split(' ').next_back()).collect();
        messages.sort_unstable();
        assert_eq!(messages, ["before", "x"], "{ran}");
    }
}

#[test]
fn what_a_dying_process_printed_is_an_error_of_the_environment() {
    let home = a_day_in_the_kitchen();
    let stdout = home.must(&["logs", "embedded"]).stdout;
    assert!(stdout.contains("embedded   ERROR thread 'main' panicked at the oven:\n"), "{stdout}");
    assert!(stdout.ends_with("embedded   ERROR too hot\n"), "{stdout}");
}

#[test]
fn lines_are_chosen() {
    let home = a_day_in_the_kitchen();
    let chosen = |args: &str| {
        let args: Vec<&str> =
            ["logs", KITCHEN, ORDERS, "--json"].into_iter().chain(args.split(' ')).collect();
        let stdout = home.must(&args).stdout;
        let message = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["message"].as_str().unwrap().to_owned()
        };
        stdout.lines().map(message).collect::<Vec<_>>()
    };
    assert_eq!(chosen("--level warn"), ["Smoke"]);
    assert_eq!(chosen("--grep pizza"), ["Placed"]);
    assert_eq!(chosen("--order 0192f3c4-5a6b-7c8d-9e0f-112233445566"), ["Placed"]);
    for beginning in ["0", "0192F3C4", "0192f3c4-5a6b"] {
        assert_eq!(chosen(&format!("--order {beginning}")), ["Placed"]);
    }
    assert_eq!(chosen("--order 1"), [""; 0]);
    assert_eq!(chosen("--since 2026-01-31T12:00:05Z"), ["Smoke", "Delivered"]);
    assert_eq!(chosen("--until 2026-01-31T12:00:03Z"), ["Lit the stoves", "Placed"]);
    let time = "--since 2026-01-31T12:00:02Z --until 2026-01-31T12:00:06Z";
    for tail in ["", " --tail 3", " -n all", " -n 4"] {
        assert_eq!(chosen(&(time.to_owned() + tail)), ["Placed", "Cooking", "Smoke"]);
    }
    assert_eq!(chosen("--until 1s -n 1"), ["Delivered"]);
    assert_eq!(chosen("-n1"), ["Delivered"]);
    assert_eq!(
        chosen("--since 2026-01-31T12:00:03Z --tail all"),
        ["Cooking", "Smoke", "Delivered"]
    );
    assert_eq!(chosen("--since 1s"), [""; 0]);
    assert_eq!(chosen("--tail 1"), ["Delivered"]);
    assert_eq!(chosen("--tail 0"), [""; 0]);
}

#[test]
fn times_are_of_the_zone_of_the_machine_or_of_utc() {
    let home = a_day_in_the_kitchen();
    let first = |zone: &str, args: &[&str]| {
        let args = [&["logs", ORDERS][..], args].concat();
        let stdout = home.command(&args).env("TZ", zone).output().unwrap().stdout;
        String::from_utf8(stdout).unwrap().split(" orders").next().unwrap().to_owned()
    };
    for zone in ["Asia/Kathmandu", ":Asia/Kathmandu", "<+0545>-5:45"] {
        assert_eq!(first(zone, &[]), "2026-01-31 17:45:02.000", "{zone}");
        assert_eq!(first(zone, &["--utc"]), "2026-01-31 12:00:02.000Z", "{zone}");
        assert_eq!(first(zone, &["--timestamps"]), "2026-01-31T17:45:02.000000+05:45", "{zone}");
        assert_eq!(first(zone, &["-t", "--utc"]), "2026-01-31T12:00:02.000000Z", "{zone}");
    }
    assert_eq!(first("No/Such_Zone", &[]), "2026-01-31 12:00:02.000");
    let now = format!(r#"{{"time":"{}","message":"Now"}}"#, Timestamp::now());
    append(&home, "orders.log", &[now]);
    let stdout = home.must(&["logs", "-n", "1"]).stdout;
    let time = stdout.split(' ').next().unwrap();
    assert!(time.len() == "12:00:00.000".len() || stdout.contains("00:00:0"), "{stdout}");
}

#[test]
fn times_and_options_that_exclude_each_other_are_usage_errors() {
    let home = a_day_in_the_kitchen();
    for args in [
        "-f --until 1s",
        "--since 2026-01-31T12:00:05Z --until 2026-01-31T12:00:04Z",
        "--until noon",
        "-n some",
        "--order pizza",
        "--json --utc",
    ] {
        let args: Vec<&str> = ["logs"].into_iter().chain(args.split(' ')).collect();
        let ran = home.run(&args);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran}");
    }
}

#[test]
fn on_a_terminal_ids_of_orders_are_short_and_services_have_colours() {
    let home = Home::new();
    let about = |order: &str| {
        line(2, "INFO", ORDERS, &format!("Placed {order}"))
            .replace('}', &format!(r#","order_id":"{order}"}}"#))
    };
    let alike = ["566", "567", "566"].map(|end| format!("0192f3c4-5a6b-7c8d-9e0f-112233445{end}"));
    append(&home, "orders.log", &alike.each_ref().map(|order| about(order)));
    let program = env!("CARGO_BIN_EXE_chefcito");
    let shown = |args: &str| {
        let child = home.on_terminal(&format!("{program} {args}"), "xterm")?;
        Some(home.finish(&[args], child).stdout.replace('\r', ""))
    };
    let Some(colored) = shown("logs") else { return };
    let first = "\u{1b}[2m2026-01-31 12:00:02.000\u{1b}[0m \u{1b}[32morders    \u{1b}[0m Placed 0192f3c4-5a6b";
    assert_eq!(colored.lines().next(), Some(first), "{colored:?}");
    insta::assert_snapshot!(shown("--color never logs").unwrap(), @r"
    2026-01-31 12:00:02.000 orders     Placed 0192f3c4-5a6b
    2026-01-31 12:00:02.000 orders     Placed 0192f3c4-5a6b-7c8d-9e0f-112233445567
    2026-01-31 12:00:02.000 orders     Placed 0192f3c4-5a6b
    ");
    let asked = line(3, "INFO", "gateway", "Asked").replace('}', r#","trace":"00-5d49-02"}"#);
    append(&home, "gateway.log", &[asked]);
    for (args, ends) in
        [("logs -n 1", "Asked"), ("logs -v -n 1", "trace=00-5d49-02"), ("logs -n 1 | cat", "-02")]
    {
        let shown = shown(&format!("--color never {args}")).unwrap();
        assert!(shown.trim_end().ends_with(ends), "{args}: {shown}");
    }
    let piped = home.must(&["logs"]).stdout;
    assert!(alike.iter().all(|order| piped.contains(order)), "{piped}");
}

#[test]
fn json_lines_carry_their_version() {
    let home = a_day_in_the_kitchen();
    insta::assert_snapshot!(home.must(&["logs", ORDERS, "--json"]).stdout, @r#"
    {"schema_version":1,"time":"2026-01-31T12:00:02.000000Z","level":"INFO","service":"orders","message":"Placed","order_id":"0192f3c4-5a6b-7c8d-9e0f-112233445566","dish":"pizza"}
    {"schema_version":1,"time":"2026-01-31T12:00:06.000000Z","level":"INFO","service":"orders","message":"Delivered"}
    "#);
}

#[test]
fn how_many_are_left_out_is_said() {
    let home = Home::new();
    append(
        &home,
        "kitchen.log",
        &(0..201).map(|n| line(n, "INFO", KITCHEN, "Cooking")).collect::<Vec<_>>(),
    );
    let ran = home.must(&["logs"]);
    assert_eq!(ran.stdout.lines().count(), 200);
    assert_eq!(ran.stderr, "The last 200 lines; `-n all` shows all\n");
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let home = Home::new();
    let lines: Vec<String> =
        (0..5000).map(|n| line(n % 3600, "INFO", KITCHEN, "Cooking")).collect();
    append(&home, "kitchen.log", &lines);
    let args = ["logs", "--tail", "all"];
    let mut child = home.start(&args);
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let ran = home.finish(&args, child);
    assert!(first.contains("Cooking") && ran.stderr.is_empty() && ran.code == Some(0), "{ran}");
}

/// A `logs -f` whose lines are awaited one by one.
struct Following {
    lines: mpsc::Receiver<String>,
    child: std::process::Child,
}

impl Following {
    fn begin(home: &Home, args: &[&str]) -> Self {
        let mut child = home.start(&[&["logs", "-f"], args].concat());
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { lines, child }
    }

    fn next(&self) -> String {
        let line = self.lines.recv_timeout(PATIENCE).expect("a line comes in time");
        line.split_whitespace().skip(3).collect::<Vec<_>>().join(" ")
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _buried = self.child.wait();
    }
}

#[test]
fn following_survives_rotation_truncation_and_new_files() {
    let home = Home::new();
    append(&home, "kitchen.log", &[line(1, "INFO", KITCHEN, "one")]);
    let following = Following::begin(&home, &[]);
    assert_eq!(following.next(), "one");

    append(&home, "kitchen.log", &[line(2, "INFO", KITCHEN, "two")]);
    assert_eq!(following.next(), "two");

    // Rotated right after a line was written to the old file.
    append(&home, "kitchen.log", &[line(3, "INFO", KITCHEN, "three")]);
    fs::rename(folder(&home).join("kitchen.log"), folder(&home).join("kitchen.log.1")).unwrap();
    append(&home, "kitchen.log", &[line(4, "INFO", KITCHEN, "four")]);
    assert_eq!([following.next(), following.next()], ["three", "four"]);

    File::create(folder(&home).join("kitchen.log")).unwrap();
    append(&home, "orders.log", &[line(5, "INFO", ORDERS, "five")]);
    assert_eq!(following.next(), "five");
    append(&home, "kitchen.log", &[line(6, "INFO", KITCHEN, "six")]);
    assert_eq!(following.next(), "six");

    // An incomplete line is not printed.
    let mut file = OpenOptions::new().append(true).open(folder(&home).join("orders.log")).unwrap();
    let whole = line(7, "INFO", ORDERS, "seven") + "\n";
    file.write_all(&whole.as_bytes()[..20]).unwrap();
    append(&home, "kitchen.log", &[line(8, "INFO", KITCHEN, "eight")]);
    assert_eq!(following.next(), "eight");
    file.write_all(&whole.as_bytes()[20..]).unwrap();
    assert_eq!(following.next(), "seven");
}

#[test]
fn following_many_rotations_loses_no_line_and_shows_none_twice() {
    // No more files than are kept, so that none is dropped before it is read.
    const LINES: u32 = 3_600;
    const ROTATE_EVERY: u32 = 1_000;
    let home = Home::new();
    append(&home, "orders.log", &[line(0, "INFO", ORDERS, "begin")]);
    let following = Following::begin(&home, &[]);
    let name = |age: u32| {
        folder(&home).join(if age == 0 {
            "kitchen.log".into()
        } else {
            format!("kitchen.log.{age}")
        })
    };
    assert_eq!(following.next(), "begin");
    for n in 0..LINES {
        if n > 0 && n % ROTATE_EVERY == 0 {
            for age in (0..3).rev() {
                let _ = fs::rename(name(age), name(age + 1));
            }
        }
        append(&home, "kitchen.log", &[line(n % 3600, "INFO", KITCHEN, &n.to_string())]);
    }
    for n in 0..LINES {
        assert_eq!(following.next(), n.to_string());
    }
}
