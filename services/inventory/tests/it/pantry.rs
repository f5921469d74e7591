//! An inventory with a kitchen that asks and a market that follows a script.

use std::{
    collections::HashMap,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use contracts::{
    Ingredient, OrderId, PurchaseId, Quantities,
    api::{
        audit::{Facts, PurchaseFact, ReservationFact},
        inventory::{Shelf, Stock},
        service::{Events, ServiceStatus},
    },
    events::{DishCancelled, Event, IngredientsRequested},
    services,
};
use events::{Announce as _, Faults, outbox};
use inventory::{Answer, Config, Inventory, Market, MarketError};
use serde::{Serialize, de::DeserializeOwned};
use service::{Service, ServiceContext};
use store::{Clock, Durability, Location, Migrations};
use tempfile::TempDir;
use test_support::{self, TestDatabase};
use tower::ServiceExt as _;

/// How long a state is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const NO_TABLES: Migrations = Migrations { owner: "test", steps: &[] };

/// Runs each story on both engines; on PostgreSQL where there is one.
macro_rules! on_both_engines {
    ($($story:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $story() {
                super::$story($crate::pantry::Place::folder()).await;
            })+
        }
        mod on_postgresql {
            $(#[tokio::test]
            async fn $story() {
                if let Some(place) = $crate::pantry::Place::postgresql() {
                    super::$story(place).await;
                }
            })+
        }
    };
}
pub(crate) use on_both_engines;

/// Where the data of one test is; gone with this.
pub(crate) struct Place {
    folder: TempDir,
    database: Option<Arc<TestDatabase>>,
}

impl Place {
    pub(crate) fn folder() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), database: None }
    }

    pub(crate) fn postgresql() -> Option<Self> {
        test_support::postgres()
            .map(|database| Self { database: Some(Arc::new(database)), ..Self::folder() })
    }

    /// The place of a second process that shares the database and has a kitchen of its own.
    pub(crate) fn beside(&self) -> Self {
        Self { database: self.database.clone(), ..Self::folder() }
    }

    pub(crate) fn location(&self) -> Location {
        match &self.database {
            Some(database) => database.location(),
            None => self.kitchen_location(),
        }
    }

    /// Each process has a kitchen of its own, so that two of them announce different events.
    fn kitchen_location(&self) -> Location {
        Location::Folder { folder: self.folder.path().to_owned(), durability: Durability::Process }
    }
}

/// What happens when a purchase is asked for the first time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Line {
    /// It is sold.
    Sells(i64),
    /// Nobody can say.
    Unknown,
    /// The call fails, and nothing was sold.
    Fails,
    /// It is sold, and the answer is lost on its way.
    SellsAndFails(i64),
    /// It is sold, and the answer never comes.
    SellsAndHangs(i64),
}

type Script = dyn Fn(usize, Ingredient) -> Line + Send + Sync;

/// A market that follows a script and sells a purchase only once. Clones are the same market.
#[derive(Clone)]
pub(crate) struct Stall {
    script: Arc<Script>,
    state: Arc<Mutex<StallState>>,
    away: Arc<AtomicBool>,
}

#[derive(Default)]
struct StallState {
    calls: usize,
    asked: Vec<PurchaseId>,
    under_way: usize,
    under_way_most: usize,
    receipts: HashMap<PurchaseId, (Ingredient, Answer)>,
}

impl Stall {
    /// `script` is told the number of the call, from 0, and the ingredient.
    pub(crate) fn new(script: impl Fn(usize, Ingredient) -> Line + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(script), state: Arc::default(), away: Arc::default() }
    }

    /// One that has nothing, ever.
    pub(crate) fn empty() -> Self {
        Self::new(|_, _| Line::Sells(0))
    }

    /// The same receipts, another script: the market outlives the inventory.
    pub(crate) fn with(
        &self,
        script: impl Fn(usize, Ingredient) -> Line + Send + Sync + 'static,
    ) -> Self {
        Self { script: Arc::new(script), ..self.clone() }
    }

    pub(crate) fn is_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    pub(crate) fn calls(&self) -> usize {
        self.state.lock().unwrap().calls
    }

    /// Each purchase that was asked for, as often as it was.
    pub(crate) fn asked(&self) -> Vec<PurchaseId> {
        self.state.lock().unwrap().asked.clone()
    }

    pub(crate) fn under_way_most(&self) -> usize {
        self.state.lock().unwrap().under_way_most
    }

    pub(crate) fn sold(&self, ingredient: Ingredient) -> i64 {
        let state = self.state.lock().unwrap();
        let of_it = state.receipts.values().filter(|(other, _)| *other == ingredient);
        of_it
            .map(|(_, answer)| if let Answer::Sold(quantity) = answer { *quantity } else { 0 })
            .sum()
    }

    fn ask(
        &self,
        purchase: PurchaseId,
        ingredient: Ingredient,
    ) -> (Result<Answer, MarketError>, bool) {
        let failed = || Err(MarketError::Failed { why: "the script says so".into() });
        let mut state = self.state.lock().unwrap();
        let call = state.calls;
        state.calls += 1;
        state.asked.push(purchase);
        if self.away.load(Ordering::SeqCst) {
            return (failed(), false);
        }
        if let Some((_, answer)) = state.receipts.get(&purchase) {
            return (Ok(*answer), false);
        }
        let (receipt, answer, hangs) = match (self.script)(call, ingredient) {
            Line::Sells(quantity) => {
                (Some(Answer::Sold(quantity)), Ok(Answer::Sold(quantity)), false)
            }
            Line::Unknown => (Some(Answer::Unknown), Ok(Answer::Unknown), false),
            Line::Fails => (None, failed(), false),
            Line::SellsAndFails(quantity) => (Some(Answer::Sold(quantity)), failed(), false),
            Line::SellsAndHangs(quantity) => (Some(Answer::Sold(quantity)), failed(), true),
        };
        if let Some(receipt) = receipt {
            state.receipts.insert(purchase, (ingredient, receipt));
        }
        (answer, hangs)
    }
}

impl Market for Stall {
    async fn buy(
        &self,
        purchase: PurchaseId,
        ingredient: Ingredient,
    ) -> Result<Answer, MarketError> {
        {
            let mut state = self.state.lock().unwrap();
            state.under_way += 1;
            state.under_way_most = state.under_way_most.max(state.under_way);
        }
        let (answer, hangs) = self.ask(purchase, ingredient);
        // Others get a turn, as they would over a wire.
        tokio::task::yield_now().await;
        if hangs {
            pending::<()>().await;
        }
        self.state.lock().unwrap().under_way -= 1;
        answer
    }
}

/// The inventory under test and what is around it.
pub(crate) struct Pantry {
    context: ServiceContext,
    kitchen: Service,
    router: Router,
}

impl Pantry {
    pub(crate) async fn open(place: &Place, market: &Stall) -> Self {
        Self::open_with(place, market, Faults::default()).await
    }

    pub(crate) async fn open_with(place: &Place, market: &Stall, faults: Faults) -> Self {
        Self::open_at(place, market.clone(), faults).await
    }

    /// Opens one that buys at any market.
    pub(crate) async fn open_at(place: &Place, market: impl Market, faults: Faults) -> Self {
        let context =
            ServiceContext::new(place.location(), events::in_process_with(faults), Clock::System);
        let config = Config {
            breaker_pause: Duration::from_millis(20),
            failure_pause_max: Duration::from_millis(100),
            none_pause_max: Duration::from_millis(50),
            ..Config::default()
        };
        let inventory = Inventory::open(&context, config, market).await.unwrap();
        let mut around = context.clone();
        around.location = place.kitchen_location();
        let mut kitchen = around.open(services::KITCHEN, NO_TABLES).await.unwrap();
        kitchen.consume(|_, _, _| Ok(()));
        // An event is taken over when all who read it have acted on it.
        for reader in [services::ORDERS, services::BOARD] {
            around.open(reader, NO_TABLES).await.unwrap().consume(|_, _, _| Ok(()));
        }
        Self { context, kitchen, router: inventory.router() }
    }

    pub(crate) async fn close(self) {
        self.context.close().await;
    }

    pub(crate) async fn announce<E: Event + Clone + Send + Sync + 'static>(&self, events: Vec<E>) {
        let write = self.kitchen.database().write(move |tx| {
            tx.announce_all(events.iter().cloned());
            Ok(())
        });
        write.await.unwrap();
    }

    pub(crate) async fn request(&self, number: i64, needs: &[(Ingredient, i64)]) -> OrderId {
        let request = request(number, needs);
        let order = request.order;
        self.announce(vec![request]).await;
        order
    }

    pub(crate) async fn cancel(&self, order: OrderId) {
        self.announce(vec![DishCancelled { order }]).await;
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: impl Serialize,
    ) -> (StatusCode, serde_json::Value) {
        let request = Request::builder().method(method).uri(path);
        self.send_with(request, key, body).await
    }

    /// Posts as the holder of an API key, as the gateway does for a guest.
    pub(crate) async fn send_as(
        &self,
        caller: &str,
        path: &str,
        key: &str,
        body: impl Serialize,
    ) -> (StatusCode, serde_json::Value) {
        let request = Request::post(path).header("x-chefcito-key", caller);
        self.send_with(request, Some(key), body).await
    }

    async fn send_with(
        &self,
        mut request: axum::http::request::Builder,
        key: Option<&str>,
        body: impl Serialize,
    ) -> (StatusCode, serde_json::Value) {
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(Body::from(serde_json::to_vec(&body).unwrap())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        serde_json::from_slice(&to_bytes(response.into_body(), usize::MAX).await.unwrap()).unwrap()
    }

    pub(crate) async fn open_stock(&self, opening: &[(Ingredient, i64)]) {
        let opening: Quantities = opening.iter().copied().collect();
        let (status, _) =
            self.send("PUT", "/v1/stock", None, serde_json::json!({"opening": opening})).await;
        assert_eq!(status, StatusCode::OK);
    }

    pub(crate) async fn stock(&self) -> Stock {
        self.get("/v1/stock").await
    }

    pub(crate) async fn shelf(&self, ingredient: Ingredient) -> Shelf {
        let stock = self.stock().await.stock;
        stock.into_iter().find(|shelf| shelf.ingredient == ingredient).unwrap()
    }

    pub(crate) async fn status(&self) -> ServiceStatus {
        self.get("/internal/status").await
    }

    pub(crate) async fn reservations(&self) -> Vec<ReservationFact> {
        self.facts("/internal/facts/reservations", |fact: &ReservationFact| fact.order.to_string())
            .await
    }

    pub(crate) async fn purchases(&self) -> Vec<PurchaseFact> {
        self.facts("/internal/facts/purchases", |fact: &PurchaseFact| fact.purchase.to_string())
            .await
    }

    async fn facts<T: DeserializeOwned>(&self, path: &str, key: impl Fn(&T) -> String) -> Vec<T> {
        let mut all: Vec<T> = Vec::new();
        loop {
            let after = all.last().map_or_else(String::new, &key);
            let page: Facts<T> = self.get(&format!("{path}?after={after}&limit=500")).await;
            if page.facts.is_empty() {
                return all;
            }
            all.extend(page.facts);
        }
    }

    /// What the inventory told about an order or an ingredient, one line an event.
    pub(crate) async fn story(&self, subject: impl ToString) -> Vec<String> {
        let path = format!("/internal/events?subject={}", subject.to_string());
        let Events { events } = self.get(&path).await;
        let about = |event: &contracts::events::Envelope| {
            let mut data: serde_json::Value = serde_json::from_str(event.data.get()).unwrap();
            let fields = data.as_object_mut().unwrap();
            fields.remove("order");
            fields.remove("purchase");
            format!("{} {data}", event.name())
        };
        events.iter().map(about).collect()
    }

    /// Waits until all that was announced is acted on.
    pub(crate) async fn heard(&self) {
        wait_for("all events to be heard", async || {
            let unpublished =
                self.kitchen.database().read(outbox::count_unpublished).await.unwrap();
            unpublished == 0 && self.status().await.unpublished == 0
        })
        .await;
    }

    /// Waits until nobody waits and nothing is being bought.
    pub(crate) async fn settle(&self) {
        wait_for("nobody to wait", async || {
            self.heard().await;
            self.status().await.open == 0
        })
        .await;
    }

    /// Holds what must always hold: the figures of each shelf, and what is bought, reserved and wanted row by row.
    pub(crate) async fn check_balance(&self) {
        let mut reserved = Quantities::new();
        let mut wanted = Quantities::new();
        let mut released = Quantities::new();
        for fact in self.reservations().await {
            for (ingredient, quantity) in fact.needs {
                let sums = match fact.status.as_str() {
                    "reserved" => vec![&mut reserved],
                    "released" => vec![&mut reserved, &mut released],
                    "waiting" => vec![&mut wanted],
                    _ => vec![],
                };
                for sum in sums {
                    *sum.entry(ingredient).or_default() += quantity;
                }
            }
        }
        let mut bought = Quantities::new();
        for fact in self.purchases().await {
            *bought.entry(fact.ingredient).or_default() += fact.quantity;
        }
        let of = |sums: &Quantities, ingredient| sums.get(&ingredient).copied().unwrap_or(0);
        for shelf in self.stock().await.stock {
            let Shelf { ingredient, on_hand, .. } = shelf;
            assert!(on_hand >= 0, "{ingredient}");
            let sum =
                shelf.opening + shelf.adjustments + shelf.bought - shelf.reserved + shelf.released;
            assert_eq!(sum, on_hand, "{ingredient}");
            assert_eq!(of(&reserved, ingredient), shelf.reserved, "{ingredient}");
            assert_eq!(of(&released, ingredient), shelf.released, "{ingredient}");
            assert_eq!(of(&bought, ingredient), shelf.bought, "{ingredient}");
            assert_eq!((of(&wanted, ingredient) - on_hand).max(0), shelf.missing, "{ingredient}");
        }
    }
}

/// A request of an order of its own.
pub(crate) fn request(number: i64, needs: &[(Ingredient, i64)]) -> IngredientsRequested {
    let needs = needs.iter().copied().collect();
    IngredientsRequested {
        order: OrderId::new(),
        number,
        dish: "stew".into(),
        recipe_version: 1,
        needs,
    }
}

/// Waits for a state, and gives up after [`PATIENCE`].
pub(crate) async fn wait_for(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
