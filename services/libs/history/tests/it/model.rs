//! A service that keeps every promise, and clients whose requests overlap, are repeated, and are lost.

use std::collections::BTreeMap;

use contracts::{Ingredient, OrderId, Timestamp, api::orders::OrderStatus};
use history::{Ask, Begin, Line, Outcome, Seen, Shelf, VERSION};

/// The keys that clients draw from: few, so that repeats are frequent.
const KEYS: u32 = 6;

/// What the model was told to do, as numbers that it takes apart.
pub(crate) type Step = (u8, u32);

struct Call {
    number: u64,
    ask: Ask,
    /// What the service answers, once it has acted.
    outcome: Option<Outcome>,
    /// Whether the answer, if there was one, is gone: the service may still act.
    is_lost: bool,
}

/// The service, its clients, and what was recorded.
#[derive(Default)]
pub(crate) struct Model {
    orders: Vec<Seen>,
    by_key: BTreeMap<String, Vec<Seen>>,
    stock: i64,
    last_number: i64,
    calls: Vec<Call>,
    next_call: u64,
    made: u128,
    lines: Vec<Line>,
}

impl Model {
    /// Returns a history of what the steps lead to, with one of everything that can be checked at its end.
    pub(crate) fn history(steps: &[Step]) -> Vec<Line> {
        let mut model = Self { stock: 5, ..Self::default() };
        model.begin();
        for (kind, choice) in steps {
            model.step(*kind, *choice);
        }
        model.epilogue();
        model.lines
    }

    fn step(&mut self, kind: u8, choice: u32) {
        match kind % 12 {
            0 | 1 => {
                let key = (!choice.is_multiple_of(5)).then(|| format!("key-{}", choice % KEYS));
                // A repeat of a key is a repeat of its request.
                let dishes = vec![None; (choice % KEYS % 3 + 1) as usize];
                self.send(Ask::Place { key, dishes });
            }
            2 | 3 => {
                let orders = self.some_orders(choice);
                self.send(Ask::Read { orders });
            }
            4 if choice.is_multiple_of(3) => self.send(Ask::List),
            4 => self.send(Ask::Stock),
            5 => {
                if let Some(order) = self.some_orders(choice).first() {
                    self.send(Ask::Cancel { order: *order });
                }
            }
            6 | 7 => self.act(choice),
            8 | 9 => self.answer(choice),
            10 => self.advance(choice),
            _ if choice.is_multiple_of(40) => self.begin(),
            _ => self.stock = i64::from(choice % 20),
        }
    }

    fn begin(&mut self) {
        for call in &mut self.calls {
            call.is_lost = true;
        }
        self.next_call = 0;
        self.lines.push(Line::Begin(Begin { version: VERSION, at: Timestamp::default() }));
    }

    fn send(&mut self, ask: Ask) {
        let number = self.next_call;
        self.next_call += 1;
        self.lines.push(Line::Invoke { call: number, at: Timestamp::default(), ask: ask.clone() });
        self.calls.push(Call { number, ask, outcome: None, is_lost: false });
    }

    /// The service acts on a request that has not been acted on yet, wherever its client is.
    fn act(&mut self, choice: u32) {
        let waiting: Vec<usize> =
            (0..self.calls.len()).filter(|at| self.calls[*at].outcome.is_none()).collect();
        if let Some(at) = pick(&waiting, choice) {
            self.calls[at].outcome = Some(self.effect(self.calls[at].ask.clone()));
        }
    }

    fn effect(&mut self, ask: Ask) -> Outcome {
        let http = |status, orders| Outcome::Http { status, orders, stock: Vec::new() };
        match ask {
            Ask::Place { key, dishes } => {
                if let Some(placed) = key.as_ref().and_then(|key| self.by_key.get(key)) {
                    return http(202, placed.clone());
                }
                let placed: Vec<Seen> = dishes.iter().map(|_| self.new_order()).collect();
                if let Some(key) = key {
                    self.by_key.insert(key, placed.clone());
                }
                http(202, placed)
            }
            Ask::Read { orders } => http(
                200,
                self.orders.iter().filter(|order| orders.contains(&order.id)).copied().collect(),
            ),
            Ask::List => http(200, self.orders.iter().rev().take(3).copied().collect()),
            Ask::Cancel { order } => match self.orders.iter_mut().find(|known| known.id == order) {
                None => http(404, Vec::new()),
                Some(known) if known.status.is_end() => http(409, Vec::new()),
                Some(known) => {
                    known.status = OrderStatus::Cancelling;
                    http(202, vec![*known])
                }
            },
            Ask::Stock => {
                let stock = vec![Shelf { ingredient: Ingredient::ALL[0], on_hand: self.stock }];
                Outcome::Http { status: 200, orders: Vec::new(), stock }
            }
        }
    }

    fn new_order(&mut self) -> Seen {
        self.made += 1;
        // Refused requests leave gaps in the numbers.
        self.last_number += 1 + i64::from(self.made.is_multiple_of(4));
        let id = OrderId::from(uuid(self.made));
        let order = Seen { id, number: self.last_number, status: OrderStatus::Placed };
        self.orders.push(order);
        order
    }

    /// A client is answered, or hears nothing.
    fn answer(&mut self, choice: u32) {
        let heard: Vec<usize> =
            (0..self.calls.len()).filter(|at| !self.calls[*at].is_lost).collect();
        let Some(at) = pick(&heard, choice) else { return };
        let number = self.calls[at].number;
        let outcome = match (choice % 7, self.calls[at].outcome.clone()) {
            (0, _) => {
                self.calls[at].is_lost = true;
                Outcome::Unknown { why: "connection lost".into() }
            }
            // It may still act: a time-out on the way says nothing.
            (_, None) => {
                self.calls[at].is_lost = true;
                Outcome::Http { status: 503, orders: Vec::new(), stock: Vec::new() }
            }
            (_, Some(outcome)) => {
                self.calls.swap_remove(at);
                outcome
            }
        };
        self.lines.push(Line::Answer { call: number, at: Timestamp::default(), outcome });
    }

    fn advance(&mut self, choice: u32) {
        use OrderStatus::{Cancelled, Cancelling, Cooking, Delivered, Placed, Rejected};
        let open: Vec<usize> =
            (0..self.orders.len()).filter(|at| !self.orders[*at].status.is_end()).collect();
        let Some(at) = pick(&open, choice) else { return };
        let next = match self.orders[at].status {
            Placed => [Cooking, Rejected, Cooking, Delivered],
            Cooking => [Delivered, Delivered, Cooking, Rejected],
            _ => [Cancelled, Cooking, Cancelling, Delivered],
        };
        self.orders[at].status = next[(choice / 16 % 4) as usize];
    }

    fn some_orders(&self, choice: u32) -> Vec<OrderId> {
        let wanted =
            |(at, order): (usize, &Seen)| (choice >> (at % 16) & 1 == 1).then_some(order.id);
        self.orders.iter().enumerate().filter_map(wanted).collect()
    }

    /// Sends, acts on and answers a request at once.
    fn ask(&mut self, ask: Ask) {
        self.send(ask.clone());
        let call = self.calls.pop().unwrap();
        let outcome = self.effect(ask);
        self.lines.push(Line::Answer { call: call.number, at: Timestamp::default(), outcome });
    }

    fn epilogue(&mut self) {
        let place = |key: &str| Ask::Place { key: Some(key.into()), dishes: vec![None] };
        self.ask(place("first"));
        self.ask(place("second"));
        self.ask(place("second"));
        let orders: Vec<OrderId> = self.orders.iter().rev().take(2).map(|order| order.id).collect();
        for status in [OrderStatus::Cooking, OrderStatus::Delivered, OrderStatus::Delivered] {
            for order in self.orders.iter_mut().rev().take(2) {
                order.status = status;
            }
            self.ask(Ask::Read { orders: orders.clone() });
        }
        self.ask(Ask::Stock);
    }
}

/// Returns an id that differs from all of other numbers.
pub(crate) fn uuid(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(number)
}

fn pick(from: &[usize], choice: u32) -> Option<usize> {
    (!from.is_empty()).then(|| from[choice as usize % from.len()])
}
