//! The worker that buys: it saves the intent of each purchase, asks the market outside of any transaction, and books the
//! answers of all that were ready together.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use ::store::{StoreError, jittered};
use contracts::{Ingredient, PurchaseId, Timestamp};
use service::Service;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::{
    Config, Signals,
    attempts::Attempts,
    commands::{Answered, Restocked, Round, restock},
    domain::{Appetite, Breaker, Gate, INGREDIENTS},
    figures::Figures,
    market::{Answer, Market, MarketError},
};

/// How often the buyer looks without being woken: the safety net, and how replicas see each other's shortages.
const IDLE: Duration = Duration::from_secs(1);
/// How long a call of the market may take. The purchase is asked again afterwards.
const CALL_MAX: Duration = Duration::from_secs(10);
/// How long to wait before a failed purchase is asked again; doubled each time, up to `Config::failure_pause_max`.
const FAILURE_PAUSE: Duration = Duration::from_millis(50);
/// How long to wait when the database failed.
const DATABASE_PAUSE: Duration = Duration::from_millis(100);
/// How old an open purchase is that some other replica must have left: more than a call may take. Where both ask for it, it
/// is still one purchase.
const LEFT_BEHIND: Duration = Duration::from_secs(12);

type Call = (PurchaseId, Result<Answer, MarketError>);

/// A purchase that is open.
struct Pending {
    ingredient: Ingredient,
    failures: u32,
    turn: Turn,
}

enum Turn {
    /// It is to be asked at this moment.
    AskAt(Instant),
    /// It is being asked.
    Asking(AbortHandle),
}

/// The buyer of one process.
pub(crate) struct Buyer<M> {
    service: Service,
    config: Config,
    market: Arc<M>,
    signals: Signals,
    figures: Figures,
    attempts: Attempts,
    calls: JoinSet<Call>,
    pending: HashMap<PurchaseId, Pending>,
    appetites: [Appetite; INGREDIENTS],
    breaker: Breaker,
    /// Answers that are not saved yet.
    answers: Vec<Answered>,
    /// Whether all open purchases are to be asked, those of other replicas, too: after a start, or a commit that may have happened.
    adopts: bool,
}

impl<M: Market> Buyer<M> {
    pub(crate) fn new(
        service: Service,
        config: Config,
        market: M,
        signals: Signals,
        figures: Figures,
        attempts: Attempts,
    ) -> Self {
        let breaker =
            Breaker::new(config.breaker_failures, config.breaker_pause, config.failure_pause_max);
        Self {
            service,
            config,
            market: Arc::new(market),
            signals,
            figures,
            attempts,
            calls: JoinSet::new(),
            pending: HashMap::new(),
            appetites: [Appetite::default(); INGREDIENTS],
            breaker,
            answers: Vec::new(),
            adopts: true,
        }
    }

    /// Buys until the context is closed. Calls under way are given up then: their purchases stay open, and the next
    /// process asks for them again.
    pub(crate) async fn run(mut self) {
        let stop = self.service.context().stop().clone();
        loop {
            let next = match self.round().await {
                Ok(next) => next,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    warn!("The buyer tries again: {error}");
                    self.adopts = true;
                    Instant::now() + jittered(DATABASE_PAUSE)
                }
            };
            let mut arrived = Vec::new();
            tokio::select! {
                () = stop.cancelled() => return,
                Some(call) = self.calls.join_next() => arrived.push(call),
                () = self.signals.shortage.notified() => {}
                () = tokio::time::sleep_until(next.into()) => {}
            }
            while let Some(call) = self.calls.try_join_next() {
                arrived.push(call);
            }
            self.take(arrived);
        }
    }

    /// Saves what was answered and opens what is still missing, and asks for all that is due; returns when to look again.
    async fn round(&mut self) -> Result<Instant, StoreError> {
        let now = Instant::now();
        let clock_now = self.service.context().clock.now();
        let open_max = match self.breaker.gate(now) {
            Gate::Open => self.config.purchases_open_max,
            Gate::Trial => 1,
            Gate::ShutUntil(_) | Gate::AwaitingTrial => 0,
        };
        let answers = std::mem::take(&mut self.answers);
        let round = Round { answers, appetites: self.appetites, open_max, now };
        let (round, signals) = (Arc::new(round), self.signals.clone());
        let saved = {
            let round = Arc::clone(&round);
            self.service.database().write(move |tx| restock(tx, &round, &signals)).await
        };
        match saved {
            Ok(restocked) => {
                self.figures
                    .missing
                    .set(restocked.missing.iter().map(|(_, quantity)| quantity).sum());
                self.follow(&restocked, now);
                self.ask_what_is_due(now);
                self.show_breaker(now);
                self.plan_attempts(now, clock_now);
                Ok(self.next_look(&restocked, now))
            }
            Err(error) => {
                self.answers.extend_from_slice(&round.answers);
                Err(error)
            }
        }
    }

    /// Keeps what is open in the database, and only that.
    fn follow(&mut self, restocked: &Restocked, now: Instant) {
        let first_new = restocked.open.len() - restocked.opened;
        let clock_now = self.service.context().clock.now();
        let mut open = HashSet::with_capacity(restocked.open.len());
        for (place, purchase) in restocked.open.iter().enumerate() {
            open.insert(purchase.id);
            let ours = self.adopts || place >= first_new;
            if ours || clock_now.since(purchase.asked_at) > LEFT_BEHIND {
                self.pending.entry(purchase.id).or_insert(Pending {
                    ingredient: purchase.ingredient,
                    failures: 0,
                    turn: Turn::AskAt(now),
                });
            }
        }
        self.adopts = false;
        self.pending
            .retain(|id, pending| open.contains(id) || matches!(pending.turn, Turn::Asking(_)));
    }

    fn ask_what_is_due(&mut self, now: Instant) {
        match self.breaker.gate(now) {
            Gate::Open => {
                let due: Vec<PurchaseId> = self
                    .pending
                    .iter()
                    .filter(
                        |(_, pending)| matches!(pending.turn, Turn::AskAt(moment) if moment <= now),
                    )
                    .map(|(id, _)| *id)
                    .collect();
                due.into_iter().for_each(|id| self.ask(id));
            }
            Gate::Trial => {
                let waiting = |pending: &Pending| matches!(pending.turn, Turn::AskAt(_));
                let oldest = self
                    .pending
                    .iter()
                    .filter(|(_, pending)| waiting(pending))
                    .map(|(id, _)| *id)
                    .min();
                if let Some(id) = oldest {
                    self.breaker.try_once();
                    self.ask(id);
                }
            }
            Gate::ShutUntil(_) | Gate::AwaitingTrial => {}
        }
    }

    fn ask(&mut self, id: PurchaseId) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        let (market, ingredient) = (Arc::clone(&self.market), pending.ingredient);
        pending.turn = Turn::Asking(self.calls.spawn(async move {
            match tokio::time::timeout(CALL_MAX, market.buy(id, ingredient)).await {
                Ok(outcome) => (id, outcome),
                Err(_) => (id, Err(MarketError::TimedOut { after: CALL_MAX })),
            }
        }));
    }

    /// Takes calls that ended, and learns from them.
    fn take(&mut self, arrived: Vec<Result<Call, JoinError>>) {
        let now = Instant::now();
        let mut sales: [Vec<i64>; INGREDIENTS] = Default::default();
        for call in arrived {
            match call {
                Ok((id, Ok(answer))) => {
                    if let Some(pending) = self.pending.remove(&id) {
                        // One who never knows is asked less and less, like one who has none.
                        sales[pending.ingredient as usize].push(match answer {
                            Answer::Sold(quantity) => quantity,
                            Answer::Unknown => 0,
                        });
                        self.answered(id, pending.ingredient, answer, now);
                    }
                }
                Ok((id, Err(error))) => self.failed(id, &error, now),
                Err(panic) => {
                    let error = MarketError::Failed { why: panic.to_string() };
                    self.ended_calls().into_iter().for_each(|id| self.failed(id, &error, now));
                }
            }
        }
        self.show_breaker(now);
        for (appetite, sales) in self.appetites.iter_mut().zip(sales) {
            appetite.learn(&sales, now, jitter(), self.config.none_pause_max);
        }
    }

    fn show_breaker(&self, now: Instant) {
        self.figures.breaker.set(match self.breaker.gate(now) {
            Gate::Open => 0,
            Gate::Trial | Gate::AwaitingTrial => 1,
            Gate::ShutUntil(_) => 2,
        });
    }

    fn answered(
        &mut self,
        purchase: PurchaseId,
        ingredient: Ingredient,
        answer: Answer,
        now: Instant,
    ) {
        self.figures.answered(answer);
        if answer == Answer::Unknown {
            warn!(
                "Purchase {purchase} of {ingredient} counts zero: whether it was sold can't be found out"
            );
        }
        self.answers.push(Answered { purchase, ingredient, answer });
        if self.breaker.succeeded() {
            info!("The market answers again");
            self.service.set_degraded(None);
            for pending in self.pending.values_mut() {
                if let Turn::AskAt(moment) = &mut pending.turn {
                    *moment = now;
                    pending.failures = 0;
                }
            }
        }
    }

    fn failed(&mut self, purchase: PurchaseId, error: &MarketError, now: Instant) {
        self.figures.failed();
        debug!("Purchase {purchase} will be asked again: {error}");
        let pause_max = self.config.failure_pause_max;
        if let Some(pending) = self.pending.get_mut(&purchase) {
            let pause = FAILURE_PAUSE.saturating_mul(1 << pending.failures.min(16)).min(pause_max);
            pending.failures += 1;
            pending.turn = Turn::AskAt(now + jittered(pause));
        }
        if self.breaker.failed(now) {
            let failures = self.breaker.failures();
            warn!(
                "Leaves the market alone for a while, because it failed {failures} times in a row: {error}"
            );
            self.service.set_degraded(Some(format!("waits for the market: {error}")));
        }
    }

    /// Returns purchases whose calls ended without a word.
    fn ended_calls(&self) -> Vec<PurchaseId> {
        let ended =
            |pending: &Pending| matches!(&pending.turn, Turn::Asking(call) if call.is_finished());
        self.pending.iter().filter(|(_, pending)| ended(pending)).map(|(id, _)| *id).collect()
    }

    /// Says when the market is asked again for each ingredient of which no purchase is being asked.
    fn plan_attempts(&self, now: Instant, clock_now: Timestamp) {
        let mut asked = [false; INGREDIENTS];
        let mut planned: [Option<Instant>; INGREDIENTS] =
            self.appetites.map(|appetite| appetite.waits_until(now));
        for Pending { ingredient, turn, .. } in self.pending.values() {
            let place = *ingredient as usize;
            match turn {
                Turn::Asking(_) => asked[place] = true,
                Turn::AskAt(moment) => {
                    planned[place] = Some(planned[place].map_or(*moment, |at| at.min(*moment)));
                }
            }
        }
        let gate = self.breaker.gate(now);
        let moments = std::array::from_fn(|place| {
            let at = match gate {
                _ if asked[place] => None,
                Gate::Open | Gate::Trial => planned[place],
                Gate::ShutUntil(until) => Some(planned[place].map_or(until, |at| at.max(until))),
                Gate::AwaitingTrial => None,
            };
            Some(clock_now.plus(at?.saturating_duration_since(now)))
        });
        self.attempts.plan(moments);
    }

    /// Returns when there will be something to do, if nothing happens before.
    fn next_look(&self, restocked: &Restocked, now: Instant) -> Instant {
        let idle = now + IDLE;
        match self.breaker.gate(now) {
            Gate::Open => {
                let asks = self.pending.values().filter_map(|pending| match pending.turn {
                    Turn::AskAt(moment) => Some(moment),
                    Turn::Asking(_) => None,
                });
                let short = restocked.missing.iter().filter(|(_, quantity)| *quantity > 0);
                let waits = short.filter_map(|(ingredient, _)| {
                    self.appetites[ingredient as usize].waits_until(now)
                });
                asks.chain(waits).fold(idle, Instant::min)
            }
            Gate::ShutUntil(until) => until.min(idle),
            Gate::Trial | Gate::AwaitingTrial => idle,
        }
    }
}

/// Draws a number from 0 to 1.
fn jitter() -> f64 {
    let drawn = Uuid::new_v4().as_u128() & u128::from(u32::MAX);
    f64::from(u32::try_from(drawn).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}
