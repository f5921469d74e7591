//! Every order, beside its ticket, its reservation and what was told about it.

use std::collections::BTreeMap;

use axum::{body::Bytes, http::Method};
use backends::{Backends, LIST_WAIT_MAX};
use contracts::{
    OrderId, Quantities,
    api::{
        audit::{OrderFact, ReservationFact, SubjectFact, TicketFact},
        orders::{AskStates, Order, OrderStates, OrderStatus},
    },
    events::{
        DishPrepared, Event, OrderCancelled, OrderDelivered, OrderPlaced, OrderRejected,
        catalogue::readers_of,
    },
    services::{INVENTORY, KITCHEN, ORDERS},
};
use futures_util::future::try_join_all;

use crate::{
    AuditError,
    finding::Finding,
    judgement::{Picture, Rule, Times, sum},
    kept::{Counts, Horizon},
    source::{Source, least},
};

/// How many orders that seem to be lost are looked at again while the environment works.
const SUSPECTS_MAX: usize = 1_000;

/// What the orders say, and what they add up to.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(crate) balance: Finding,
    pub(crate) tickets: Finding,
    pub(crate) dishes: Finding,
    pub(crate) used: Finding,
    pub(crate) outbox: Finding,
    pub(crate) sums: Sums,
    /// How many were told to be accepted and are not there.
    lost: i64,
    /// How many are so old that what was told about them is not all kept.
    old: i64,
}

/// What the orders add up to.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    by_status: BTreeMap<OrderStatus, i64>,
    /// Delivered orders, by dish.
    pub(crate) dishes: BTreeMap<String, i64>,
    /// What was ever set aside, and what came back.
    pub(crate) reserved: Quantities,
    pub(crate) released: Quantities,
    /// Events beyond the horizon, by name.
    told: BTreeMap<String, i64>,
    /// Events about what is no order, by subject and name.
    pub(crate) told_else: BTreeMap<(String, String), i64>,
}

struct Sources {
    orders: Source<OrderFact>,
    tickets: Source<TicketFact>,
    reservations: Source<ReservationFact>,
    told: Vec<Source<SubjectFact>>,
}

impl Sources {
    fn of(services: &Backends, horizon: Horizon) -> Option<Self> {
        let told = |service| {
            let key = |fact: &SubjectFact| fact.subject.clone();
            Some(Source::of(services, service, "subjects", key)?.counting_beyond(horizon))
        };
        Some(Self {
            orders: Source::of(services, ORDERS, "orders", |fact: &OrderFact| {
                fact.order.to_string()
            })?,
            tickets: Source::of(services, KITCHEN, "tickets", |fact: &TicketFact| {
                fact.order.to_string()
            })?,
            reservations: Source::of(
                services,
                INVENTORY,
                "reservations",
                |fact: &ReservationFact| fact.order.to_string(),
            )?,
            told: [ORDERS, KITCHEN, INVENTORY].into_iter().filter_map(told).collect(),
        })
    }

    /// Reads on; returns up to which key everything is at hand.
    async fn fill(&mut self, live: bool) -> Result<Option<String>, AuditError> {
        if live {
            // What follows from an order must be read after it.
            self.orders.fill().await?;
            self.tickets.forget();
            self.tickets.fill().await?;
            self.reservations.forget();
            self.reservations.fill().await?;
            self.told.iter_mut().for_each(Source::forget);
            try_join_all(self.told.iter_mut().map(Source::fill)).await?;
        } else {
            tokio::try_join!(
                self.orders.fill(),
                self.tickets.fill(),
                self.reservations.fill(),
                try_join_all(self.told.iter_mut().map(Source::fill)),
            )?;
        }
        let reaches = [self.orders.reach(), self.tickets.reach(), self.reservations.reach()];
        Ok(least(reaches.into_iter().chain(self.told.iter().map(Source::reach))))
    }

    /// Takes what is said up to a key, order by order.
    fn take_until(&mut self, bound: Option<&str>) -> BTreeMap<String, Picture> {
        let mut pictures: BTreeMap<String, Picture> = BTreeMap::new();
        for (key, order) in self.orders.take_until(bound) {
            pictures.entry(key).or_default().order = Some(order);
        }
        for (key, ticket) in self.tickets.take_until(bound) {
            pictures.entry(key).or_default().ticket = Some(ticket);
        }
        for (key, reservation) in self.reservations.take_until(bound) {
            pictures.entry(key).or_default().reservation = Some(reservation);
        }
        for told in &mut self.told {
            for (key, fact) in told.take_until(bound) {
                let told = &mut pictures.entry(key).or_default().told;
                for (name, count) in fact.events {
                    *told.entry(name).or_default() += count;
                }
            }
        }
        pictures
    }
}

/// Returns where these orders are, of which one request may ask; those that do not exist are left out.
///
/// # Errors
/// [`AuditError`] if the orders service did not answer.
pub(crate) async fn states(
    services: &Backends,
    ids: Vec<OrderId>,
) -> Result<Vec<Order>, AuditError> {
    let Some(orders) = services.get(ORDERS) else { return Ok(Vec::new()) };
    let asked = Bytes::from(serde_json::to_vec(&AskStates { ids }).unwrap_or_default());
    let states: OrderStates = orders
        .ask(Method::POST, "/v1/orders/states", asked, LIST_WAIT_MAX)
        .await
        .map_err(|source| AuditError::Unanswered { service: ORDERS, facts: "orders", source })?;
    Ok(states.orders)
}

/// Checks every order.
///
/// # Errors
/// [`AuditError`] if a service did not tell its facts.
pub(crate) async fn check(
    services: &Backends,
    horizon: Horizon,
    live: bool,
) -> Result<Orders, AuditError> {
    let mut orders = Orders::new();
    let Some(mut sources) = Sources::of(services, horizon) else { return Ok(orders) };
    let mut suspects: Vec<(String, Picture)> = Vec::new();
    let mut unseen = 0;
    loop {
        let bound = sources.fill(live).await?;
        let end = sources.orders.end().map(str::to_owned);
        for (key, mut picture) in sources.take_until(bound.as_deref()) {
            picture.is_old = horizon.covers(&key);
            orders.sums.add(&key, &picture);
            if key.parse::<OrderId>().is_err() {
                continue;
            }
            let came_later = end.as_ref().is_some_and(|end| key > *end);
            match &picture.order {
                Some(order) => orders.note(&key, &picture, order, live),
                None if !live => orders.note_orphan(&key, &picture),
                None if came_later => {}
                None if suspects.len() < SUSPECTS_MAX => suspects.push((key, picture)),
                None => unseen += 1,
            }
        }
        if bound.is_none() {
            break;
        }
    }
    for (key, picture) in suspects {
        if !sources.orders.has(&key).await? {
            orders.note_orphan(&key, &picture);
        }
    }
    if unseen > 0 {
        orders.tickets.note(format!("{unseen} orders were too young to be looked at"));
    }
    orders.balance.note(orders.sums.described());
    Ok(orders)
}

impl Orders {
    fn new() -> Self {
        Self {
            balance: Finding::new(
                "orders.balance",
                "Every order that was accepted is delivered, cancelled, rejected or in flight, and in one of them only.",
            ),
            tickets: Finding::new(
                "orders.tickets",
                "Every order has one ticket that agrees with it, and nothing is made without an order.",
            ),
            dishes: Finding::new(
                "dishes.once",
                "At most one dish is prepared and one delivered an order, by one recipe.",
            ),
            used: Finding::new(
                "stock.used",
                "What a delivered order used is what its ticket was opened with; what is cancelled gave everything back.",
            ),
            outbox: Finding::new(
                "events.outbox",
                "Each change that owes an event has exactly one in its outbox.",
            ),
            sums: Sums::default(),
            lost: 0,
            old: 0,
        }
    }

    fn note(&mut self, key: &str, picture: &Picture, order: &OrderFact, live: bool) {
        self.old += i64::from(picture.is_old);
        let ends = i64::try_from(picture.ends_told()).unwrap_or(i64::MAX);
        self.balance.count(1, ends.max(1));
        self.tickets.count(1, i64::from(picture.ticket.is_some()));
        let told = [picture.times_told::<OrderDelivered>(), picture.times_told::<DishPrepared>()];
        let surplus: i64 = told.iter().map(|told| (told - 1).max(0)).sum();
        let delivered = i64::from(order.status == OrderStatus::Delivered);
        self.dishes.count(delivered, delivered + surplus);
        if order.status == OrderStatus::Delivered {
            let pieces = |needs: Option<&Quantities>| needs.map_or(0, sum);
            self.used.count(
                pieces(picture.ticket.as_ref().map(|ticket| &ticket.needs)),
                pieces(picture.reservation.as_ref().map(|reservation| &reservation.needs)),
            );
        }
        for (_, times, found) in picture.owed(order) {
            if !(live && times == Times::Never) {
                let (expected, found) = times.of(found, picture.is_old);
                self.outbox.count(expected, found);
            }
        }
        for (rule, what) in picture.judge(order, live) {
            self.breach(rule, format!("{key} {what}"));
        }
    }

    fn note_orphan(&mut self, key: &str, picture: &Picture) {
        let accepted = i64::from(picture.times_told::<OrderPlaced>() > 0);
        self.lost += accepted;
        self.balance.count(accepted, 0);
        let (rule, what) = picture.judge_orphan();
        self.breach(rule, format!("{key} {what}"));
    }

    /// Compares how many orders there are with how many were told of, those up to the horizon included. The orders were read
    /// before the events.
    pub(crate) fn check_totals(&mut self, counts: &Counts, live: bool) {
        let of = |status| self.sums.by_status.get(&status).copied().unwrap_or(0);
        let all: i64 = self.sums.by_status.values().sum();
        let owed = [
            (OrderPlaced::NAME, all),
            (OrderDelivered::NAME, of(OrderStatus::Delivered)),
            (OrderCancelled::NAME, of(OrderStatus::Cancelled)),
            (OrderRejected::NAME, of(OrderStatus::Rejected)),
        ];
        for (name, owed) in owed {
            let most = self.told_in_all(name, counts).into_iter().max().unwrap_or(0);
            if most < owed {
                self.outbox.breach(format_args!("{name}: {most} in all instead of {owed}"));
            }
        }
        let accepted = self.told_in_all(OrderPlaced::NAME, counts).into_iter().min().unwrap_or(0);
        let lost = accepted - all - self.lost;
        if lost > 0 && !live {
            self.balance.count(lost, 0);
            self.balance.breach(format_args!("{lost} old orders were accepted, and are lost"));
        }
        if self.old > 0 {
            self.outbox.note(format!("of {} orders not all events are kept any longer", self.old));
        }
    }

    fn told_in_all(&self, name: &str, counts: &Counts) -> Vec<i64> {
        let kept = self.sums.told(name);
        counts.told(name, readers_of(name)).into_iter().map(|old| old + kept).collect()
    }

    fn breach(&mut self, rule: Rule, what: String) {
        let finding = match rule {
            Rule::Balance => &mut self.balance,
            Rule::Tickets => &mut self.tickets,
            Rule::Dishes => &mut self.dishes,
            Rule::Used => &mut self.used,
            Rule::Outbox => &mut self.outbox,
        };
        finding.breach(what);
    }
}

impl Sums {
    fn add(&mut self, key: &str, picture: &Picture) {
        if let Some(order) = &picture.order {
            *self.by_status.entry(order.status).or_default() += 1;
            if order.status == OrderStatus::Delivered {
                let dish = order.dish.clone().unwrap_or_default();
                *self.dishes.entry(dish).or_default() += 1;
            }
        }
        if let Some(reservation) = &picture.reservation {
            let released = reservation.status == "released";
            if released || reservation.status == "reserved" {
                add(&mut self.reserved, &reservation.needs);
            }
            if released {
                add(&mut self.released, &reservation.needs);
            }
        }
        let is_order = key.parse::<OrderId>().is_ok();
        for (name, count) in &picture.told {
            *self.told.entry(name.clone()).or_default() += count;
            if !is_order {
                *self.told_else.entry((key.to_owned(), name.clone())).or_default() += count;
            }
        }
    }

    /// Returns how many events of this name were told beyond the horizon.
    pub(crate) fn told(&self, name: &str) -> i64 {
        self.told.get(name).copied().unwrap_or(0)
    }

    /// Returns how many orders have not ended.
    pub(crate) fn in_flight(&self) -> i64 {
        self.by_status.iter().filter(|(status, _)| !status.is_end()).map(|(_, count)| count).sum()
    }

    fn described(&self) -> String {
        let of = |status| self.by_status.get(&status).copied().unwrap_or(0);
        format!(
            "{} delivered, {} cancelled, {} rejected, {} in flight",
            of(OrderStatus::Delivered),
            of(OrderStatus::Cancelled),
            of(OrderStatus::Rejected),
            self.in_flight(),
        )
    }
}

fn add(sums: &mut Quantities, more: &Quantities) {
    for (ingredient, quantity) in more {
        *sums.entry(*ingredient).or_default() += quantity;
    }
}
