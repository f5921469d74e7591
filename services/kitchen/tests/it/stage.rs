use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use contracts::{
    OrderId, Timestamp,
    api::audit::{Facts, TicketFact},
    events::{
        CancellationRequested, Envelope, Event, IngredientsRequested, IngredientsReserved,
        OrderPlaced,
    },
    services::{BOARD, INVENTORY, ORDERS},
};
use events::{Announce as _, Faults, consumer::read_all, outbox};
use http_body_util::BodyExt;
use kitchen::{Config, Kitchen};
use serde::de::DeserializeOwned;
use service::{Service, ServiceContext};
use store::{Clock, Durability, Location, Migrations};
use tempfile::TempDir;
use tower::ServiceExt;

/// How long a test waits for a state at the most.
const WAIT_MAX: Duration = Duration::from_secs(60);
const NOON: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

pub(crate) const MENU: &str = r#"{"recipes": [
    {"name": "burger", "ingredients": {"meat": 1, "cheese": 1, "ketchup": 1, "lettuce": 1}, "cooking_time_ms": 500},
    {"name": "pizza", "ingredients": {"cheese": 2, "tomato": 3}, "cooking_time_ms": 1000},
    {"name": "salad", "ingredients": {"lemon": 1, "onion": 1, "tomato": 2, "lettuce": 2}, "cooking_time_ms": 200}
]}"#;

/// A kitchen, and those who talk with it.
pub(crate) struct Stage {
    pub(crate) context: ServiceContext,
    pub(crate) kitchen: Kitchen,
    // The others are on a context of their own: several kitchens may share a database, those who talk with each do not.
    others: ServiceContext,
    others_folder: Arc<TempDir>,
    orders: Service,
    inventory: Service,
    // Whether the inventory reserves at once what it is asked for.
    has_all: Arc<AtomicBool>,
    number: AtomicI64,
}

/// What a stage is to be like.
pub(crate) struct Plan {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    pub(crate) location: Option<Location>,
    pub(crate) folder: Arc<TempDir>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            config: Config::default(),
            clock: Clock::fixed(NOON),
            faults: Faults::default(),
            location: None,
            folder: Arc::new(tempfile::tempdir().unwrap()),
        }
    }
}

impl Stage {
    /// Opens a kitchen with the usual menu, at a time that stands still.
    pub(crate) async fn open() -> Self {
        Self::with(Plan::default()).await
    }

    pub(crate) async fn with(plan: Plan) -> Self {
        let bus = events::in_process_with(plan.faults);
        let in_folder =
            Location::Folder { folder: plan.folder.path().into(), durability: Durability::Process };
        let location = plan.location.unwrap_or_else(|| in_folder.clone());
        let context = ServiceContext::new(location, bus.clone(), plan.clock.clone());
        let kitchen = Kitchen::open(&context, plan.config).await.unwrap();
        let others = ServiceContext::new(in_folder, bus, plan.clock);
        let has_all = Arc::new(AtomicBool::new(true));
        let mut orders = others.open(ORDERS, none_of(ORDERS)).await.unwrap();
        orders.consume(|_, _, _| Ok(()));
        let mut board = others.open(BOARD, none_of(BOARD)).await.unwrap();
        board.consume(|_, _, _| Ok(()));
        let mut inventory = others.open(INVENTORY, none_of(INVENTORY)).await.unwrap();
        let reserves = Arc::clone(&has_all);
        inventory.consume(move |tx, name, events| {
            if name == IngredientsRequested::NAME && reserves.load(Ordering::SeqCst) {
                let requested = read_all::<IngredientsRequested>(events)?;
                tx.announce_all(requested.into_iter().map(|event| IngredientsReserved {
                    order: event.order,
                    reserved: event.needs,
                    waited: false,
                }));
            }
            Ok(())
        });
        let number = AtomicI64::new(1);
        let stage = Self {
            context,
            kitchen,
            others,
            others_folder: plan.folder,
            orders,
            inventory,
            has_all,
            number,
        };
        stage.put("/v1/recipes", MENU).await;
        stage
    }

    /// Lets what is under way end, and closes everything.
    pub(crate) async fn close(&self) {
        self.context.close().await;
        self.others.close().await;
    }

    /// Closes everything and opens it again with the same data.
    pub(crate) async fn reopen(self, config: Config) -> Self {
        self.close().await;
        let (clock, folder) = (self.context.clock.clone(), Arc::clone(&self.others_folder));
        let stage = Self::with(Plan { config, clock, folder, ..Plan::default() }).await;
        stage.number.store(self.number.load(Ordering::SeqCst), Ordering::SeqCst);
        stage
    }

    /// From now on the inventory reserves only what the test tells it to.
    pub(crate) fn shelves_are_empty(&self) {
        self.has_all.store(false, Ordering::SeqCst);
    }

    pub(crate) async fn order(&self, dish: &str) -> OrderId {
        self.orders(1, Some(dish)).await[0]
    }

    /// Places orders with running numbers.
    pub(crate) async fn orders(&self, count: i64, dish: Option<&str>) -> Vec<OrderId> {
        let first = self.number.fetch_add(count, Ordering::SeqCst);
        let placed: Vec<OrderPlaced> = (first..first + count)
            .map(|number| OrderPlaced {
                order: OrderId::new(),
                number,
                dish: dish.map(str::to_owned),
                placed_at: Timestamp::default(),
            })
            .collect();
        let ids = placed.iter().map(|placed| placed.order).collect();
        tell(&self.orders, placed).await;
        ids
    }

    pub(crate) async fn place(&self, placed: OrderPlaced) {
        tell(&self.orders, vec![placed]).await;
    }

    pub(crate) async fn cancel(&self, order: OrderId) {
        tell(&self.orders, vec![CancellationRequested { order }]).await;
    }

    pub(crate) async fn reserve(&self, order: OrderId) {
        let reserved = contracts::Quantities::new();
        tell(&self.inventory, vec![IngredientsReserved { order, reserved, waited: true }]).await;
    }

    /// Returns what the kitchen told about an order, a line an event.
    pub(crate) async fn story(&self, order: OrderId) -> String {
        let events = self.events(&order.to_string()).await;
        events
            .iter()
            .map(|event| format!("{} {}", event.name(), told(event)))
            .collect::<Vec<_>>()
            .join("\n")
    }

    pub(crate) async fn events(&self, subject: &str) -> Vec<Envelope> {
        let subject = subject.to_owned();
        let read = move |tx: &mut store::Tx<'_>| outbox::events_of(tx, &subject, 1_000);
        self.kitchen.service().database().read(read).await.unwrap()
    }

    /// Waits until the kitchen told this about an order.
    pub(crate) async fn until(&self, order: OrderId, event: &str) {
        let subject = order.to_string();
        until(&format!("{event} of {order}"), async || {
            self.events(&subject).await.iter().any(|told| told.name() == event)
        })
        .await;
    }

    /// Waits until every event has been acted on by everyone. The kitchen is asked again after the inventory, because
    /// what it told before may come back to it.
    pub(crate) async fn settle(&self) {
        until("quiet", async || {
            for service in
                [&self.orders, self.kitchen.service(), &self.inventory, self.kitchen.service()]
            {
                let unpublished = service.database().read(outbox::count_unpublished).await.unwrap();
                if unpublished > 0 || service.database().waiting() > 0 {
                    return false;
                }
            }
            true
        })
        .await;
    }

    pub(crate) async fn tickets(&self) -> Vec<TicketFact> {
        self.get::<Facts<TicketFact>>("/internal/facts/tickets").await.facts
    }

    pub(crate) async fn status_of(&self, order: OrderId) -> String {
        let tickets = self.tickets().await;
        tickets
            .into_iter()
            .find(|ticket| ticket.order == order)
            .map_or_else(|| "none".into(), |ticket| ticket.status)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let (status, text) = send(self.kitchen.router(), "GET", path, "").await;
        assert_eq!(status, StatusCode::OK, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> (StatusCode, String) {
        send(self.kitchen.router(), "PUT", path, body).await
    }
}

const fn none_of(owner: &'static str) -> Migrations {
    Migrations { owner, steps: &[] }
}

async fn send(router: Router, method: &str, path: &str, body: &str) -> (StatusCode, String) {
    let request =
        Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

/// Announces events in the name of a service.
async fn tell<E: Event + Clone + Send + Sync + 'static>(service: &Service, events: Vec<E>) {
    service
        .database()
        .write(move |tx| {
            tx.announce_all(events.iter().cloned());
            Ok(())
        })
        .await
        .unwrap();
}

pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(WAIT_MAX, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain for {what}");
}

fn told(event: &Envelope) -> String {
    let data: serde_json::Value = serde_json::from_str(event.data.get()).unwrap();
    let known = ["dish", "recipe_version", "needs", "stove", "reason"];
    let words = known.iter().filter_map(|key| data.get(key));
    words
        .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        .collect::<Vec<_>>()
        .join(" ")
}
