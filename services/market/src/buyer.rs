//! Buys: saves the intent, calls, saves the receipt, tells.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ::store::{BatchQueue, StoreError, jittered};
use contracts::{Ingredient, PurchaseId, services};
use service::{Service, ServiceContext};
use tokio::{
    sync::{Semaphore, oneshot},
    time::{Instant, sleep, timeout_at},
};
use tracing::{info, warn};

use crate::{
    Config, MIGRATIONS, OpenError,
    commands::{
        save_intents::{Intent, save_intents},
        save_receipts::{Receipt, save_receipts},
    },
    domain::{Bought, Called, Status, Step, Trouble, may_call_again},
    farmers::Farmers,
    store,
};

/// How many purchases are under way at once, those that wait for their turn included; more are refused at once.
const PURCHASES_MAX: usize = 4_096;
/// How often the farmers are called for one purchase before the buyer is told that it did not work. The buyer has the long
/// breath; this is for a hiccup.
const CALLS_PER_PURCHASE_MAX: u32 = 3;
/// How long to wait before the second call; twice that before the third.
const PAUSE: Duration = Duration::from_millis(50);
/// How often it is tried to save a receipt: what the farmers said can't be asked for again at every market.
const SAVES_MAX: u32 = 6;
/// How long a call that is under way may take when the context is closed.
const LAST_CALL_MAX: Duration = Duration::from_secs(2);
/// How often the log tells of trouble with the market at the most.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Why a purchase has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the purchase is one of {0}: use a new id for a new purchase")]
    OtherIngredient(Ingredient),
    #[error("the farmers' market is away: {0}")]
    Away(Trouble),
    #[error("the farmers' market refuses the purchase: {0}")]
    Refused(Trouble),
    #[error("too many purchases are under way: ask again")]
    Busy,
    #[error("the market can't save the purchase now: ask again")]
    Unsaved,
    #[error("the market is being stopped: ask again")]
    Stopping,
    #[error("something went wrong on our side")]
    Internal,
}

/// What the callers of one purchase are told.
type Outcome = Result<Bought, Refusal>;

/// A purchase under way, and the callers that wait for it.
#[derive(Debug)]
struct UnderWay {
    ingredient: Ingredient,
    waiting: Vec<oneshot::Sender<Outcome>>,
}

/// Whether the market is in trouble, and when the log last told of it.
#[derive(Debug, Default)]
struct Health {
    in_trouble: bool,
    told_at: Option<Instant>,
    told_open: bool,
}

/// Buys at one market.
#[derive(Debug)]
pub(crate) struct Buyer {
    pub(crate) service: Service,
    config: Config,
    farmers: Farmers,
    intents: BatchQueue<Intent, Step>,
    receipts: BatchQueue<Receipt, Status>,
    turns: Semaphore,
    under_way: Mutex<HashMap<PurchaseId, UnderWay>>,
    health: Mutex<Health>,
}

impl Buyer {
    pub(crate) async fn open(
        context: &ServiceContext,
        config: Config,
        farmers: Farmers,
    ) -> Result<Arc<Self>, OpenError> {
        let mut service = context.open(services::MARKET, MIGRATIONS).await?;
        service.count_open(store::count_open);
        let asks_again = config.asks_again;
        let intents =
            service.database().batch_queue(move |tx, all| save_intents(tx, all, asks_again));
        let receipts = service.database().batch_queue(save_receipts);
        Ok(Arc::new(Self {
            turns: Semaphore::new(config.calls_max),
            service,
            config,
            farmers,
            intents,
            receipts,
            under_way: Mutex::default(),
            health: Mutex::default(),
        }))
    }

    pub(crate) const fn context(&self) -> &ServiceContext {
        self.service.context()
    }

    /// Buys, or joins the callers that wait for the same purchase. The purchase goes on if its callers stop waiting.
    ///
    /// # Errors
    /// [`Refusal`], after which the same purchase can be asked for again, unless it is of another ingredient.
    pub(crate) async fn buy(self: &Arc<Self>, intent: Intent) -> Outcome {
        self.join(intent)?.await.unwrap_or(Err(Refusal::Internal))
    }

    fn join(self: &Arc<Self>, intent: Intent) -> Result<oneshot::Receiver<Outcome>, Refusal> {
        if self.context().stop().is_cancelled() {
            return Err(Refusal::Stopping);
        }
        let (sender, outcome) = oneshot::channel();
        let mut under_way = self.lock();
        let is_full = under_way.len() >= PURCHASES_MAX;
        match under_way.get_mut(&intent.purchase) {
            Some(same) if same.ingredient != intent.ingredient => {
                return Err(Refusal::OtherIngredient(same.ingredient));
            }
            Some(same) => same.waiting.push(sender),
            None if is_full => return Err(Refusal::Busy),
            None => {
                let new = UnderWay { ingredient: intent.ingredient, waiting: vec![sender] };
                under_way.insert(intent.purchase, new);
                drop(under_way);
                let buyer = Arc::clone(self);
                let mut place =
                    Place { buyer, purchase: intent.purchase, outcome: Err(Refusal::Internal) };
                self.context().spawn(async move {
                    place.outcome = place.buyer.carry_out(intent).await;
                    drop(place);
                });
            }
        }
        Ok(outcome)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PurchaseId, UnderWay>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn carry_out(&self, intent: Intent) -> Outcome {
        let deadline = Instant::now() + self.config.purchase_max;
        let Ok(Ok(_turn)) = timeout_at(deadline, self.turns.acquire()).await else {
            return Err(Refusal::Busy);
        };
        // Without time for a call, the purchase must not be saved as one that may have been made.
        if Instant::now() >= deadline {
            return Err(Refusal::Busy);
        }
        match self.intents.submit(intent).await.map_err(unsaved)? {
            Step::Tell(bought) => Ok(bought),
            Step::OtherIngredient(other) => Err(Refusal::OtherIngredient(other)),
            Step::GiveUp => {
                warn_unknown(intent);
                Ok(Bought::Unknown)
            }
            Step::Call => {
                let called = self.call(intent, deadline).await;
                self.note(&called);
                self.settle(intent, called).await
            }
        }
    }

    /// Calls until there is an outcome, it may not be called again, or the time is over.
    async fn call(&self, intent: Intent, deadline: Instant) -> Called {
        let mut pause = PAUSE;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            let call_max = self.config.call_max.min(left);
            let call = self.farmers.call(intent.purchase, intent.ingredient, call_max);
            let called = self.or_last_call(call).await;
            let waited = jittered(pause);
            let is_last = attempt >= CALLS_PER_PURCHASE_MAX
                || Instant::now() + waited >= deadline
                || self.context().stop().is_cancelled();
            if is_last || !may_call_again(&called, self.config.asks_again) {
                return called;
            }
            sleep(waited).await;
            pause *= 2;
        }
    }

    async fn or_last_call(&self, call: impl Future<Output = Called>) -> Called {
        let stopped = async {
            self.context().stop().cancelled().await;
            sleep(LAST_CALL_MAX).await;
        };
        tokio::select! {
            called = call => called,
            () = stopped => Called::Unclear(Trouble::Late),
        }
    }

    /// Saves what came of the calls, as far as it is an end, and returns what to tell.
    async fn settle(&self, intent: Intent, called: Called) -> Outcome {
        let asks_again = self.config.asks_again;
        let (status, otherwise) = match called {
            Called::Sold(quantity) => (Status::Done { quantity }, Refusal::Internal),
            // It stays open, as under way: an earlier call may have sold something, and asking again finds out.
            Called::NothingSold(trouble) | Called::Unclear(trouble) if asks_again => {
                return Err(Refusal::Away(trouble));
            }
            Called::Refused(trouble) if asks_again => return Err(Refusal::Refused(trouble)),
            Called::NothingSold(trouble) => {
                (Status::Open { under_way: false }, Refusal::Away(trouble))
            }
            Called::Refused(trouble) => {
                (Status::Open { under_way: false }, Refusal::Refused(trouble))
            }
            Called::Unclear(trouble) => (Status::Unknown, Refusal::Away(trouble)),
        };
        let receipt = Receipt { purchase: intent.purchase, status };
        match self.save(receipt).await? {
            Status::Done { quantity } => Ok(Bought::Sold(quantity)),
            Status::Unknown => {
                warn_unknown(intent);
                Ok(Bought::Unknown)
            }
            Status::Open { .. } => Err(otherwise),
        }
    }

    async fn save(&self, receipt: Receipt) -> Result<Status, Refusal> {
        let mut pause = PAUSE;
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.receipts.submit(receipt).await {
                Ok(status) => return Ok(status),
                Err(error) if attempt < SAVES_MAX && error.is_transient() => {}
                Err(error) => return Err(unsaved(error)),
            }
            sleep(jittered(pause)).await;
            pause *= 2;
        }
    }

    /// Tells the status and the log when trouble with the market begins and ends.
    fn note(&self, called: &Called) {
        let trouble = match called {
            Called::Sold(_) => None,
            Called::NothingSold(trouble) | Called::Refused(trouble) | Called::Unclear(trouble) => {
                Some(*trouble)
            }
        };
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.is_some() == health.in_trouble {
            return;
        }
        health.in_trouble = trouble.is_some();
        self.service
            .set_degraded(trouble.map(|trouble| format!("the farmers' market is away: {trouble}")));
        match trouble {
            Some(trouble) if health.told_at.is_none_or(|told| told.elapsed() >= TOLD_EVERY) => {
                health.told_at = Some(Instant::now());
                health.told_open = true;
                warn!("The farmers' market is away: {trouble}");
            }
            None if std::mem::take(&mut health.told_open) => {
                info!("The farmers' market answers again");
            }
            _ => {}
        }
    }
}

/// The place of one purchase among those under way. When it is dropped, for whatever reason, all its callers are told.
struct Place {
    buyer: Arc<Buyer>,
    purchase: PurchaseId,
    outcome: Outcome,
}

impl Drop for Place {
    fn drop(&mut self) {
        let ended = self.buyer.lock().remove(&self.purchase);
        for waiting in ended.into_iter().flat_map(|ended| ended.waiting) {
            // The caller may have stopped waiting; the receipt is saved.
            let _ = waiting.send(self.outcome);
        }
    }
}

fn unsaved(error: StoreError) -> Refusal {
    match error {
        StoreError::Rejected(why) => {
            tracing::error!("Could not save a purchase: {why}");
            Refusal::Internal
        }
        StoreError::Closed => Refusal::Stopping,
        StoreError::Busy { .. } => Refusal::Busy,
        StoreError::Engine(_)
        | StoreError::Damaged(_)
        | StoreError::Full(_)
        | StoreError::Io(_)
        | StoreError::Conflict(_)
        | StoreError::Unknown(_) => Refusal::Unsaved,
    }
}

fn warn_unknown(Intent { purchase, ingredient }: Intent) {
    warn!(
        purchase.id = %purchase,
        "Whether the farmers sold {ingredient} to {purchase} can't be found out"
    );
}
