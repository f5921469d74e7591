//! An environment made of facts alone, which a test can break as it likes.

mod services;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use contracts::{
    Ingredient, OrderId, PurchaseId, Quantities, Timestamp,
    api::{
        audit::{
            InboxFact, OrderFact, OutboxFact, PurchaseFact, ReservationFact, RetentionFact,
            RetentionQuery, RetentionSide, SubjectFact, TicketFact,
        },
        inventory::Shelf,
        live::{BoardView, ENDED_SHOWN_MAX, IN_FLIGHT_SHOWN_MAX, Ticket, TicketState},
        orders::OrderStatus,
        service::ServiceStatus,
    },
    events::catalogue::readers_of,
    services::{ALL, BOARD, INVENTORY, KITCHEN, ORDERS},
};
use uuid::Uuid;

pub(crate) use self::services::services;

/// All facts of all services.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) orders: Vec<OrderFact>,
    pub(crate) tickets: Vec<TicketFact>,
    pub(crate) reservations: Vec<ReservationFact>,
    pub(crate) purchases: Vec<PurchaseFact>,
    pub(crate) receipts: Vec<PurchaseFact>,
    pub(crate) sales: Vec<PurchaseFact>,
    pub(crate) stock: Vec<Shelf>,
    pub(crate) outboxes: BTreeMap<&'static str, Vec<OutboxFact>>,
    pub(crate) inboxes: BTreeMap<&'static str, Vec<InboxFact>>,
    pub(crate) gone_out: BTreeMap<&'static str, RetentionSide>,
    pub(crate) gone_in: BTreeMap<&'static str, RetentionSide>,
    pub(crate) counters: BTreeMap<String, i64>,
    /// The orders of the board.
    pub(crate) board: BTreeMap<OrderId, Ticket>,
    pub(crate) statuses: BTreeMap<&'static str, ServiceStatus>,
    pub(crate) storage: BTreeMap<&'static str, Vec<String>>,
    /// Called before each page of facts is told, if the environment works meanwhile.
    pub(crate) step: Option<fn(&mut World)>,
    pub(crate) steps: usize,
}

pub(crate) type Shared = Arc<Mutex<World>>;

pub(crate) fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap()
}

/// The number of every order of this environment.
pub(crate) const NUMBER: i64 = 1;

/// What every order of this environment needs.
pub(crate) fn needs() -> Quantities {
    Quantities::from([(Ingredient::Cheese, 2), (Ingredient::Tomato, 3)])
}

impl World {
    /// Returns an environment with a full larder in which nothing happened yet.
    pub(crate) fn open() -> Self {
        let shelf = |ingredient| Shelf {
            ingredient,
            on_hand: 1_000_000,
            opening: 999_990,
            adjustments: 10,
            bought: 0,
            reserved: 0,
            released: 0,
            missing: 0,
            next_attempt_at: None,
        };
        let ready = ServiceStatus { ready: true, ..ServiceStatus::default() };
        Self {
            stock: Ingredient::ALL.into_iter().map(shelf).collect(),
            statuses: ALL.into_iter().map(|service| (service, ready.clone())).collect(),
            ..Self::default()
        }
    }

    /// Returns an environment in which every way of an order was gone, each as often.
    pub(crate) fn busy_day(times: usize) -> Self {
        let mut world = Self::open();
        world.tell(KITCHEN, "menu.changed", "menu");
        for _ in 0..times {
            world.deliver(false);
            world.deliver(true);
            world.cancel("released");
            world.cancel("left");
            world.cancel("tombstone");
            world.refuse_cancellation();
            world.reject();
            world.buy(Ingredient::Tomato, 7);
            world.buy(Ingredient::Cheese, 0);
            world.fail_to_buy(Ingredient::Rice);
        }
        world
    }

    /// Announces an event, and lets everyone who reads it act on it.
    pub(crate) fn tell(&mut self, writer: &'static str, name: &str, subject: &str) -> Uuid {
        let id = self.announce(writer, name, subject);
        self.hear(id, name);
        id
    }

    /// Announces an event that nobody has acted on.
    pub(crate) fn announce(&mut self, writer: &'static str, name: &str, subject: &str) -> Uuid {
        let id = contracts::new_uuid();
        let fact = OutboxFact { id, name: name.into(), subject: subject.into(), published: false };
        self.outboxes.entry(writer).or_default().push(fact);
        id
    }

    pub(crate) fn hear(&mut self, id: Uuid, name: &str) {
        for reader in readers_of(name) {
            self.inboxes.entry(reader).or_default().push(InboxFact { id, name: name.into() });
            if *reader == BOARD {
                *self.counters.entry(name.to_owned()).or_default() += 1;
                if name == "order.delivered" {
                    *self.counters.entry("delivery_us:196608".into()).or_default() += 1;
                    *self.counters.entry("delivery_us:sum".into()).or_default() += 200_000;
                    *self.counters.entry("dish:pizza".into()).or_default() += 1;
                }
                self.show(id, name);
            }
        }
        for outbox in self.outboxes.values_mut() {
            if let Some(fact) = outbox.iter_mut().rev().find(|fact| fact.id == id) {
                fact.published = true;
            }
        }
    }

    /// Lets the board show how far an event says that an order is. It stays at its first end.
    fn show(&mut self, id: Uuid, name: &str) {
        let mut outboxes = self.outboxes.values();
        let told = outboxes.find_map(|outbox| outbox.iter().rev().find(|fact| fact.id == id));
        let Some(order) = told.and_then(|fact| fact.subject.parse::<OrderId>().ok()) else {
            return;
        };
        if name == "order.placed" {
            self.board.insert(
                order,
                Ticket {
                    id: order,
                    number: NUMBER,
                    dish: None,
                    state: TicketState::Placed,
                    placed_at: Timestamp::default(),
                    changed_at: Timestamp::default(),
                    stove: None,
                    missing: Quantities::new(),
                },
            );
        }
        let state = match name {
            "ingredients.requested" => TicketState::Requested,
            "ingredients.awaited" => TicketState::Waiting,
            "ingredients.reserved" => TicketState::Reserved,
            "cooking.started" => TicketState::Cooking,
            "dish.prepared" => TicketState::Ready,
            "order.delivered" => TicketState::Delivered,
            "order.cancelled" => TicketState::Cancelled,
            "order.rejected" => TicketState::Rejected,
            _ => return,
        };
        if let Some(ticket) = self.board.get_mut(&order).filter(|ticket| !ticket.state.is_end()) {
            ticket.state = ticket.state.max(state);
        }
    }

    /// Returns what the board shows.
    fn board_view(&self) -> BoardView {
        let (ended, in_flight): (Vec<_>, Vec<_>) =
            self.board.values().cloned().partition(|ticket| ticket.state.is_end());
        let ended = ended.into_iter().rev().take(ENDED_SHOWN_MAX);
        let orders = in_flight.into_iter().take(IN_FLIGHT_SHOWN_MAX).chain(ended).collect();
        BoardView { orders, ..BoardView::default() }
    }

    pub(crate) fn place(&mut self) -> OrderId {
        let order = OrderId::new();
        self.orders.push(OrderFact { order, status: OrderStatus::Placed, dish: None });
        self.tell(ORDERS, "order.placed", &order.to_string());
        order
    }

    pub(crate) fn open_ticket(&mut self, order: OrderId) {
        let (status, dish) = ("requested".to_owned(), "pizza".to_owned());
        self.tickets.push(TicketFact { order, status, dish, needs: needs() });
        self.tell(KITCHEN, "ingredients.requested", &order.to_string());
    }

    pub(crate) fn reserve(&mut self, order: OrderId) {
        self.set_reservation(order, "reserved", needs());
        self.book(|shelf, pieces| {
            shelf.reserved += pieces;
            shelf.on_hand -= pieces;
        });
        self.tell(INVENTORY, "ingredients.reserved", &order.to_string());
    }

    pub(crate) fn wait(&mut self, order: OrderId) {
        self.set_reservation(order, "waiting", needs());
        self.tell(INVENTORY, "ingredients.awaited", &order.to_string());
    }

    pub(crate) fn cook(&mut self, order: OrderId) {
        self.set_ticket(order, "cooking");
        self.tell(KITCHEN, "cooking.started", &order.to_string());
    }

    pub(crate) fn prepare(&mut self, order: OrderId) {
        self.set_ticket(order, "prepared");
        self.tell(KITCHEN, "dish.prepared", &order.to_string());
    }

    pub(crate) fn serve(&mut self, order: OrderId) {
        self.end(order, OrderStatus::Delivered, "order.delivered");
        self.order(order).dish = Some("pizza".into());
    }

    pub(crate) fn end(&mut self, order: OrderId, status: OrderStatus, event: &str) {
        self.order(order).status = status;
        self.tell(ORDERS, event, &order.to_string());
    }

    pub(crate) fn deliver(&mut self, after_waiting: bool) -> OrderId {
        let order = self.place();
        self.open_ticket(order);
        if after_waiting {
            self.wait(order);
        }
        self.reserve(order);
        self.set_ticket(order, "reserved");
        self.cook(order);
        self.prepare(order);
        self.serve(order);
        order
    }

    pub(crate) fn cancel(&mut self, how: &str) -> OrderId {
        let order = self.place();
        let subject = order.to_string();
        if how != "tombstone" {
            self.open_ticket(order);
        }
        match how {
            "released" => self.reserve(order),
            "left" => self.wait(order),
            _ => {}
        }
        self.order(order).status = OrderStatus::Cancelling;
        self.tell(ORDERS, "order.cancellation_requested", &subject);
        if how == "tombstone" {
            let (status, dish) = ("cancelled".to_owned(), String::new());
            self.tickets.push(TicketFact { order, status, dish, needs: Quantities::new() });
        } else {
            self.set_ticket(order, "cancelled");
        }
        self.tell(KITCHEN, "dish.cancelled", &subject);
        let needs = if how == "tombstone" { Quantities::new() } else { needs() };
        self.set_reservation(order, how, needs);
        if how == "released" {
            self.book(|shelf, pieces| {
                shelf.released += pieces;
                shelf.on_hand += pieces;
            });
        }
        self.tell(INVENTORY, "ingredients.released", &subject);
        self.end(order, OrderStatus::Cancelled, "order.cancelled");
        order
    }

    pub(crate) fn refuse_cancellation(&mut self) -> OrderId {
        let order = self.deliver(false);
        for _ in 0..2 {
            self.tell(ORDERS, "order.cancellation_requested", &order.to_string());
            self.tell(KITCHEN, "cancellation.refused", &order.to_string());
        }
        order
    }

    pub(crate) fn reject(&mut self) -> OrderId {
        let order = self.place();
        let (status, dish) = ("refused".to_owned(), String::new());
        self.tickets.push(TicketFact { order, status, dish, needs: Quantities::new() });
        self.tell(KITCHEN, "dish.refused", &order.to_string());
        self.end(order, OrderStatus::Rejected, "order.rejected");
        order
    }

    pub(crate) fn buy(&mut self, ingredient: Ingredient, quantity: i64) {
        let status = "done".to_owned();
        let fact = PurchaseFact { purchase: PurchaseId::new(), ingredient, status, quantity };
        self.purchases.push(fact.clone());
        self.receipts.push(fact.clone());
        self.sales.push(fact);
        if quantity > 0 {
            let shelf = self.shelf(ingredient);
            shelf.bought += quantity;
            shelf.on_hand += quantity;
            *self.counters.entry(format!("bought:{ingredient}")).or_default() += quantity;
            self.tell(INVENTORY, "ingredient.purchased", ingredient.name());
        }
    }

    pub(crate) fn fail_to_buy(&mut self, ingredient: Ingredient) {
        let (purchase, status) = (PurchaseId::new(), "unknown".to_owned());
        let fact = PurchaseFact { purchase, ingredient, status, quantity: 0 };
        self.purchases.push(fact.clone());
        self.receipts.push(fact);
    }

    pub(crate) fn order(&mut self, order: OrderId) -> &mut OrderFact {
        self.orders.iter_mut().rev().find(|fact| fact.order == order).unwrap()
    }

    pub(crate) fn set_ticket(&mut self, order: OrderId, status: &str) {
        let ticket = self.tickets.iter_mut().rev().find(|fact| fact.order == order).unwrap();
        status.clone_into(&mut ticket.status);
    }

    pub(crate) fn set_reservation(&mut self, order: OrderId, status: &str, needs: Quantities) {
        let status = status.to_owned();
        match self.reservations.iter_mut().rev().find(|fact| fact.order == order) {
            Some(reservation) => reservation.status = status,
            None => self.reservations.push(ReservationFact { order, status, needs }),
        }
    }

    pub(crate) fn shelf(&mut self, ingredient: Ingredient) -> &mut Shelf {
        self.stock.iter_mut().find(|shelf| shelf.ingredient == ingredient).unwrap()
    }

    fn book(&mut self, book: impl Fn(&mut Shelf, i64)) {
        for (ingredient, pieces) in needs() {
            book(self.shelf(ingredient), pieces);
        }
    }

    /// Takes an event back as if it had never been: from its outbox, the inboxes, and what the board counted.
    pub(crate) fn untell(&mut self, name: &str) {
        let outboxes = self.outboxes.values_mut();
        let (id, subject) = outboxes
            .flat_map(|outbox| {
                let place = outbox.iter().position(|fact| fact.name == name)?;
                let fact = outbox.remove(place);
                Some((fact.id, fact.subject))
            })
            .next()
            .unwrap();
        for inbox in self.inboxes.values_mut() {
            inbox.retain(|fact| fact.id != id);
        }
        *self.counters.get_mut(name).unwrap() -= 1;
        if name == "order.delivered" {
            *self.counters.get_mut("delivery_us:196608").unwrap() -= 1;
        }
        assert!(!subject.is_empty());
    }

    /// Removes all events that were told until now.
    pub(crate) fn forget(&mut self) {
        self.forget_older(|count| count, |count| count);
    }

    /// Removes the older half of each outbox; inboxes remember longer.
    pub(crate) fn forget_half(&mut self) {
        self.forget_older(|count| count / 2, |count| count / 3);
    }

    fn forget_older(&mut self, of_outbox: fn(usize) -> usize, of_inbox: fn(usize) -> usize) {
        for (service, outbox) in &mut self.outboxes {
            let side = self.gone_out.entry(service).or_default();
            for fact in outbox.drain(..of_outbox(outbox.len())) {
                count_removed(side, fact.id, fact.name);
            }
        }
        for (service, inbox) in &mut self.inboxes {
            let side = self.gone_in.entry(service).or_default();
            for fact in inbox.drain(..of_inbox(inbox.len())) {
                count_removed(side, fact.id, fact.name);
            }
        }
    }

    fn retention(&self, service: &str, query: &RetentionQuery) -> RetentionFact {
        let of = |gone: &BTreeMap<&'static str, RetentionSide>| {
            gone.get(service).cloned().unwrap_or_default()
        };
        let mut fact = RetentionFact {
            outbox: of(&self.gone_out),
            inbox: of(&self.gone_in),
            unpublished: BTreeMap::new(),
        };
        let Some(upto) = query.upto else { return fact };
        for kept in self.outboxes.get(service).into_iter().flatten().filter(|kept| kept.id <= upto)
        {
            *fact.outbox.kept.entry(kept.name.clone()).or_default() += 1;
            *fact.unpublished.entry(kept.name.clone()).or_default() += i64::from(!kept.published);
        }
        for kept in self.inboxes.get(service).into_iter().flatten().filter(|kept| kept.id <= upto) {
            *fact.inbox.kept.entry(kept.name.clone()).or_default() += 1;
        }
        fact
    }

    fn told(&self, service: &str, above: Option<Uuid>) -> Vec<SubjectFact> {
        let mut told: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
        let kept = self.outboxes.get(service).into_iter().flatten();
        for fact in kept.filter(|fact| above.is_none_or(|above| fact.id > above)) {
            *told.entry(fact.subject.clone()).or_default().entry(fact.name.clone()).or_default() +=
                1;
        }
        told.into_iter().map(|(subject, events)| SubjectFact { subject, events }).collect()
    }

    fn work(&mut self) {
        if let Some(step) = self.step {
            self.steps += 1;
            step(self);
        }
    }
}

fn count_removed(side: &mut RetentionSide, id: Uuid, name: String) {
    side.horizon = side.horizon.max(Some(id));
    *side.removed.entry(name).or_default() += 1;
}
