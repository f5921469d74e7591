//! What is known of requests and orders, in a fixed size each.

use std::collections::{HashMap, hash_map::Entry};

use contracts::{OrderId, api::orders::OrderStatus};

/// The most orders, and the most requests for an order, of one history. Each order and its request take some 150 bytes, so
/// that a check stays below 500 MiB.
pub const ORDERS_MAX: usize = 2_000_000;

/// The line of what has not been seen.
const NEVER: u64 = u64::MAX;
/// The index of what is not known.
const NONE: u32 = u32::MAX;

/// There are more than [`ORDERS_MAX`].
#[derive(Debug)]
pub(crate) struct TooMany;

/// What answers said of one order. Lines are those of answers.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    number: Option<i64>,
    /// The first line that showed the order.
    known_at: u64,
    /// The first line that showed it beyond `placed`.
    moved_at: u64,
    /// The first line that showed it at an end.
    ended_at: u64,
    ended: Option<OrderStatus>,
    /// The request that it answers.
    request: u32,
}

/// How far beyond `placed` an order had come at some moment, and the line that showed it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Progress {
    Moved { at: u64 },
    Ended { at: u64, status: OrderStatus },
}

impl Order {
    /// Returns how far beyond `placed` the order is known to have come when the request of `line` was sent.
    pub(crate) fn before(&self, line: u64) -> Option<Progress> {
        match self.ended {
            Some(status) if self.ended_at < line => {
                Some(Progress::Ended { at: self.ended_at, status })
            }
            _ if self.moved_at < line => Some(Progress::Moved { at: self.moved_at }),
            _ => None,
        }
    }

    /// Returns the first final status that an answer showed, and the answer's line.
    pub(crate) fn ended(&self) -> Option<(OrderStatus, u64)> {
        self.ended.map(|status| (status, self.ended_at))
    }

    /// Returns the line of the first answer that showed the order.
    pub(crate) const fn known_at(&self) -> u64 {
        self.known_at
    }

    /// Notes that the answer of `line` showed the order; returns its earlier number, if that was another.
    pub(crate) fn show(&mut self, number: i64, line: u64) -> Option<i64> {
        self.known_at = self.known_at.min(line);
        let before = *self.number.get_or_insert(number);
        (before != number).then_some(before)
    }

    /// Notes the status that the answer of `line` showed.
    pub(crate) fn reach(&mut self, status: OrderStatus, line: u64) {
        if status != OrderStatus::Placed {
            self.moved_at = self.moved_at.min(line);
        }
        if status.is_end() && self.ended.is_none() {
            (self.ended, self.ended_at) = (Some(status), line);
        }
    }
}

/// The orders that requests or answers named.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    by_id: HashMap<OrderId, u32>,
    all: Vec<Order>,
}

impl Orders {
    /// Returns the index of an order, known or not.
    pub(crate) fn index(&mut self, id: OrderId) -> Result<u32, TooMany> {
        match self.by_id.entry(id) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(new) => {
                let index = next_index(self.all.len())?;
                self.all.push(Order {
                    id,
                    number: None,
                    known_at: NEVER,
                    moved_at: NEVER,
                    ended_at: NEVER,
                    ended: None,
                    request: NONE,
                });
                Ok(*new.insert(index))
            }
        }
    }

    pub(crate) fn at(&mut self, index: u32) -> &mut Order {
        &mut self.all[index as usize]
    }

    pub(crate) fn known(&self) -> impl Iterator<Item = OrderId> + '_ {
        self.all.iter().filter(|order| order.known_at != NEVER).map(|order| order.id)
    }
}

/// A request for one order. A request for several orders is as many, as it is for the orders service.
#[derive(Clone, Copy, Debug)]
struct Request {
    order: u32,
    /// The highest number that was known when it was first sent.
    known: i64,
}

/// The requests for orders. Repeats of a key are one request.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    by_key: HashMap<[u8; 16], u32>,
    all: Vec<Request>,
}

/// What an answer changed of a request and its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assigned {
    /// It is the request's first answer.
    First {
        /// The highest number that was known when the request was first sent.
        known: i64,
    },
    /// It is the answer that the request had before.
    Again,
    /// The request had another order before.
    KeyHad(u32),
    /// The order belongs to another request.
    OrderTaken,
}

impl Requests {
    /// Returns the request for the order at a place of a request with this key, made now if the key is new or none.
    pub(crate) fn index(
        &mut self,
        key: Option<&str>,
        place: usize,
        known: i64,
    ) -> Result<u32, TooMany> {
        let new = Request { order: NONE, known };
        let Some(key) = key else { return self.push(new) };
        let digest = digest(key, place);
        if let Some(index) = self.by_key.get(&digest) {
            return Ok(*index);
        }
        let index = self.push(new)?;
        self.by_key.insert(digest, index);
        Ok(index)
    }

    fn push(&mut self, request: Request) -> Result<u32, TooMany> {
        let index = next_index(self.all.len())?;
        self.all.push(request);
        Ok(index)
    }

    /// Notes that a request was answered with an order, whose index it is.
    pub(crate) fn assign(&mut self, index: u32, order: u32, orders: &mut Orders) -> Assigned {
        let request = &mut self.all[index as usize];
        let owner = &mut orders.at(order).request;
        if request.order == order {
            Assigned::Again
        } else if request.order != NONE {
            Assigned::KeyHad(request.order)
        } else if *owner != NONE {
            Assigned::OrderTaken
        } else {
            (request.order, *owner) = (order, index);
            Assigned::First { known: request.known }
        }
    }
}

fn next_index(len: usize) -> Result<u32, TooMany> {
    u32::try_from(len).ok().filter(|_| len < ORDERS_MAX).ok_or(TooMany)
}

/// Returns a digest of a key and a place, so that a key of any length takes sixteen bytes.
fn digest(key: &str, place: usize) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(place as u64).to_le_bytes());
    hasher.update(key.as_bytes());
    let mut digest = [0; 16];
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    digest
}
