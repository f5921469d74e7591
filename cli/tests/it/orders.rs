//! Orders, their stories, and the proof that none was lost.

use std::{fs, path::PathBuf};

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
    fs::write(&invented, "\nnonsense\n").unwrap();
    let bad = home.run(&["audit", "--ledger", invented.to_str().unwrap()]);
    assert_eq!(bad.code, Some(1), "{bad}");
    assert!(bad.stderr.contains("invented.txt: line 2: `nonsense` is not an id"), "{bad}");
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
