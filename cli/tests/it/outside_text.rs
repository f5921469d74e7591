//! Text from outside, such as files, logs and answers, can't control the terminal. JSON has it as it is.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    thread,
};

use contracts::api::proof::ProofKey;
use serde_json::Value;

use crate::chefcito::{Home, Ran};

/// Sets the title of the window, erases the screen, and reverses what follows.
const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}gnp.exe";
/// The same for people.
const HARMLESS: &str = r"\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}gnp.exe";

fn is_harmless(ran: &Ran) {
    let controls = |letter: char| {
        (letter.is_control() && letter != '\n') || ('\u{202a}'..='\u{202e}').contains(&letter)
    };
    assert!(!ran.stdout.contains(controls) && !ran.stderr.contains(controls), "{ran:?}");
}

#[test]
fn logs_of_hostile_guests_are_harmless_for_people_and_exact_in_json() {
    let home = Home::new();
    let logs = home.environment().join("logs");
    fs::create_dir_all(&logs).unwrap();
    let line = serde_json::json!({
        "time": "2026-01-31T12:00:00Z", "level": "WARN", "service": "kitchen",
        "message": format!("Refused {HOSTILE}"), "order_id": format!("7{HOSTILE}"), "dish": [HOSTILE], HOSTILE: "x",
    });
    fs::write(logs.join("kitchen.log"), format!("{line}\n{HOSTILE}\n")).unwrap();

    for tail in ["9", "all"] {
        let ran = home.must(&["logs", "--tail", tail]);
        is_harmless(&ran);
        assert!(ran.stdout.contains(&format!("Refused {HARMLESS} order_id=7{HARMLESS}")), "{ran}");
    }
    let ran = home.must(&["logs", "--json"]);
    let lines: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["message"], format!("Refused {HOSTILE}"));
    assert_eq!((&lines[0]["dish"], &lines[0][HOSTILE]), (&line["dish"], &"x".into()));
    assert_eq!(lines[1]["message"], HOSTILE);
}

#[test]
fn hostile_names_in_files_are_harmless() {
    let home = Home::new();
    let seed = home.path().join(format!("{HOSTILE}.yaml"));
    let name = r#""\e]0;owned\a\u009b2J\u202egnp.exe""#;
    fs::write(&seed, format!("recipes: [{{name: {name}, {name}: {{}}}}]\n{name}: {{}}\n")).unwrap();
    let ran = home.run(&["seed", seed.to_str().unwrap()]);
    assert_eq!(ran.code, Some(1), "{ran}");
    is_harmless(&ran);
    assert!(ran.stderr.contains(&format!("`{HARMLESS}` is not a valid name of a dish")), "{ran}");
}

#[test]
fn hostile_arguments_are_harmless() {
    let home = Home::new();
    for args in [["story", HOSTILE], ["logs", HOSTILE], ["up", HOSTILE]] {
        let ran = home.run(&args);
        assert!(matches!(ran.code, Some(2 | 3)), "{ran}");
        is_harmless(&ran);
    }
    assert!(home.run(&["story", HOSTILE]).stderr.contains(r"\u{202e}gnp.exe"));
}

#[test]
fn hostile_answers_are_harmless() {
    let home = Home::new();
    let text = serde_json::to_string(&format!("{HOSTILE}\nerror: all is lost")).unwrap();
    let problem =
        format!(r#"{{"type":"/problems/x","title":{text},"status":409,"detail":{text}}}"#);
    for body in [problem, format!("{HOSTILE}\nerror: all is lost")] {
        answering(&home, "409 Conflict", body);
        let ran = home.run(&["keys", "list"]);
        assert_eq!(ran.code, Some(1), "{ran}");
        is_harmless(&ran);
        assert_eq!(ran.stderr.lines().count(), 1, "no answer makes a line of its own: {ran}");
        assert!(ran.stderr.contains(HARMLESS), "{ran}");
    }
    let keys = format!(
        r#"{{"keys":[{{"id":"1","name":{text},"role":"viewer","created_at":"2026-01-31T12:00:00Z","revoked_at":null}}]}}"#
    );
    answering(&home, "200 OK", keys.clone());
    let ran = home.must(&["keys", "list"]);
    is_harmless(&ran);
    assert_eq!(ran.stdout.lines().count(), 2, "{ran}");
    answering(&home, "200 OK", keys);
    let ran = home.must(&["keys", "list", "--json"]);
    let keys: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(keys["keys"][0]["name"], format!("{HOSTILE}\nerror: all is lost"));
}

/// Records an environment whose gateway proves that it is one, and then gives this answer to one request.
fn answering(home: &Home, status: &'static str, body: String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let record = serde_json::json!({
        "address": listener.local_addr().unwrap(), "engine": "unix:///nowhere/docker.sock",
        "version": "1.0.0", "started_at": "2026-01-31T12:00:00Z",
    });
    fs::create_dir_all(home.environment()).unwrap();
    fs::set_permissions(home.environment(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(home.environment().join("containers.json"), record.to_string()).unwrap();
    fs::write(home.environment().join("admin.key"), "cfk_local_x").unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = BufReader::new(stream);
        let asked = head(&mut stream);
        let nonce = asked.split("nonce=").nth(1).unwrap().get(..64).unwrap();
        let proof = serde_json::to_string(&ProofKey::of("x").prove(nonce, None).unwrap()).unwrap();
        write!(
            stream.get_mut(),
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{proof}",
            proof.len()
        )
        .unwrap();
        head(&mut stream);
        write!(
            stream.get_mut(),
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
    });
}

/// Reads the head of a request.
fn head(stream: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while stream.read_line(&mut head).unwrap() > "\r\n".len() {}
    head
}
