//! The service with a guest before it and a kitchen behind it.

use std::time::{Duration, Instant};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use contracts::{
    OrderId,
    events::{Event, MenuChanged},
    services::{BOARD, INVENTORY, KITCHEN},
};
use events::{Announce as _, outbox};
use http_body_util::BodyExt as _;
use orders::Orders;
use serde_json::{Value, json};
use service::ServiceContext;
use store::{Clock, Database, Durability, Location, Migrations, Tx};
use tempfile::TempDir;
use test_support::{TestDatabase, postgres};
use tower::ServiceExt as _;

pub(crate) struct Door {
    pub(crate) router: Router,
    orders: Orders,
    pub(crate) kitchen: Database,
    context: ServiceContext,
    _ground: TestStore,
}

enum TestStore {
    Sqlite(TempDir),
    Postgres(TestDatabase),
}

impl Door {
    /// Opens the service on each engine that is there; the menu has pizza and salad.
    pub(crate) async fn open_all() -> Vec<Self> {
        let mut doors = vec![Self::open(TestStore::Sqlite(tempfile::tempdir().unwrap())).await];
        if let Some(database) = postgres() {
            doors.push(Self::open(TestStore::Postgres(database)).await);
        }
        doors
    }

    async fn open(ground: TestStore) -> Self {
        let location = match &ground {
            TestStore::Sqlite(folder) => Location::Folder {
                folder: folder.path().to_owned(),
                durability: Durability::Process,
            },
            TestStore::Postgres(database) => database.location(),
        };
        let context = ServiceContext::new(location, events::in_process(), Clock::System);
        let orders = Orders::open(&context).await.unwrap();
        let kitchen =
            context.open(KITCHEN, Migrations { owner: KITCHEN, steps: &[] }).await.unwrap();
        // An event is published when every reader has it; these read what the kitchen tells, too.
        for reader in [BOARD, INVENTORY] {
            let nothing = Migrations { owner: "twin", steps: &[] };
            context.open(reader, nothing).await.unwrap().consume(|_, _, _| Ok(()));
        }
        let door = Self {
            router: orders.router(),
            orders,
            kitchen: kitchen.database().clone(),
            context,
            _ground: ground,
        };
        door.tell(MenuChanged { version: 1, dishes: vec!["pizza".into(), "salad".into()] }).await;
        door.until("the menu is known", async || {
            door.ask("POST", "/v1/orders", &[], json!({"dish": "pizza"})).await.0
                == StatusCode::ACCEPTED
        })
        .await;
        door
    }

    /// Returns the service's own database.
    pub(crate) fn database(&self) -> &Database {
        self.orders.service().database()
    }

    /// Returns what the engine objects to in the service's statements.
    pub(crate) async fn prepare_statements(&self) -> Result<(), store::StoreError> {
        let twin =
            self.context.open("orders", Migrations { owner: "twin", steps: &[] }).await.unwrap();
        twin.database()
            .read(|tx| {
                orders::STATEMENTS.iter().try_for_each(|sql| tx.prepare(sql))?;
                tx.prepare_all(&orders::MANY)
            })
            .await
    }

    /// Returns those of the service's statements that read a whole table which grows.
    pub(crate) async fn find_whole_reads(&self) -> Vec<String> {
        const SMALL: [&str; 3] = ["menu", "menu_version", "numbering"];
        let twin =
            self.context.open("orders", Migrations { owner: "twin", steps: &[] }).await.unwrap();
        let find =
            |tx: &mut Tx<'_>| tx.find_whole_reads(&orders::STATEMENTS, &orders::MANY, &SMALL);
        twin.database().read(find).await.unwrap()
    }

    pub(crate) async fn close(self) {
        self.context.close().await;
    }

    /// Lets the kitchen tell something.
    pub(crate) async fn tell<E: Event + Clone + Send + Sync + 'static>(&self, event: E) {
        self.kitchen
            .write(move |tx| {
                tx.announce(&event);
                Ok(())
            })
            .await
            .unwrap();
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> (StatusCode, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, bytes) = self.send(method, path, headers, &body).await;
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Asks with this very body; returns the bytes of the answer.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (StatusCode, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        (status, response.into_body().collect().await.unwrap().to_bytes().to_vec())
    }

    /// Orders one dish; returns the order's id.
    pub(crate) async fn order(&self, body: Value) -> OrderId {
        let (status, answer) = self.ask("POST", "/v1/orders", &[], body).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        answer["orders"][0]["id"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) async fn status_of(&self, order: OrderId) -> String {
        let (_, answer) = self.ask("GET", &format!("/v1/orders/{order}"), &[], Value::Null).await;
        answer["status"].as_str().unwrap_or("?").to_owned()
    }

    /// Returns the names of the events that the service told about an order.
    pub(crate) async fn told(&self, order: OrderId) -> Vec<String> {
        let (_, answer) =
            self.ask("GET", &format!("/internal/events?subject={order}"), &[], Value::Null).await;
        let events: Vec<contracts::events::Envelope> =
            serde_json::from_value(answer["events"].clone()).unwrap();
        events.iter().map(|event| event.name().to_owned()).collect()
    }

    /// Waits until orders has acted on all that the kitchen told.
    pub(crate) async fn settle(&self) {
        self.until("the kitchen's events are handled", async || {
            self.kitchen.read(outbox::count_unpublished).await.unwrap() == 0
        })
        .await;
    }

    async fn until(&self, what: &str, question: impl AsyncFn() -> bool) {
        let started = Instant::now();
        while !question().await {
            assert!(started.elapsed() < Duration::from_secs(30), "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}
