//! Orders, their stories, and the proof that none was lost.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, path::PathBuf};

use serde_json::Value;

use crate::chefcito::{Home, kill, wait_until};

/// An environment whose kitchen takes no time.
fn fast_environment() -> Home {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--cooking-time", "1ms", "--stoves", "64"]);
    home
}

/// The ledger of the only run.
fn ledger(home: &Home) -> PathBuf {
    fs::read_dir(home.environment().join("ledgers")).unwrap().next().unwrap().unwrap().path()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn fifty_orders_are_followed_to_the_table_and_audited() {
    let home = fast_environment();
    let orders = home.must(&["order", "--count", "50"]);
    assert!(orders.stdout.contains("50 accepted, 50 delivered\n"), "{orders}");
    assert!(orders.stderr.contains("chefcito story "), "{orders}");

    let ledger = ledger(&home);
    assert_eq!(fs::read_to_string(&ledger).unwrap().lines().count(), 50);
    let audit = json(&home.must(&["audit", "--json", "--ledger", ledger.to_str().unwrap()]).stdout);
    assert_eq!(
        (&audit["schema_version"], &audit["passed"], &audit["quiet"]),
        (&1.into(), &true.into(), &true.into())
    );

    let invented = ledger.with_file_name("invented.txt");
    fs::write(&invented, "0192f3c4-5a6b-7c8d-9e0f-112233445566 a-key\n").unwrap();
    let broken = home.run(&["audit", "--ledger", invented.to_str().unwrap()]);
    assert_eq!(broken.code, Some(6), "{broken}");
    assert!(broken.stdout.contains("0192f3c4-5a6b-7c8d-9e0f-112233445566"), "{broken}");
    let after_blanks =
        format!("{}0192f3c4-5a6b-7c8d-9e0f-112233445566 a-key\n", "\n".repeat(2_000));
    fs::write(&invented, after_blanks).unwrap();
    assert_eq!(home.run(&["audit", "--ledger", invented.to_str().unwrap()]).code, Some(6));
    fs::write(&invented, "\n\n").unwrap();
    let empty = home.must(&["audit", "--ledger", invented.to_str().unwrap()]);
    assert!(empty.stderr.contains("invented.txt is empty: this ledger has no order"), "{empty}");
    fs::write(&invented, "\nnonsense\n").unwrap();
    let bad = home.run(&["audit", "--ledger", invented.to_str().unwrap()]);
    assert_eq!(bad.code, Some(1), "{bad}");
    assert!(bad.stderr.contains("invented.txt: line 2: `nonsense` is not an id"), "{bad}");
}

#[test]
fn an_order_is_named_by_a_beginning_of_its_id_that_no_other_has() {
    // More than one answer lists, so that the order is searched for.
    const ORDERS: usize = 2_300;
    let home = fast_environment();
    let count = ORDERS.to_string();
    home.must(&["order", "--count", &count, "--concurrency", "64", "--no-wait"]);
    let text = fs::read_to_string(ledger(&home)).unwrap();
    let mut ids: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    ids.sort_unstable();
    assert_eq!(ids.len(), ORDERS);
    let alike = |beginning: &str| ids.iter().filter(|id| id.starts_with(beginning)).count();

    for id in [ids[0], ids[ORDERS / 2], ids[ORDERS - 1]] {
        let length = (1..=id.len()).find(|length| alike(&id[..*length]) == 1).unwrap();
        let story = json(&home.must(&["story", "--json", &id[..length]]).stdout);
        assert_eq!(story["order"], id);
        if alike(&id[..length - 1]) < 10 {
            let several = home.run(&["story", &id[..length - 1]]);
            assert_eq!(several.code, Some(2), "{several}");
            assert!(several.stderr.contains(id), "{several}");
        }
    }
    let any = home.run(&["cancel", &ids[0][..2]]);
    assert_eq!((any.code, any.stdout.as_str()), (Some(2), ""), "{any}");
    let listed = any.stderr.lines().filter(|line| ids.iter().any(|id| line.contains(id))).count();
    assert!(listed == 10 && any.stderr.contains("Usage: chefcito cancel"), "{any}");

    for (command, unknown) in [("story", "ffff"), ("cancel", "0000-"), ("story", "01a22892-26c8")] {
        let ran = home.run(&[command, unknown.trim_end_matches('-')]);
        assert_eq!(ran.code, Some(1), "{ran}");
        assert!(ran.stderr.starts_with("error: there is no order"), "{ran}");
    }
    let last = ids[ORDERS - 1];
    wait_until("the last one is delivered", || {
        let story = json(&home.must(&["story", "--json", last]).stdout);
        story["events"].as_array().unwrap().iter().any(|event| event["event"] == "order.delivered")
    });
    let late = home.run(&["cancel", &last[..35]]);
    assert_eq!(late.code, Some(1), "{late}");
}

#[test]
fn times_of_a_story_are_of_the_zone_that_its_heading_names() {
    let home = fast_environment();
    let order = home.must(&["order"]).stdout;
    let order = order.split(' ').next().unwrap();
    let story = |zone: &str, flags: &[&str]| {
        let args = [&["story", order][..], flags].concat();
        let stdout = home.command(&args).env("TZ", zone).output().unwrap().stdout;
        let text = String::from_utf8(stdout).unwrap();
        let mut lines = text.lines().map(str::trim_start);
        (lines.next().unwrap().to_owned(), lines.next().unwrap().to_owned())
    };
    let (heading, first) = story("XYZ-5:45", &[]);
    let (heading_in_utc, first_in_utc) = story("XYZ-5:45", &["--utc"]);
    assert!(heading.starts_with("time (XYZ)"), "{heading}");
    assert!(heading_in_utc.starts_with("time (UTC)"), "{heading_in_utc}");
    let minutes = |line: &str| {
        let clock = line.split_whitespace().find(|word| word.contains(':')).unwrap();
        let mut parts = clock.split(':').map(|part| part.parse::<f64>().unwrap_or_default());
        parts.next().unwrap() * 60.0 + parts.next().unwrap()
    };
    let ahead = (minutes(&first) - minutes(&first_in_utc)).rem_euclid(24.0 * 60.0);
    assert!((ahead - 345.0).abs() < 0.5, "{first} is {first_in_utc} in UTC");
}

#[test]
fn a_kitchen_without_a_menu_rejects_all_orders() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--no-seed"]);
    let one = home.run(&["order"]);
    assert_eq!(one.code, Some(1), "{one}");
    assert!(one.stderr.contains("error: the kitchen rejected the order"), "{one}");
    let many = home.run(&["order", "--count", "5"]);
    assert_eq!(many.code, Some(1), "{many}");
    assert!(many.stderr.contains("error: the kitchen rejected all 5 orders"), "{many}");
    for limit in ["delivered.p99>1s", "delivered.max<1s", "rejected>0"] {
        let ran = home.run(&["order", "--count", "5", "--fail-if", limit]);
        assert_eq!(ran.code, Some(5), "{ran}");
    }
    let ran = home.run(&["order", "--fail-if", "delivered.p99>1s"]);
    let sentence = "limit crossed: delivered.p99>1s (it is unknown: no order was delivered)";
    assert!(ran.stderr.contains(sentence), "{ran}");
}

#[test]
fn scripts_get_figures_and_limits() {
    let home = fast_environment();
    let open = ["order", "--rate", "200", "--duration", "1s", "--json", "--fail-if", "errors>0"];
    let figures = json(&home.must(&open).stdout);
    assert_eq!((&figures["schema_version"], &figures["model"]), (&1.into(), &"open".into()));
    assert_eq!((&figures["accepted"], &figures["delivered"]), (&200.into(), &200.into()));
    assert_eq!(figures["sent_late"]["count"], 200);

    let crossed = home.run(&["order", "--count", "5", "--json", "--fail-if", "delivered.p50>=1us"]);
    assert_eq!(crossed.code, Some(5), "{crossed}");
    assert_eq!(json(&crossed.stdout)["limits_crossed"][0]["limit"], "delivered.p50>=1us");
}

#[test]
fn more_connections_than_the_usual_limit_of_open_files_lose_nothing() {
    let home = fast_environment();
    let order = ["order", "--count", "600", "--concurrency", "300", "--json"];
    let figures = json(&home.run_with_limit("-Sn 256", &order).stdout);
    assert_eq!((&figures["delivered"], &figures["connections_lost"]), (&600.into(), &0.into()));
}

#[test]
fn an_impossible_order_is_refused() {
    let home = Home::new();
    assert_eq!(home.run(&["order"]).code, Some(3), "nothing is running");
    home.must(&["up", "--port", "0"]);
    let soup = home.run(&["order", "--dish", "soup", "--count", "100"]);
    assert_eq!(soup.code, Some(1), "{soup}");
    assert!(soup.stderr.contains("`soup` is not on the menu"), "{soup}");
    let wrong: [&[&str]; 9] = [
        &["order", "--count", "0"],
        &["order", "--count", "-1"],
        &["order", "--rate", "0"],
        &["order", "--rate", "inf"],
        &["order", "--concurrency", "0"],
        &["order", "--timeout", "0s"],
        &["order", "--fail-if", "p99>1s"],
        &["cancel"],
        &["story", "nonsense"],
    ];
    for wrong in wrong {
        assert_eq!(home.run(wrong).code, Some(2), "{wrong:?}");
    }
    let unknowable = home.run(&["order", "--no-wait", "--fail-if", "undelivered>0"]);
    assert_eq!(unknowable.code, Some(2), "{unknowable}");
}

#[test]
fn a_story_is_printed_and_a_dish_on_the_stove_is_not_cancelled() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--cooking-time", "1m"]);
    let late = home.run(&["order", "--dish", "burger", "--timeout", "300ms", "--json"]);
    assert_eq!(late.code, Some(4), "{late}");
    let order = json(&late.stdout)["first_orders"][0].as_str().unwrap().to_owned();
    wait_until("the burger is on the stove", || {
        home.must(&["story", &order]).stdout.contains("cooking.started")
    });

    let refused = home.run(&["cancel", &order]);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("on the stove"), "{refused}");
    let story = home.must(&["story", &order, "--json"]);
    let events = json(&story.stdout)["events"].as_array().unwrap().clone();
    let names: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    assert!(
        names.starts_with(&["order.placed", "ingredients.requested", "ingredients.reserved"]),
        "{names:?}"
    );

    let busy = home.run(&["audit", "--timeout", "100ms"]);
    assert_eq!(busy.code, Some(4), "{busy}");
    home.must(&["audit", "--live"]);
}

#[test]
fn an_order_that_waits_for_the_market_is_cancelled() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--no-seed"]);
    home.must(&["market", "set", "--outage", "on"]);
    home.must(&["seed", "--set", "rice=0"]);
    home.must(&["seed"]);
    // The opening five are enough for one pizza; the second waits.
    home.must(&["order", "--dish", "pizza", "--count", "1"]);
    let waiting = home.must(&["order", "--dish", "pizza", "--no-wait", "--json"]);
    let order = json(&waiting.stdout)["first_orders"][0].as_str().unwrap().to_owned();
    let cancelled = home.must(&["cancel", &order]);
    assert_eq!(cancelled.stdout, format!("{order} is cancelled\n"));
}

#[test]
fn ctrl_c_reports_what_was_accepted() {
    let home = fast_environment();
    let command = ["order", "--duration", "60s", "--concurrency", "2", "--json"];
    let ordering = home.start(&command);
    let ledgers = home.environment().join("ledgers");
    let written = || {
        let files = fs::read_dir(&ledgers).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).any(|file| file.len() > 0)
    };
    wait_until("orders are accepted", written);
    kill("-INT", i32::try_from(ordering.id()).unwrap());
    let ended = home.finish(&command, ordering);
    assert_eq!(ended.code, Some(130), "{ended}");
    let figures = json(&ended.stdout);
    assert_eq!(figures["interrupted"], true);
    let ledger = ledger(&home);
    let noted = fs::read_to_string(&ledger).unwrap().lines().count();
    assert_eq!(noted as u64, figures["accepted"].as_u64().unwrap());
    home.must(&["audit", "--ledger", ledger.to_str().unwrap()]);
}

#[test]
fn orders_outlive_the_environment_that_took_them() {
    let home = Home::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
        .to_string();
    let up = ["up", "--port", &port, "--cooking-time", "1ms", "--stoves", "64"];
    home.must(&up);
    let command = ["order", "--rate", "200", "--duration", "4s", "--json"];
    let ordering = home.start(&command);
    let delivered = || {
        json(&home.must(&["status", "--json"]).stdout)["orders"]["delivered"].as_i64().unwrap_or(0)
    };
    wait_until("some orders are delivered", || delivered() > 20);
    kill("-KILL", home.embedded_pid());
    home.must(&up);
    let ended = home.finish(&command, ordering);
    assert_eq!(ended.code, Some(0), "{ended}");
    let figures = json(&ended.stdout);
    assert_eq!((&figures["accepted"], &figures["delivered"]), (&800.into(), &800.into()));
    assert!(figures["connections_lost"].as_u64().unwrap() > 0, "{ended}");
    home.must(&["audit", "--ledger", ledger(&home).to_str().unwrap()]);
}

#[test]
fn a_report_is_json_whatever_the_paths_are() {
    let home = fast_environment();
    let path = |name: &[u8]| home.path().join(OsStr::from_bytes(name));
    let mut order = home.command(&["order", "--json"]);
    order.arg("--ledger").arg(path(b"ledger-\xff")).arg("--history").arg(path(b"history-\xff"));
    let ran = home.finish(&["order"], order.spawn().unwrap());
    assert_eq!(ran.code, Some(0), "{ran}");
    let report = json(&ran.stdout);
    assert_eq!(report["ledger"], "HOME/ledger-\u{fffd}");
    assert_eq!(report["history"], "HOME/history-\u{fffd}");
}
