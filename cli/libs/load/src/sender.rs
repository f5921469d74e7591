//! Places the orders over a number of connections, each with one order at a time.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use ::history::Ask;
use bytes::Bytes;
use client::{problem, sentence};
use contracts::{
    OrderId, Timestamp,
    api::orders::{PlaceOrders, PlacedOrders},
};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use tokio::task::{JoinSet, spawn_local};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    LoadError, Model, Plan, Report, Schedule, Tally, Target,
    follower::{self, Following},
    history::History,
    in_flight::InFlight,
    ledger::Ledger,
    pacer::Pacer,
    wire::{Answer, Form, Gatekeeper, Lost, Wire},
};

/// The first pause after a lost connection; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// The longest pause that the gateway did not ask for.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long to wait after Ctrl-C for orders that were sent.
const GRACE: Duration = Duration::from_secs(2);
/// How often the buffers of the ledger and the history are written.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// The state that all connections share.
pub(super) struct Shared {
    pub(super) report: RefCell<Report>,
    pub(super) in_flight: RefCell<InFlight>,
    pub(super) tally: Arc<Tally>,
    ledger: RefCell<Option<Ledger>>,
    history: RefCell<Option<History>>,
    /// The first error of the ledger or the history: without them, no further order is placed.
    broken: RefCell<Option<LoadError>>,
    form: Form,
    dish: Option<String>,
    body: Bytes,
    timeout: Duration,
    attempt_max: Duration,
    follow: bool,
    keys: Keys,
    next_order: NextOrder,
    interrupted: CancellationToken,
    dice: Cell<u64>,
}

/// When the next order may be placed.
struct NextOrder {
    start: Instant,
    next: Cell<u64>,
    total: u64,
    ends: Option<Instant>,
    halted: Cell<bool>,
    paced: Option<(Schedule, Pacer)>,
}

impl NextOrder {
    /// Returns the number of the next order and its planned time; `None` once there are no more.
    async fn take(&self) -> Option<(u64, Instant)> {
        if let Some((_, pacer)) = &self.paced {
            pacer.wait().await;
        }
        let n = self.next.get();
        let now = Instant::now();
        if self.halted.get()
            || n >= self.total
            || (self.paced.is_none() && self.ends.is_some_and(|end| now >= end))
        {
            return None;
        }
        self.next.set(n + 1);
        let planned =
            self.paced.as_ref().map_or(now, |(schedule, _)| self.start + schedule.planned(n));
        Some((n, planned))
    }

    /// Returns the time that placing took: in the open model up to when the next order would have been planned, since `n`
    /// orders have `n` gaps.
    fn span(&self) -> Duration {
        let elapsed = self.start.elapsed();
        match &self.paced {
            Some((schedule, _)) => elapsed.max(schedule.planned(self.next.get())),
            None => elapsed,
        }
    }

    fn halt(&self) {
        self.halted.set(true);
        if let Some((_, pacer)) = &self.paced {
            pacer.stop();
        }
    }
}

/// Idempotency keys that are unique to this run.
struct Keys {
    run: Uuid,
}

impl Keys {
    fn of(&self, n: u64) -> String {
        format!("{}-{n}", self.run.simple())
    }
}

/// Why a request has no answer.
pub(super) enum NoAnswer {
    /// None came in time.
    Late,
    /// The connection was lost after it may have been sent.
    Lost(io::Error),
    /// It was not sent: there is no connection.
    Unsent(io::Error),
}

/// The outcome of an order.
enum Outcome {
    Accepted(OrderId),
    /// It was not accepted in time.
    Failed(String),
    /// It was not accepted in time, but a request without an answer may have placed it.
    Unknown(String),
    /// Further orders would fail, too: a wrong key, an unknown dish.
    Hopeless(String),
}

/// Runs the plan.
pub(super) async fn place_and_follow(
    plan: Plan,
    target: &Target,
    tally: Arc<Tally>,
    stop: CancellationToken,
) -> Result<Report, LoadError> {
    let gatekeeper = Rc::new(Gatekeeper::new(target).ok_or(LoadError::NotAKey)?);
    let mut first = Wire::new(Rc::clone(&gatekeeper));
    // One that does not answer may do so later: orders wait for it.
    if let Ok(Err(lost)) = tokio::time::timeout(plan.attempt_max, first.connect()).await
        && let Some(error) = lost.at_start(target.address)
    {
        return Err(error);
    }
    let ledger = plan.ledger.clone().map(Ledger::create).transpose()?;
    let history = plan.history.clone().map(History::append).transpose()?;
    let (form, states) = Form::new(target, "/v1/orders")
        .zip(Form::new(target, "/v1/orders/states"))
        .ok_or(LoadError::NotAKey)?;
    let body = serde_json::to_vec(&PlaceOrders { dish: plan.dish.clone(), orders: None });
    let body = body.map_err(|error| LoadError::NotRun(error.into()))?;
    let concurrency = plan.concurrency.clamp(1, super::CONCURRENCY_MAX);
    let run = Uuid::now_v7();

    let shared = Rc::new(Shared {
        report: RefCell::new(Report {
            ledger: plan.ledger.clone(),
            history: plan.history.clone(),
            ..Report::default()
        }),
        in_flight: RefCell::default(),
        tally,
        ledger: RefCell::new(ledger),
        history: RefCell::new(history),
        broken: RefCell::new(None),
        form,
        dish: plan.dish.clone(),
        body: body.into(),
        timeout: plan.timeout,
        attempt_max: plan.attempt_max,
        follow: plan.follow,
        keys: Keys { run },
        next_order: next_order(&plan, concurrency)?,
        interrupted: stop.clone(),
        dice: Cell::new(run.as_u64_pair().1 | 1),
    });

    let following = Following::default();
    let follower = plan.follow.then(|| {
        spawn_local(follower::follow(
            Rc::clone(&shared),
            Wire::new(Rc::clone(&gatekeeper)),
            states,
            following.clone(),
        ))
    });

    let mut guests = JoinSet::new();
    guests.spawn_local(guest(Rc::clone(&shared), first));
    for _ in 1..concurrency {
        guests.spawn_local(guest(Rc::clone(&shared), Wire::new(Rc::clone(&gatekeeper))));
    }
    place(&shared, guests, &stop).await;
    shared.report.borrow_mut().placing = shared.next_order.span();
    shared.flush();

    if let Some(follower) = follower {
        if stop.is_cancelled() {
            follower.abort();
        } else {
            following.placed_all(Timestamp::now(), Instant::now() + plan.timeout);
            tokio::select! {
                _ended = follower => {}
                () = stop.cancelled() => {}
                () = shared.keep_flushing() => {}
            }
        }
    }
    if let Some(Err(error)) = shared.history.take().map(History::finish) {
        shared.broken.borrow_mut().get_or_insert(error);
    }
    if let Some(broken) = shared.broken.take() {
        return Err(broken);
    }
    let mut report = shared.report.take();
    report.interrupted = stop.is_cancelled();
    let in_flight = shared.in_flight.borrow();
    if plan.follow && !report.interrupted {
        report.undelivered = in_flight.len() as u64;
        report.undelivered_ids =
            in_flight.some(super::report::IDS_SHOWN_MAX).into_iter().map(OrderId::from).collect();
    }
    Ok(report)
}

fn next_order(plan: &Plan, concurrency: usize) -> Result<NextOrder, LoadError> {
    let start = Instant::now();
    let paced = match plan.model {
        Model::Closed => None,
        Model::Open { rate } => {
            let schedule = Schedule::new(rate, plan.count, plan.duration).ok_or_else(|| {
                LoadError::NotRun(std::io::Error::other(format!(
                    "{rate} orders per second is not a valid rate"
                )))
            })?;
            Some((schedule, Pacer::start(schedule, start, concurrency).map_err(LoadError::NotRun)?))
        }
    };
    Ok(NextOrder {
        start,
        next: Cell::new(0),
        total: paced
            .as_ref()
            .map_or(plan.count.unwrap_or(u64::MAX), |(schedule, _)| schedule.total()),
        ends: plan.duration.map(|duration| start + duration),
        halted: Cell::new(false),
        paced,
    })
}

/// Waits until all connections are done, and writes the ledger and the history meanwhile.
async fn place(shared: &Shared, mut guests: JoinSet<()>, stop: &CancellationToken) {
    let placing = async { while guests.join_next().await.is_some() {} };
    let interrupted = async {
        stop.cancelled().await;
        shared.next_order.halt();
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        () = placing => {}
        () = interrupted => {}
        () = shared.keep_flushing() => {}
    }
}

/// Places orders over one connection, until there are no more.
async fn guest(shared: Rc<Shared>, mut wire: Wire) {
    while let Some((n, planned)) = shared.next_order.take().await {
        let key = shared.keys.of(n);
        if shared.next_order.paced.is_some() {
            shared.report.borrow_mut().lateness.record(planned.elapsed());
        }
        shared.report.borrow_mut().sent += 1;
        let outcome = shared.order(&mut wire, &key, planned + shared.timeout).await;
        shared.note(outcome, &key, planned);
    }
}

impl Shared {
    /// Places one order, with retries under the same key, until the environment has answered or the time is over.
    async fn order(&self, wire: &mut Wire, key: &str, deadline: Instant) -> Outcome {
        let Ok(header) = HeaderValue::from_str(key) else {
            return Outcome::Failed("a key that can't be sent".into());
        };
        let mut pause = PAUSE_MIN;
        let mut may_be_placed = false;
        let failed = |why, may_be_placed| match may_be_placed {
            true => Outcome::Unknown(why),
            false => Outcome::Failed(why),
        };
        loop {
            let until = deadline.min(Instant::now() + self.attempt_max);
            let request = self.form.filled(self.body.clone(), Some(header.clone()));
            let ask = || Ask::Place { key: Some(key.to_owned()), dishes: vec![self.dish.clone()] };
            let (why, wait) = match self.exchange(wire, request, until, ask).await {
                Err(NoAnswer::Late) => {
                    may_be_placed = true;
                    self.report.borrow_mut().lost += 1;
                    (
                        format!("no answer within {}", shown(self.attempt_max.min(self.timeout))),
                        pause,
                    )
                }
                Ok(answer) if is_retried(answer.status) => {
                    self.report.borrow_mut().pushed_back += 1;
                    (
                        sentence(&problem(answer.status, &answer.body)),
                        answer.retry_after.unwrap_or(pause),
                    )
                }
                Ok(answer) => return outcome(&answer),
                Err(NoAnswer::Lost(error)) => {
                    may_be_placed = true;
                    self.report.borrow_mut().lost += 1;
                    (format!("connection lost: {error}"), pause)
                }
                Err(NoAnswer::Unsent(error)) => {
                    self.report.borrow_mut().lost += 1;
                    (format!("no connection: {error}"), pause)
                }
            };
            let wait = wait + self.jitter(wait);
            if Instant::now() + wait >= deadline {
                let why = format!("{why}; tried for {}", shown(self.timeout));
                return failed(why, may_be_placed);
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.interrupted.cancelled() => return failed(why, may_be_placed),
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Sends a request, and waits for its answer; records both if there is a history.
    pub(super) async fn exchange(
        &self,
        wire: &mut Wire,
        request: Request<Full<Bytes>>,
        deadline: Instant,
        ask: impl FnOnce() -> Ask,
    ) -> Result<Answer, NoAnswer> {
        let asked = self.history.borrow_mut().as_mut().map(|history| history.asked(ask()));
        let call = asked.and_then(|asked| self.unless_broken(asked));
        let answer = match tokio::time::timeout_at(deadline.into(), wire.exchange(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Lost { error, sent: true })) => Err(NoAnswer::Lost(error)),
            Ok(Err(Lost { error, sent: false })) => Err(NoAnswer::Unsent(error)),
            Err(_) => Err(NoAnswer::Late),
        };
        if let (Some(call), Some(history)) = (call, self.history.borrow_mut().as_mut()) {
            let heard = answer.as_ref().map_err(|silence| match silence {
                NoAnswer::Late => "no answer in time".to_owned(),
                NoAnswer::Lost(error) => format!("connection lost: {error}"),
                NoAnswer::Unsent(error) => format!("no connection: {error}"),
            });
            self.unless_broken(history.answered(&call, heard));
        }
        answer
    }

    fn note(&self, outcome: Outcome, key: &str, planned: Instant) {
        let now = Instant::now();
        match outcome {
            Outcome::Accepted(order) => {
                self.report.borrow_mut().accept(order, now.duration_since(planned));
                self.tally.accepted.fetch_add(1, Ordering::Relaxed);
                if self.follow {
                    self.in_flight.borrow_mut().accepted(order.uuid(), now);
                }
                self.write(|ledger| ledger.note(order, key));
            }
            Outcome::Failed(why) => self.fail(why),
            Outcome::Unknown(why) => {
                self.report.borrow_mut().unknown += 1;
                self.fail(why);
            }
            Outcome::Hopeless(why) => {
                self.fail(why);
                self.next_order.halt();
            }
        }
    }

    fn fail(&self, why: String) {
        self.tally.failed.fetch_add(1, Ordering::Relaxed);
        self.report.borrow_mut().fail(why);
    }

    /// Flushes the ledger and the history regularly; never returns.
    async fn keep_flushing(&self) {
        let mut flush = tokio::time::interval(FLUSH_EVERY);
        loop {
            flush.tick().await;
            self.flush();
        }
    }

    fn flush(&self) {
        self.write(Ledger::flush);
        self.unless_broken(self.history.borrow_mut().as_mut().map_or(Ok(()), History::flush));
    }

    fn write(&self, write: impl FnOnce(&mut Ledger) -> Result<(), LoadError>) {
        self.unless_broken(self.ledger.borrow_mut().as_mut().map_or(Ok(()), write));
    }

    /// Returns the result of a write to the ledger or the history. After an error, no further order is placed.
    fn unless_broken<T>(&self, outcome: Result<T, LoadError>) -> Option<T> {
        outcome
            .map_err(|error| {
                self.broken.borrow_mut().get_or_insert(error);
                self.next_order.halt();
            })
            .ok()
    }

    /// Returns whether the ledger or the history failed.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.borrow().is_some()
    }

    /// Returns up to a quarter of the pause, so that clients that were refused together do not retry together.
    fn jitter(&self, pause: Duration) -> Duration {
        // xorshift64: good enough to spread retries.
        let mut dice = self.dice.get();
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        self.dice.set(dice);
        pause * u32::from(u8::try_from(dice >> 56).unwrap_or(0)) / 1024
    }
}

/// Returns whether the same request may succeed later.
fn is_retried(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

fn outcome(answer: &Answer) -> Outcome {
    if !answer.status.is_success() {
        let words = sentence(&problem(answer.status, &answer.body));
        return if answer.status.is_client_error() {
            Outcome::Hopeless(words)
        } else {
            Outcome::Failed(words)
        };
    }
    match serde_json::from_slice::<PlacedOrders>(&answer.body) {
        Ok(PlacedOrders { orders }) if orders.len() == 1 => Outcome::Accepted(orders[0].id),
        Ok(PlacedOrders { orders }) => {
            Outcome::Failed(format!("{} orders came out of one", orders.len()))
        }
        Err(error) => Outcome::Failed(format!("the answer can't be read: {error}")),
    }
}

fn shown(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(duration)
}
