//! Follows the accepted orders to their end, in batches.

use std::{
    cell::Cell,
    rc::Rc,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use ::history::Ask;
use client::{problem, sentence};
use contracts::{
    OrderId, Timestamp,
    api::orders::{AskStates, OrderStates, OrderStatus},
};
use http::StatusCode;
use uuid::Uuid;

use super::{
    in_flight::{ASKED_MAX, Batch},
    report::Stretch,
    sender::Shared,
    wire::{Form, Wire},
};

/// The longest pause, so that the end of placing is noticed.
const NAP_MAX: Duration = Duration::from_millis(20);
/// How long an answer about states may take.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);
/// The pause after a request without an answer.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);
/// After a request that finds few orders at their end, the pause is its duration times this, so that asking too early
/// takes little from the environment.
const PAUSE_FACTOR: u32 = 4;
/// The shortest pause between requests while orders are placed, or many are in flight: each covers many orders, so that
/// the environment spends its time on orders and not on questions about them. When each order ended is known from its own times.
const PAUSE: Duration = Duration::from_millis(50);
/// The most orders that count as few.
const FEW_MAX: usize = 32;

/// The state that the sender shares with the follower.
#[derive(Clone, Debug, Default)]
pub(super) struct Following {
    placed: Rc<Cell<Option<(Timestamp, Instant)>>>,
}

impl Following {
    /// Says that all orders were placed at that time; the follower waits for their ends until `deadline`.
    pub(super) fn placed_all(&self, at: Timestamp, deadline: Instant) {
        self.placed.set(Some((at, deadline)));
    }
}

/// Follows until all orders are placed and at their end, or the deadline is over.
pub(super) async fn follow(shared: Rc<Shared>, mut wire: Wire, form: Form, following: Following) {
    let mut stretch = Stretch::default();
    let mut asked_last = Instant::now();
    // With a full batch, more orders are due.
    let mut was_full = false;
    loop {
        let now = Instant::now();
        let (next_due, in_flight) = {
            let in_flight = shared.in_flight.borrow();
            (in_flight.next_due(), in_flight.len())
        };
        if let Some((_, deadline)) = following.placed.get()
            && (in_flight == 0 || now >= deadline || shared.is_broken())
        {
            break;
        }
        let is_waited_for = following.placed.get().is_some() && in_flight <= FEW_MAX;
        let pause = if is_waited_for || was_full { Duration::ZERO } else { PAUSE };
        let due = next_due.map(|due| due.max(asked_last + pause));
        match due {
            Some(due) if due <= now => {}
            due => {
                let nap = due.map_or(NAP_MAX, |due| due.duration_since(now).min(NAP_MAX));
                tokio::time::sleep(nap).await;
                continue;
            }
        }
        let batch = shared.in_flight.borrow_mut().take_due(now);
        let many = batch.len();
        was_full = many == ASKED_MAX;
        let found = match ask(&shared, &mut wire, &form, &batch).await {
            Ok(states) => shared.settle(batch, states, &following, &mut stretch),
            Err(Unanswered::Later) => {
                shared.in_flight.borrow_mut().asked(batch, &[], Instant::now());
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                continue;
            }
            Err(Unanswered::Never(why)) => {
                shared.in_flight.borrow_mut().asked(batch, &[], Instant::now());
                shared.report.borrow_mut().not_followed = Some(why);
                break;
            }
        };
        asked_last = Instant::now();
        if found * 2 < many && many > FEW_MAX {
            tokio::time::sleep(asked_last.duration_since(now) * PAUSE_FACTOR).await;
        }
    }
}

/// Why a request has no answer.
enum Unanswered {
    /// A later one may have.
    Later,
    /// No later one will have.
    Never(String),
}

async fn ask(
    shared: &Shared,
    wire: &mut Wire,
    form: &Form,
    batch: &Batch,
) -> Result<OrderStates, Unanswered> {
    let question = AskStates { ids: batch.ids().map(OrderId::from).collect() };
    let body =
        serde_json::to_vec(&question).map_err(|error| Unanswered::Never(error.to_string()))?;
    let request = form.filled(body.into(), None);
    let read = || Ask::Read { orders: question.ids };
    let exchange = shared.exchange(wire, request, Instant::now() + ANSWER_WAIT_MAX, read);
    let answer = exchange.await.map_err(|_| Unanswered::Later)?;
    match answer.status {
        StatusCode::OK => serde_json::from_slice(&answer.body)
            .map_err(|error| Unanswered::Never(format!("the answer can't be read: {error}"))),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Err(Unanswered::Later),
        status if status.is_server_error() => Err(Unanswered::Later),
        status => Err(Unanswered::Never(sentence(&problem(status, &answer.body)))),
    }
}

impl Shared {
    /// Counts the orders that are at their end, and returns how many they are.
    fn settle(
        &self,
        batch: Batch,
        states: OrderStates,
        following: &Following,
        stretch: &mut Stretch,
    ) -> usize {
        let mut ends = states.orders;
        ends.retain(|order| order.status.is_end());
        ends.sort_unstable_by_key(|order| order.id);
        ends.dedup_by_key(|order| order.id);
        let ids: Vec<Uuid> = ends.iter().map(|order| order.id.uuid()).collect();

        let mut report = self.report.borrow_mut();
        let mut in_flight = self.in_flight.borrow_mut();
        in_flight.asked(batch, &ids, Instant::now());
        for order in &ends {
            let ended_at = order.ended_at.unwrap_or(order.placed_at);
            match order.status {
                OrderStatus::Delivered => {
                    let took = ended_at.since(order.placed_at);
                    report.deliver(order.id, order.dish.as_deref(), took);
                    stretch.note(order.placed_at, ended_at);
                    in_flight.took(took);
                    if following.placed.get().is_none_or(|(placed_all, _)| ended_at <= placed_all) {
                        report.delivered_while_placing += 1;
                    }
                }
                OrderStatus::Cancelled => report.cancelled += 1,
                OrderStatus::Rejected => report.rejected += 1,
                OrderStatus::Placed | OrderStatus::Cancelling | OrderStatus::Cooking => {}
            }
        }
        report.delivering = stretch.length();
        self.tally.ended.fetch_add(ends.len() as u64, Ordering::Relaxed);
        ends.len()
    }
}
