//! The rows of orders, outboxes and inboxes, as the environment writes them, written with rusqlite alone.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use contracts::{
    OrderId, Timestamp,
    events::{
        CookingStarted, DishPrepared, Envelope, Event, IngredientsRequested, IngredientsReserved,
        OrderDelivered, OrderPlaced, catalogue,
    },
    services,
};
use rusqlite::{Connection, params};
use tempfile::TempDir;

/// The tables of the services.
const TABLES: [&str; 5] = [
    include_str!("../../../../services/orders/migrations/V1__orders.sql"),
    include_str!("../../../../services/orders/migrations/V2__kept_responses.sql"),
    include_str!("../../../../services/libs/service/migrations/V1__kept_responses.sql"),
    include_str!("../../../../services/libs/events/migrations/V1__outbox.sql"),
    include_str!("../../../../services/libs/events/migrations/V2__inbox.sql"),
];
/// The settings of a writer with the durability `process`.
const SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;
     PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864;
     PRAGMA cache_size = -2048;";
const NUMBER: &str = "UPDATE numbering SET last = last + ?1 WHERE name = 'orders'";
const PLACE: &str = "INSERT INTO orders
         (number, id, requested_dish, dish, status, reason, placed_at, ended_at, revision)
     VALUES (?1, ?2, NULL, NULL, 'placed', NULL, ?3, NULL, 1)";
const KEEP: &str =
    "INSERT INTO kept_responses (key, caller, operation, fingerprint, status, body, saved_at)
     VALUES (?1, 'local', 'place_orders', ?2, 202, ?3, ?4) ON CONFLICT DO NOTHING";
const ADVANCE: &str = "UPDATE orders SET status = ?2, dish = 'pizza', ended_at = ?3, revision = revision + 1 WHERE id = ?1";
const ANNOUNCE: &str = "INSERT INTO outbox (id, kind, subject, time, traceparent, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const NOTE: &str =
    "INSERT INTO inbox (id, name, handled_at) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING";
/// As long as a hash in hex.
const FINGERPRINT: &str = "4bf92f3577b34da6a3ce929d0e0e47364bf92f3577b34da6a3ce929d0e0e4736";
/// As long as the response to one order.
const RESPONSE: &str = r#"{"orders":[{"id":"01a20c95-e557-73c0-aedd-5c9d71506c44","number":50,"status":"placed","dish":null,"placed_at":"2026-11-28T19:36:35.100389Z","ended_at":null}]}"#;
/// The events of an order that lacks nothing.
const WAY: [&str; 6] = [
    OrderPlaced::NAME,
    IngredientsRequested::NAME,
    IngredientsReserved::NAME,
    CookingStarted::NAME,
    DishPrepared::NAME,
    OrderDelivered::NAME,
];

/// How far an order gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The order, its number and its event.
    Accepted,
    /// Two more changes of the order, and all of its events: in the outboxes of their writers, published, and in the
    /// inboxes of their readers.
    Delivered,
}

/// One order, prepared before the clock runs.
pub(super) struct PreparedOrder {
    id: String,
    number: i64,
    key: String,
    /// Its events, each with its name.
    events: Vec<(&'static str, Envelope)>,
}

/// One database for each service, empty at first.
pub(super) struct Rows {
    way: Way,
    databases: BTreeMap<&'static str, Connection>,
    orders: i64,
    // Dropped last.
    _folder: TempDir,
}

impl Rows {
    pub(super) fn create(way: Way) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("chefcito-bench-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let names: &[&'static str] = match way {
            Way::Accepted => &[services::ORDERS],
            Way::Delivered => {
                &[services::ORDERS, services::KITCHEN, services::INVENTORY, services::BOARD]
            }
        };
        let mut databases = BTreeMap::new();
        for name in names {
            let database = Connection::open(folder.path().join(format!("{name}.sqlite")))?;
            database.execute_batch(SETTINGS)?;
            for tables in TABLES {
                database.execute_batch(&tables.replace("{serial}", "INTEGER PRIMARY KEY"))?;
            }
            database.set_prepared_statement_cache_capacity(16);
            databases.insert(*name, database);
        }
        Ok(Self { way, databases, orders: 0, _folder: folder })
    }

    /// Prepares so many orders and their events.
    pub(super) fn make(&mut self, count: usize) -> Result<Vec<PreparedOrder>> {
        let mut orders = Vec::with_capacity(count);
        for _ in 0..count {
            self.orders += 1;
            let (order, now) = (OrderId::new(), Timestamp::now());
            let event = OrderPlaced { order, number: self.orders, dish: None, placed_at: now };
            let trace = format!("00-{}-0123456789abcdef-01", order.uuid().simple());
            let envelope = |name: &'static str| -> Result<(&'static str, Envelope)> {
                let entry = catalogue::CATALOGUE.iter().find(|entry| entry.name == name);
                let writer = entry.context("an event that is not in the catalogue")?.writer;
                // The data of other events have about the same length.
                Ok((name, Envelope::new(writer, &event, now, Some(trace.clone()))))
            };
            let events = match self.way {
                Way::Accepted => vec![envelope(OrderPlaced::NAME)?],
                Way::Delivered => WAY.into_iter().map(envelope).collect::<Result<_>>()?,
            };
            let id = order.to_string();
            orders.push(PreparedOrder { key: format!("k:{id}"), id, number: self.orders, events });
        }
        Ok(orders)
    }

    /// Writes them, each step of all of them in one transaction.
    pub(super) fn write(&mut self, orders: &[PreparedOrder]) -> Result<()> {
        let now = Timestamp::now().as_micros();
        let steps = orders.first().map_or(0, |order| order.events.len());
        for step in 0..steps {
            let events: Vec<(&str, &Envelope)> =
                orders.iter().map(|order| (order.events[step].0, &order.events[step].1)).collect();
            let Some(entry) = catalogue::CATALOGUE.iter().find(|entry| entry.name == events[0].0)
            else {
                continue;
            };
            self.announce(entry.writer, entry.name, orders, &events, now)?;
            if self.way == Way::Accepted {
                continue;
            }
            for reader in entry.readers {
                self.note(reader, entry.name, orders, &events, now)?;
            }
        }
        Ok(())
    }

    fn announce(
        &mut self,
        writer: &str,
        name: &str,
        orders: &[PreparedOrder],
        events: &[(&str, &Envelope)],
        now: i64,
    ) -> Result<()> {
        self.in_transaction(writer, |database| {
            if name == OrderPlaced::NAME {
                database
                    .prepare_cached(NUMBER)?
                    .execute([i64::try_from(orders.len()).unwrap_or(0)])?;
                let mut place = database.prepare_cached(PLACE)?;
                let mut keep = database.prepare_cached(KEEP)?;
                for order in orders {
                    place.execute(params![order.number, order.id, now])?;
                    keep.execute(params![order.key, FINGERPRINT, RESPONSE, now])?;
                }
            }
            let mut announce = database.prepare_cached(ANNOUNCE)?;
            for (_, event) in events {
                announce.execute(params![
                    event.id.to_string(),
                    event.kind,
                    event.subject,
                    now,
                    event.traceparent,
                    event.data.get()
                ])?;
            }
            Ok(())
        })
    }

    fn note(
        &mut self,
        reader: &str,
        name: &str,
        orders: &[PreparedOrder],
        events: &[(&str, &Envelope)],
        now: i64,
    ) -> Result<()> {
        self.in_transaction(reader, |database| {
            let mut note = database.prepare_cached(NOTE)?;
            for (_, event) in events {
                note.execute(params![event.id.to_string(), name, now])?;
            }
            if reader == services::ORDERS {
                let (status, ended_at) = match name == DishPrepared::NAME {
                    true => ("delivered", Some(now)),
                    false => ("cooking", None),
                };
                let mut advance = database.prepare_cached(ADVANCE)?;
                for order in orders {
                    advance.execute(params![order.id, status, ended_at])?;
                }
            }
            Ok(())
        })
    }

    fn in_transaction<T>(
        &mut self,
        service: &str,
        write: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let database = self.databases.get(service).context("a service without a database")?;
        database.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let written = write(database)?;
        database.prepare_cached("COMMIT")?.execute([])?;
        Ok(written)
    }
}
