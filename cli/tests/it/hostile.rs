//! Hostile requests to a real environment: each gets its answer, and other clients do not notice.

use std::{
    fs,
    io::{BufReader, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    chefcito::{Home, lives},
    guest::{Guest, read_answer},
};

/// The most memory of an environment, in a debug build: it has some 40 MiB at rest.
const MEMORY_MIB_MAX: u64 = 200;
/// How long a slow client keeps its connection, with room for a busy machine.
const DAWDLING_MAX: Duration = Duration::from_secs(50);

/// An environment that cooks at once, with what is watched during the attacks.
struct Castle {
    home: Home,
    guest: Guest,
    pid: i32,
}

impl Castle {
    fn open() -> Self {
        let home = Home::new();
        let up = ["up", "--port", "0", "--cooking-time", "0s", "--stoves", "64"];
        // Fewer files than clients will come: the environment raises the limit as far as the system allows.
        let up = home.run_with_limit("-Sn 256", &up);
        assert_eq!(up.code, Some(0), "{up}");
        let port = up.stdout.trim().rsplit(':').next().unwrap().parse().unwrap();
        let guest = Guest::of(&home, port);
        let pid = home.embedded_pid();
        Self { home, guest, pid }
    }

    /// The peak of the environment's memory.
    fn memory_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// Checks that the same environment still runs and serves.
    fn stands(&self) {
        assert!(
            lives(self.pid) && self.home.embedded_pid() == self.pid,
            "the environment is another"
        );
        let order = self.home.must(&["order", "--count", "20", "--timeout", "30s"]);
        assert!(order.stdout.contains("20 accepted, 20 delivered"), "{order}");
        self.home.must(&["audit"]);
        assert!(self.memory_mib() < MEMORY_MIB_MAX, "{} MiB", self.memory_mib());
        for log in fs::read_dir(self.home.environment().join("logs")).unwrap() {
            let text = fs::read_to_string(log.unwrap().path()).unwrap();
            let panic = text.lines().find(|line| line.to_lowercase().contains("panicked"));
            assert_eq!(panic, None);
        }
    }
}

/// A body of JSON, or nearly JSON, and the expected answer.
type Body = (&'static str, &'static str, String, u16, &'static str);

fn bodies() -> Vec<Body> {
    let case =
        |method, path, body: &str, status, kind| (method, path, body.to_owned(), status, kind);
    let post = |body: &str, status, kind| case("POST", "/v1/orders", body, status, kind);
    let many = |count| format!(r#"{{"orders":[{}]}}"#, vec!["{}"; count].join(","));
    let deep = |text: &str| text.repeat(50_000);
    let recipe = |quantity: &str| {
        format!(
            r#"{{"recipes":[{{"name":"soup","ingredients":{{"rice":{quantity}}},"cooking_time_ms":1}}]}}"#
        )
    };
    let mut bodies = vec![
        post(r#"{"dish":"#, 400, "malformed"),
        post("{]", 400, "malformed"),
        post("\0\u{1}\u{2}", 400, "malformed"),
        post(r#"{"dish": 7}"#, 422, "invalid"),
        post("[]", 422, "invalid"),
        post(&deep("["), 400, "malformed"),
        post(&deep(r#"{"dish":"#), 400, "malformed"),
        post(r#"{"dish": "soup"}"#, 422, "unknown-dish"),
        post(r#"{"dish": "'; DROP TABLE orders; --"}"#, 422, "unknown-dish"),
        post(r#"{"dish": ""}"#, 422, "invalid"),
        post(&format!(r#"{{"dish": "{}"}}"#, "x".repeat(100_000)), 422, "invalid"),
        post(r#"{"dish": "pizza", "orders": [{}]}"#, 422, "invalid"),
        post(&many(0), 422, "invalid"),
        post(&many(1_001), 422, "invalid"),
        case("POST", "/v1/orders/states", r#"{"ids": ["nonsense"]}"#, 422, "invalid"),
        case("POST", "/v1/keys", r#"{"name": "x", "role": "cook"}"#, 422, "invalid"),
        case("POST", "/v1/audit/ledger", r#"{"ids": 1}"#, 422, "invalid"),
        case("PUT", "/v1/market", r#"{"quantity_min": -5}"#, 422, "invalid"),
        case("PUT", "/v1/market", r#"{"zeros": 7}"#, 422, "invalid"),
        case("PUT", "/v1/market", r#"{"zeros": NaN}"#, 400, "malformed"),
        case("PUT", "/v1/market", r#"{"zeros": 1e999}"#, 400, "malformed"),
        case("PUT", "/v1/stock", r#"{"opening": {"beer": 1}}"#, 422, "invalid"),
        case("PUT", "/v1/recipes", r#"{"recipes": [{"name": "../x"}]}"#, 422, "invalid"),
    ];
    let out_of_bounds = ["-1", "1000000001", "9223372036854775807"].map(|text| (text, true));
    let no_quantity = ["9223372036854775808", "-1e30", "1.5", "\"5\""].map(|text| (text, false));
    for (quantity, is_whole) in out_of_bounds.into_iter().chain(no_quantity) {
        let kind = |of_a_whole| if is_whole { of_a_whole } else { "invalid" };
        let opening = format!(r#"{{"opening": {{"rice": {quantity}}}}}"#);
        let set = format!(r#"{{"set": {{"rice": {quantity}}}}}"#);
        bodies.extend([
            case("PUT", "/v1/recipes", &recipe(quantity), 422, kind("invalid-menu")),
            case("PUT", "/v1/stock", &opening, 422, kind("invalid-quantity")),
            case("POST", "/v1/stock/adjustments", &set, 422, kind("invalid-quantity")),
        ]);
    }
    bodies
}

#[test]
fn invalid_input_is_refused_with_the_reason() {
    let castle = Castle::open();
    let guest = &castle.guest;
    let mut wrong = Vec::new();
    for (method, path, body, status, kind) in bodies() {
        let answer = guest.ask_with(method, path, "idempotency-key: x\r\n", &body).unwrap();
        let problem = answer.json();
        let is_clear = answer.status == status
            && problem["type"] == format!("/problems/{kind}")
            && answer.head.contains("application/problem+json")
            && problem["detail"].as_str().is_some_and(|detail| detail.len() < 1_000);
        if !is_clear {
            wrong.push(format!("{method} {path} {body:.80} → {answer:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let many = "limit=99999999999999999999";
    for (method, path, status) in [
        ("GET", "/v1/orders/nonsense", 400),
        ("GET", "/v1/orders?limit=-1", 422),
        ("GET", &format!("/v1/orders?{many}"), 400),
        ("GET", "/v1/orders?status=eaten", 400),
        ("GET", "/v1/orders/%00%ff/story", 400),
        ("GET", "/v1/purchases?ingredient=beer", 400),
        ("BREW", "/v1/orders", 405),
        ("DELETE", "/v1/orders", 405),
        // Internal paths can't be reached from outside, in any spelling.
        ("GET", "/internal/events", 404),
        ("GET", "/v1/../internal/events", 404),
        ("GET", "/v1/orders/../../internal/events", 404),
        ("GET", "/v1/orders/..%2f..%2finternal%2fevents", 400),
        ("GET", "//internal/events", 404),
        ("GET", "/../../../../etc/passwd", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        (
            "POST",
            "/v1/dead-letters/..%2f..%2finternal/0192f3c4-5a6b-7c8d-9e0f-112233445566/replay",
            404,
        ),
        ("POST", "/v1/dead-letters/orders/..%2f..%2fevents/replay", 400),
        ("DELETE", "/v1/keys/..%2forders", 404),
    ] {
        let answer = guest.ask(method, path, "").unwrap();
        if answer.status != status || answer.json()["status"] != status {
            wrong.push(format!("{method} {path} → {answer:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    castle.stands();
}

#[test]
fn without_a_key_a_client_learns_nothing() {
    let castle = Castle::open();
    let right = &castle.guest.key;
    let altered = format!("{}0", &right[..right.len() - 1]);
    let keys = [
        "",
        "x",
        "cfk_",
        "cfk_local_",
        "cfk_local_0",
        &altered,
        &format!("{right}0"),
        &"x".repeat(20_000),
        "cfk_local_\u{e9}",
    ]
    .map(str::to_owned);
    for key in keys.into_iter().filter(|key| key != right) {
        let stranger = Guest { key, ..castle.guest.clone() };
        for (method, path) in [("GET", "/v1/orders"), ("POST", "/v1/orders"), ("GET", "/nowhere")] {
            let answer = stranger.ask(method, path, "{}").unwrap();
            assert_eq!(answer.status, 401, "{:.80}: {answer:?}", stranger.key);
            assert!(!answer.body.contains(right.as_str()));
        }
    }
    castle.stands();
}

#[test]
fn what_is_too_large_or_no_http_is_refused_unread() {
    let castle = Castle::open();
    let guest = &castle.guest;
    let said = guest.text("POST", "/v1/orders", "", &"x".repeat(10 * 1024 * 1024));
    let head =
        format!("POST /v1/orders HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n", guest.key);
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let unsaid = format!("{head}transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(160));
    let headers =
        |count: usize| -> String { (0..count).map(|n| format!("x-{n}: x\r\n")).collect() };
    let get = |path: &str, headers: &str| guest.text("GET", path, headers, "");
    let cases = [
        ("10 MB", said, 413),
        ("10 MB in pieces", unsaid, 413),
        ("a thousand headers", get("/v1/orders", &headers(1_000)), 431),
        ("a million headers", get("/v1/orders", &headers(1_000_000)), 431),
        ("a long header", get("/v1/orders", &format!("x: {}\r\n", "x".repeat(1_000_000))), 431),
        ("a long path", get(&format!("/{}", "x".repeat(100_000)), ""), 414),
        ("a long query", get(&format!("/v1/orders?dish={}", "x".repeat(100_000)), ""), 414),
        (
            "a long idempotency key",
            guest.text(
                "POST",
                "/v1/orders",
                &format!("idempotency-key: {}\r\n", "x".repeat(5_000)),
                "{}",
            ),
            400,
        ),
        (
            "an invisible idempotency key",
            guest.text("POST", "/v1/orders", "idempotency-key: \u{e9}\r\n", "{}"),
            400,
        ),
        ("a negative length", format!("{head}content-length: -1\r\n\r\n{{}}"), 400),
        ("two lengths", format!("{head}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}x"), 400),
        ("a bad chunk", format!("{head}transfer-encoding: chunked\r\n\r\nxyz\r\n"), 400),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{7f}\u{3}\u{3}\r\n\r\n".into(), 400),
        ("nothing readable", "\0\0\0\0\r\n\r\n".into(), 400),
        ("an old version", "GET / HTTP/0.9\r\n\r\n".into(), 400),
    ];
    let mut wrong = Vec::new();
    for (what, text, status) in cases {
        match guest.send(&text) {
            Ok(answer) if answer.status == status => {}
            answer => wrong.push(format!("{what}: {answer:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // A good request is answered, whatever follows it; then the connection is closed.
    let mut connection = guest.connect().unwrap();
    let piped = format!("{}{}\0garbage\r\n\r\n", get("/v1/stock", ""), get("/nowhere", ""));
    connection.get_mut().write_all(piped.as_bytes()).unwrap();
    let statuses = [(); 3].map(|()| read_answer(&mut connection).unwrap().status);
    assert_eq!(statuses, [200, 404, 400]);
    assert_eq!(connection.read(&mut [0]).unwrap_or(0), 0, "it is not listened to any further");
    castle.stands();
}

/// Opens that many connections, and sends the beginning of a request on each.
fn dawdlers(guest: &Guest, count: usize, beginning: &str) -> Vec<BufReader<TcpStream>> {
    let open = |_| {
        let mut connection = guest.connect().unwrap();
        connection.get_mut().set_read_timeout(Some(DAWDLING_MAX)).unwrap();
        connection.get_mut().write_all(beginning.as_bytes()).unwrap();
        connection
    };
    (0..count).map(open).collect()
}

#[test]
fn a_siege_keeps_no_guest_from_eating() {
    let castle = Castle::open();
    let guest = &castle.guest;
    let before = castle.memory_mib();
    let since = Instant::now();
    let half_a_head = dawdlers(guest, 200, "POST /v1/orders HTTP/1.1\r\nhost: x\r\nauthor");
    let whole =
        guest.text("POST", "/v1/orders", "", &format!("{{\"dish\": \"{}\"}}", "x".repeat(900)));
    let half_a_body = dawdlers(guest, 200, &whole[..whole.len() - 400]);
    let idle = dawdlers(guest, 300, "");

    let (unknown, too_many) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut connection = guest.connect().unwrap();
                for _ in 0..2_500 {
                    let text = "GET /v1/orders HTTP/1.1\r\nhost: x\r\n\r\n";
                    connection.get_mut().write_all(text.as_bytes()).unwrap();
                    match read_answer(&mut connection).unwrap().status {
                        401 => unknown.fetch_add(1, Ordering::Relaxed),
                        429 => too_many.fetch_add(1, Ordering::Relaxed),
                        other => panic!("a client without a key gets {other}"),
                    };
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..3 {
                let order = castle.home.must(&["order", "--count", "20", "--timeout", "30s"]);
                assert!(order.stdout.contains("20 accepted, 20 delivered"), "{order}");
            }
        });
    });
    assert_eq!(unknown.load(Ordering::Relaxed) + too_many.load(Ordering::Relaxed), 10_000);
    assert!(too_many.load(Ordering::Relaxed) > 5_000, "strangers ask as much as they like");
    println!(
        "besieged for {:?}: {before} MiB before, {} MiB at the most",
        since.elapsed(),
        castle.memory_mib()
    );

    for mut connection in half_a_body {
        assert_eq!(read_answer(&mut connection).unwrap().status, 408);
    }
    for mut connection in half_a_head.into_iter().chain(idle) {
        let mut rest = Vec::new();
        // Closed or reset: either way it is over.
        let over = connection
            .read_to_end(&mut rest)
            .map_or_else(|error| error.kind() == std::io::ErrorKind::ConnectionReset, |_| true);
        assert!(over && since.elapsed() < DAWDLING_MAX, "a dawdler is not shown the door");
    }
    castle.stands();
}
