//! Orders at a scripted gateway, for behaviour that a real environment shows only in trouble.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    io::Write as _,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use contracts::{
    OrderId, Timestamp,
    api::{
        orders::{AskStates, Order, OrderStates, OrderStatus, PlaceOrders, PlacedOrders},
        proof::{self, ProofKey},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use super::*;

/// The gateway's behaviour for the next order; with an empty script it accepts.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// 503 with `Retry-After`.
    Busy { retry_after: u64 },
    /// Closes the connection before it accepts the order.
    HangUp,
    /// Accepts the order, and closes the connection before it answers.
    TakeAndHangUp,
    /// 500.
    Fail,
    /// 422.
    Refuse,
    /// Never answers.
    Hang,
    /// Accepts, then closes the connection, as an environment does with an idle one.
    AcceptAndClose,
}

/// How orders end, and after which time.
#[derive(Clone, Copy, Debug)]
enum End {
    After(Duration, OrderStatus),
    Never,
}

#[derive(Debug)]
struct Door {
    script: Mutex<VecDeque<Act>>,
    end: End,
    /// By idempotency key.
    orders: Mutex<BTreeMap<String, Order>>,
    requests: Mutex<Vec<String>>,
    /// How often states were asked for.
    asked: AtomicUsize,
    /// The secret that it holds, and how often it was asked to prove that.
    secret: &'static str,
    proven: AtomicUsize,
}

impl Door {
    async fn open(script: impl IntoIterator<Item = Act>, end: End) -> (Arc<Self>, Target) {
        Self::of("secret", script, end).await
    }

    async fn of(
        secret: &'static str,
        script: impl IntoIterator<Item = Act>,
        end: End,
    ) -> (Arc<Self>, Target) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target =
            Target { address: listener.local_addr().unwrap(), key: "cfk_guest_secret".into() };
        let door = Arc::new(Self {
            script: Mutex::new(script.into_iter().collect()),
            end,
            orders: Mutex::default(),
            requests: Mutex::default(),
            asked: AtomicUsize::new(0),
            secret,
            proven: AtomicUsize::new(0),
        });
        let opened = Arc::clone(&door);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let door = Arc::clone(&door);
                tokio::spawn(async move { while_open(&door, stream).await });
            }
        });
        (opened, target)
    }

    /// Returns the whole answer; `None` to close the connection.
    async fn answer(&self, path: &str, key: Option<String>, body: &[u8]) -> Option<Vec<u8>> {
        if path == "/v1/orders/states" {
            let asked: AskStates = serde_json::from_slice(body).unwrap();
            assert!(asked.ids.len() <= 1_000);
            self.asked.fetch_add(1, Ordering::Relaxed);
            return Some(json("200 OK", &self.states(&asked)));
        }
        assert_eq!(path, "/v1/orders");
        let key = key.expect("an order has an idempotency key");
        self.requests.lock().unwrap().push(key.clone());
        let order: PlaceOrders = serde_json::from_slice(body).unwrap();
        let act = self.script.lock().unwrap().pop_front();
        match act {
            Some(Act::Busy { retry_after }) => Some(
                format!(
                    "HTTP/1.1 503 Busy\r\nretry-after: {retry_after}\r\ncontent-length: 0\r\n\r\n"
                )
                .into(),
            ),
            Some(Act::HangUp) => None,
            Some(Act::TakeAndHangUp) => {
                self.take(key, order);
                None
            }
            Some(Act::Fail) => {
                Some(problem("500 Internal Server Error", 500, "Broken", "it broke"))
            }
            Some(Act::Refuse) => {
                Some(problem("422 No", 422, "Unknown dish", "there is no `soup` on the menu"))
            }
            Some(Act::Hang) => std::future::pending().await,
            None | Some(Act::AcceptAndClose) => {
                Some(json("202 Accepted", &PlacedOrders { orders: vec![self.take(key, order)] }))
            }
        }
    }

    fn take(&self, key: String, order: PlaceOrders) -> Order {
        let mut orders = self.orders.lock().unwrap();
        let number = i64::try_from(orders.len()).unwrap() + 1;
        let order = Order {
            id: OrderId::new(),
            number,
            status: OrderStatus::Placed,
            dish: order.dish,
            placed_at: Timestamp::now(),
            ended_at: None,
            reason: None,
        };
        orders.entry(key).or_insert(order).clone()
    }

    fn states(&self, asked: &AskStates) -> OrderStates {
        let orders = self.orders.lock().unwrap();
        let state = |order: &Order| match self.end {
            End::After(time, status) if Timestamp::now() >= order.placed_at.plus(time) => {
                Order { status, ended_at: Some(order.placed_at.plus(time)), ..order.clone() }
            }
            _ => order.clone(),
        };
        OrderStates {
            orders: orders
                .values()
                .filter(|order| asked.ids.contains(&order.id))
                .map(state)
                .collect(),
        }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn while_open(door: &Door, stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    while let Some((head, body)) = request(&mut stream).await {
        let path = head.split(' ').nth(1).unwrap();
        if let Some((proof::PATH, asked)) = path.split_once('?') {
            assert!(!head.contains("secret"), "{head}");
            door.proven.fetch_add(1, Ordering::Relaxed);
            let nonce = asked.rsplit_once('=').unwrap().1;
            let answer = ProofKey::of(door.secret).prove(nonce, None).unwrap();
            stream.get_mut().write_all(&json("200 OK", &answer)).await.unwrap();
            continue;
        }
        assert!(head.contains("authorization: Bearer cfk_guest_secret\r\n"), "{head}");
        let closes = matches!(door.script.lock().unwrap().front(), Some(Act::AcceptAndClose));
        match door.answer(path, header(&head, "idempotency-key"), &body).await {
            Some(answer) => stream.get_mut().write_all(&answer).await.unwrap(),
            None => return,
        }
        if closes && path == "/v1/orders" {
            return;
        }
    }
}

async fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut body =
        vec![0; header(&head, "content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, body))
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.into())
}

fn json(status: &str, value: &impl serde::Serialize) -> Vec<u8> {
    let body = serde_json::to_vec(value).unwrap();
    let mut answer = Vec::new();
    write!(
        answer,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    answer.extend(body);
    answer
}

fn problem(line: &str, status: u16, title: &str, detail: &str) -> Vec<u8> {
    json(
        line,
        &serde_json::json!({ "type": "about:blank", "title": title, "status": status, "detail": detail }),
    )
}

fn delivered_after(ms: u64) -> End {
    End::After(Duration::from_millis(ms), OrderStatus::Delivered)
}

async fn run_plan(plan: Plan, target: &Target) -> Result<Report, LoadError> {
    run(plan, target, Arc::default(), CancellationToken::new()).await
}

/// Waits until a condition holds, for at most ten seconds.
async fn until(so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it comes to that");
}

#[tokio::test]
async fn every_order_is_followed_to_the_table_and_noted_in_the_ledger() {
    let (door, target) = Door::open([], delivered_after(30)).await;
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("new").join("ledger.txt");
    let plan =
        Plan { dish: Some("pizza".into()), ledger: Some(ledger.clone()), ..Plan::orders(500) };

    let report = run_plan(plan, &target).await.unwrap();

    assert_eq!(
        (report.sent, report.accepted, report.delivered, report.undelivered),
        (500, 500, 500, 0)
    );
    assert_eq!(report.dishes["pizza"].count, 500);
    assert_eq!(
        (report.accepting.count(), report.delivery.count(), report.lateness.count()),
        (500, 500, 0)
    );
    assert_eq!(
        report.delivery.max(),
        30_000,
        "the environment's times count, not when it was asked"
    );
    let mut noted: Vec<String> =
        fs::read_to_string(ledger).unwrap().lines().map(String::from).collect();
    let mut taken: Vec<String> = door
        .orders
        .lock()
        .unwrap()
        .iter()
        .map(|(key, order)| format!("{} {key}", order.id))
        .collect();
    noted.sort_unstable();
    taken.sort_unstable();
    assert_eq!(noted, taken);
}

#[tokio::test]
async fn a_busy_environment_and_a_lost_connection_are_tried_again_with_the_same_key() {
    let busy = Act::Busy { retry_after: 0 };
    let (door, target) =
        Door::open([busy, Act::HangUp, Act::TakeAndHangUp, busy], delivered_after(0)).await;

    let report = run_plan(Plan { concurrency: 1, ..Plan::orders(3) }, &target).await.unwrap();

    assert_eq!((report.accepted, report.delivered, report.failed), (3, 3, 0));
    assert_eq!((report.pushed_back, report.lost), (2, 2));
    let requests = door.requests();
    assert_eq!(requests.len(), 7);
    assert!(requests[..5].iter().all(|key| *key == requests[0]), "{requests:?}");
    assert_eq!(
        door.orders.lock().unwrap().len(),
        3,
        "the order that was taken unheard is not doubled"
    );
    assert!(report.accepting.max() >= 40_000, "latency counts from the first try");
}

/// A dead connection, as a node that restarts or a proxy leaves it.
#[tokio::test]
async fn a_request_without_an_answer_is_sent_again_long_before_the_order_is_given_up() {
    let (door, target) = Door::open([Act::Hang, Act::Hang], delivered_after(0)).await;
    let plan = Plan { attempt_max: Duration::from_millis(50), ..Plan::orders(1) };

    let report = run_plan(plan, &target).await.unwrap();

    assert_eq!((report.accepted, report.delivered, report.lost), (1, 1, 2));
    let keys = door.requests();
    assert_eq!(keys, vec![keys[0].clone(); 3], "the key is the same, so that only one is placed");
}

#[tokio::test]
async fn an_order_that_a_request_without_an_answer_may_have_placed_is_counted_as_unknown() {
    let (_, target) = Door::open([Act::HangUp, Act::TakeAndHangUp], delivered_after(0)).await;
    let short = |timeout| Plan {
        timeout: Duration::from_millis(timeout),
        concurrency: 1,
        attempt_max: Duration::from_millis(20),
        ..Plan::orders(1)
    };
    let lost = run_plan(short(5), &target).await.unwrap();
    assert_eq!((lost.failed, lost.unknown), (1, 1), "{:?}", lost.failures);

    let (_, target) = Door::open([Act::Busy { retry_after: 9 }], delivered_after(0)).await;
    let busy = run_plan(short(100), &target).await.unwrap();
    assert_eq!((busy.failed, busy.unknown), (1, 0), "a refusal places nothing");
}

#[tokio::test]
async fn a_rate_counts_a_gap_for_each_order() {
    let (_, target) = Door::open([], delivered_after(0)).await;
    let plan = Plan { model: Model::Open { rate: 20.0 }, ..Plan::orders(2) };
    let report = run_plan(plan, &target).await.unwrap();
    assert!(report.accepted_rate() <= 20.0, "{}/s were offered", report.accepted_rate());
}

#[tokio::test]
async fn while_orders_are_placed_their_states_are_asked_for_together() {
    let (door, target) = Door::open([], delivered_after(0)).await;
    let plan = Plan { model: Model::Open { rate: 200.0 }, ..Plan::orders(100) };
    let report = run_plan(plan, &target).await.unwrap();
    assert_eq!(report.delivered, 100);
    let asked = door.asked.load(Ordering::Relaxed);
    // One in 50 ms while they are placed, and some more until the last one has ended.
    let asked_max = report.placing.as_millis() / 50 + 15;
    assert!(asked as u128 <= asked_max, "{asked} questions about 100 orders, {asked_max} allowed");
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_no_loss() {
    let (_, target) = Door::open([Act::AcceptAndClose], delivered_after(0)).await;
    let plan = Plan { model: Model::Open { rate: 4.0 }, concurrency: 1, ..Plan::orders(3) };
    let report = run_plan(plan, &target).await.unwrap();
    assert_eq!((report.accepted, report.lost), (3, 0));
}

#[tokio::test]
async fn the_environment_says_when_to_come_back() {
    let (_, target) = Door::open([Act::Busy { retry_after: 1 }], delivered_after(0)).await;
    let report = run_plan(Plan::orders(1), &target).await.unwrap();
    assert_eq!((report.accepted, report.pushed_back), (1, 1));
    assert!(
        (1_000_000..9_000_000).contains(&report.accepting.max()),
        "{} µs",
        report.accepting.max()
    );
}

#[tokio::test]
async fn an_environment_that_is_busy_for_too_long_has_failed() {
    let (_, target) =
        Door::open([Act::Busy { retry_after: 9 }, Act::Fail], delivered_after(0)).await;
    let plan = Plan { concurrency: 1, timeout: Duration::from_secs(2), ..Plan::orders(3) };
    let report = run_plan(plan, &target).await.unwrap();
    assert_eq!((report.accepted, report.delivered, report.failed), (1, 1, 2));
    insta::assert_snapshot!(report.failures.into_keys().collect::<Vec<_>>().join("\n"), @r"
    Broken (500): it broke
    Service Unavailable (503); tried for 2s
    ");
}

#[tokio::test]
async fn a_refusal_that_would_not_change_ends_it() {
    let (door, target) = Door::open([Act::Refuse], delivered_after(0)).await;
    let plan = Plan { concurrency: 1, ..Plan::orders(1_000) };
    let report = run_plan(plan, &target).await.unwrap();
    assert_eq!((report.sent, report.failed, door.requests().len()), (1, 1, 1));
    assert!(report.failures.contains_key("Unknown dish (422): there is no `soup` on the menu"));
}

#[tokio::test]
async fn orders_that_do_not_end_in_time_are_counted_and_named() {
    let (_, target) = Door::open([], End::Never).await;
    let plan = Plan { timeout: Duration::from_millis(300), ..Plan::orders(5) };
    let report = run_plan(plan, &target).await.unwrap();
    assert_eq!((report.accepted, report.delivered, report.undelivered), (5, 0, 5));
    assert_eq!(report.undelivered_ids.len(), report::IDS_SHOWN_MAX);
}

#[tokio::test]
async fn cancelled_and_rejected_orders_are_at_an_end_too() {
    for (status, expected) in [(OrderStatus::Cancelled, (1, 0)), (OrderStatus::Rejected, (0, 1))] {
        let (_, target) = Door::open([], End::After(Duration::ZERO, status)).await;
        let report = run_plan(Plan::orders(1), &target).await.unwrap();
        assert_eq!((report.cancelled, report.rejected), expected);
        assert_eq!((report.delivered, report.undelivered), (0, 0));
    }
}

#[tokio::test]
async fn without_following_no_state_is_requested() {
    let (_, target) = Door::open([], End::Never).await;
    let report = run_plan(Plan { follow: false, ..Plan::orders(10) }, &target).await.unwrap();
    assert_eq!((report.accepted, report.undelivered, report.ended()), (10, 0, 0));
}

#[tokio::test]
async fn in_the_open_model_a_stall_delays_all_orders_planned_meanwhile() {
    let (_, target) = Door::open([Act::Busy { retry_after: 1 }], delivered_after(0)).await;
    let plan = Plan { model: Model::Open { rate: 100.0 }, concurrency: 1, ..Plan::orders(120) };
    let report = run_plan(plan, &target).await.unwrap();
    assert_eq!((report.accepted, report.lateness.count()), (120, 120));
    assert!(report.placing >= Duration::from_millis(1_190));
    let half = report.accepting.quantile(0.5);
    assert!(half > 300_000, "the median guest was planned in the second of the stall: {half} µs");
    assert!(report.accepting.max() >= report.lateness.max());
}

#[tokio::test]
async fn the_open_model_ends_with_its_duration() {
    let (_, target) = Door::open([], delivered_after(5)).await;
    let plan = Plan {
        model: Model::Open { rate: 500.0 },
        count: None,
        duration: Some(Duration::from_millis(500)),
        ..Plan::orders(64)
    };
    let report = run_plan(plan, &target).await.unwrap();
    assert_eq!((report.sent, report.delivered), (250, 250));
}

#[tokio::test]
async fn the_closed_model_ends_with_its_duration() {
    let (_, target) = Door::open([], delivered_after(5)).await;
    let duration = Duration::from_millis(200);
    let plan = Plan { count: None, duration: Some(duration), concurrency: 4, ..Plan::orders(4) };
    let report = run_plan(plan, &target).await.unwrap();
    assert!(report.accepted > 4);
    assert!(report.placing >= duration && report.placing < Duration::from_secs(10));
    assert_eq!(report.delivered, report.accepted);
}

#[tokio::test]
async fn a_stopped_run_places_no_more_orders_and_keeps_the_ledger() {
    let (_, target) = Door::open([], End::Never).await;
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.txt");
    let plan = Plan { count: None, ledger: Some(ledger.clone()), ..Plan::orders(8) };
    let (tally, stop) = (Arc::new(Tally::default()), CancellationToken::new());
    let running = {
        let (target, tally, stop) = (target.clone(), Arc::clone(&tally), stop.clone());
        tokio::spawn(async move { run(plan, &target, tally, stop).await })
    };
    until(|| tally.accepted() >= 100).await;
    stop.cancel();
    let report =
        tokio::time::timeout(Duration::from_secs(10), running).await.unwrap().unwrap().unwrap();
    assert!(report.interrupted);
    assert_eq!(report.undelivered, 0, "they were not followed");
    assert_eq!(fs::read_to_string(ledger).unwrap().lines().count() as u64, report.accepted);
}

#[tokio::test]
async fn a_history_has_failures_and_requests_without_an_answer() {
    let acts = [Act::Busy { retry_after: 0 }, Act::TakeAndHangUp, Act::Hang];
    let (_, target) = Door::open(acts, delivered_after(1)).await;
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("new").join("history.jsonl");
    let plan = Plan {
        concurrency: 1,
        dish: Some("pizza".into()),
        timeout: Duration::from_secs(2),
        history: Some(history.clone()),
        ..Plan::orders(3)
    };
    let report = run_plan(plan, &target).await.unwrap();
    assert_eq!((report.accepted, report.failed, report.delivered), (2, 1, 2));

    let text = fs::read_to_string(&history).unwrap();
    for (what, count) in [
        ("\"place\"", 5),
        ("\"pizza\"", 5),
        ("\"status\":503", 1),
        ("connection lost", 1),
        ("no answer in time", 1),
    ] {
        assert_eq!(text.matches(what).count(), count, "{what}: {text}");
    }
    let findings = ::history::check_file(&history).unwrap();
    assert!(findings.passed(), "{:?}", findings.violations().collect::<Vec<_>>());
    assert_eq!(findings.known_orders().count(), 2);
}

#[tokio::test]
async fn an_order_on_the_wire_does_not_hold_up_the_end() {
    let (door, target) = Door::open([Act::Hang], End::Never).await;
    let stop = CancellationToken::new();
    let running = {
        let (target, stop) = (target.clone(), stop.clone());
        tokio::spawn(async move { run(Plan::orders(1), &target, Arc::default(), stop).await })
    };
    until(|| !door.requests().is_empty()).await;
    stop.cancel();
    let report =
        tokio::time::timeout(Duration::from_secs(10), running).await.unwrap().unwrap().unwrap();
    assert_eq!((report.sent, report.accepted, report.interrupted), (1, 0, true));
}

#[tokio::test]
async fn no_gateway_is_an_error_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    drop(listener);
    let target = Target { address, key: "cfk_guest_secret".into() };
    let outcome = run_plan(Plan::orders(1), &target).await;
    assert!(matches!(outcome, Err(LoadError::NobodyThere { .. })), "{outcome:?}");
}

#[tokio::test]
async fn the_gateway_proves_once_for_all_connections_that_it_holds_the_key() {
    let (door, target) = Door::open([], delivered_after(1)).await;
    let report = run_plan(Plan::orders(100), &target).await.unwrap();
    assert_eq!(report.delivered, 100);
    let proven = door.proven.load(Ordering::Relaxed);
    // A busy machine opens the last connection later than the proof lasts.
    assert!((1..10).contains(&proven), "{proven}");
}

#[tokio::test]
async fn what_does_not_hold_the_key_is_not_sent_it() {
    // It checks itself that no request but the question arrives.
    let (door, target) = Door::of("another", [], End::Never).await;
    let outcome = run_plan(Plan::orders(5), &target).await;
    assert!(matches!(outcome, Err(LoadError::Unproven(_))), "{outcome:?}");
    assert_eq!(door.proven.load(Ordering::Relaxed), 1);
    assert!(door.requests().is_empty());
}
