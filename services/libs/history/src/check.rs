//! The check: one pass over the lines.

use std::{
    collections::{HashMap, HashSet},
    io::BufRead,
    path::Path,
};

use contracts::{OrderId, api::orders::OrderStatus};

use crate::{
    file::{Fault, HistoryError, read_lines},
    line::{Ask, Line, Outcome, Seen, Shelf, VERSION},
    orders::{Assigned, Order, Progress, Requests, TooMany},
    violation::{Findings, Rule, Violation},
};

/// The most that requests in flight at one time may take: half a million orders, asked for at once.
const IN_FLIGHT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a request in flight takes beside what it asks for.
const CALL_BYTES: usize = 128;

const VALID_BEGIN: &str =
    "a first line such as {\"begin\":{\"version\":1,\"at\":\"2026-01-31T12:00:00Z\"}}";

/// Reads a history and checks that its answers agree with each other. A last line that has no end is left out: the process
/// that recorded it was killed.
///
/// Takes linear time, and memory for [`ORDERS_MAX`](crate::ORDERS_MAX) orders at the most. `name` is named in errors.
///
/// # Errors
/// [`HistoryError`] if the history can't be read, another line is malformed, or the history is too large. Answers that
/// disagree are no error: [`Findings`] has them.
pub fn check(reader: impl BufRead, name: &Path) -> Result<Findings, HistoryError> {
    let mut checker = Checker::default();
    read_lines(reader, name, |line| checker.line(line))?;
    match checker.line {
        0 => Err(HistoryError::Malformed {
            path: name.into(),
            line: 1,
            found: "an empty file".into(),
            valid: VALID_BEGIN.into(),
        }),
        _ => Ok(checker.findings),
    }
}

#[derive(Debug, Default)]
struct Checker {
    /// The number of the line, from 1.
    line: u64,
    /// The calls of this run that have no answer yet, by number.
    calls: HashMap<u64, Sent>,
    next_call: u64,
    in_flight_bytes: usize,
    requests: Requests,
    /// The highest number of all orders that answers showed.
    highest_number: i64,
    findings: Findings,
}

/// A request in flight.
#[derive(Debug)]
struct Sent {
    /// The line that says so.
    line: u64,
    bytes: usize,
    what: Asked,
}

#[derive(Debug)]
enum Asked {
    Place { key: Option<String>, requests: Vec<u32> },
    Read { orders: Vec<u32> },
    List,
    Stock,
}

impl From<TooMany> for Fault {
    fn from(TooMany: TooMany) -> Self {
        Self::TooLarge { what: "orders" }
    }
}

impl Checker {
    fn line(&mut self, line: Line) -> Result<(), Fault> {
        self.line += 1;
        match line {
            Line::Begin(begin) if begin.version != VERSION => Err(Fault::malformed(
                format!("a history of version {}", begin.version),
                format!("version {VERSION}; a newer chefcito reads newer versions"),
            )),
            Line::Begin(_) => {
                self.calls.clear();
                (self.next_call, self.in_flight_bytes) = (0, 0);
                Ok(())
            }
            _ if self.line == 1 => {
                Err(Fault::malformed("a line of a run that has not begun", VALID_BEGIN))
            }
            Line::Invoke { call, ask, .. } => self.invoke(call, ask),
            Line::Answer { call, outcome, .. } => self.answer(call, outcome),
        }
    }

    fn invoke(&mut self, call: u64, ask: Ask) -> Result<(), Fault> {
        if call != self.next_call {
            let valid = format!("call {}: calls are numbered one by one", self.next_call);
            return Err(Fault::malformed(format!("call {call}"), valid));
        }
        self.next_call += 1;
        let (what, bytes) = match ask {
            Ask::Place { key, dishes } => {
                let known = self.highest_number;
                let requests = (0..dishes.len())
                    .map(|place| self.requests.index(key.as_deref(), place, known))
                    .collect::<Result<Vec<_>, _>>()?;
                let bytes = key.as_ref().map_or(0, String::len) + size_of_val(&requests[..]);
                (Asked::Place { key, requests }, bytes)
            }
            Ask::Read { orders } => self.read(&orders)?,
            Ask::Cancel { order } => self.read(&[order])?,
            Ask::List => (Asked::List, 0),
            Ask::Stock => (Asked::Stock, 0),
        };
        let bytes = bytes + CALL_BYTES;
        self.in_flight_bytes += bytes;
        if self.in_flight_bytes > IN_FLIGHT_BYTES_MAX {
            return Err(Fault::TooLarge { what: "requests in flight at one time" });
        }
        self.calls.insert(call, Sent { line: self.line, bytes, what });
        Ok(())
    }

    fn read(&mut self, orders: &[OrderId]) -> Result<(Asked, usize), Fault> {
        let index = |id: &OrderId| self.findings.orders.index(*id);
        let orders = orders.iter().map(index).collect::<Result<Vec<_>, _>>()?;
        let bytes = size_of_val(&orders[..]);
        Ok((Asked::Read { orders }, bytes))
    }

    fn answer(&mut self, call: u64, outcome: Outcome) -> Result<(), Fault> {
        let Some(Sent { line: sent_at, bytes, what }) = self.calls.remove(&call) else {
            return Err(Fault::malformed(
                format!("an answer to call {call}, which is not in flight"),
                "one answer to each call, below it",
            ));
        };
        self.in_flight_bytes -= bytes;
        let Outcome::Http { status, orders, stock } = outcome else { return Ok(()) };
        match (what, status) {
            (Asked::Place { key, requests }, 200..=299) => {
                self.placed(key.as_deref(), &requests, &orders)
            }
            (Asked::Read { orders: asked }, 200..=299 | 404) => {
                self.found(&asked, &orders, sent_at)
            }
            (Asked::List, 200..=299) => self.found(&[], &orders, sent_at),
            (Asked::Stock, 200..=299) => {
                self.stock(&stock);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes in the answer to a request for orders. It says where each order was when it was placed, not where it is.
    fn placed(
        &mut self,
        key: Option<&str>,
        requests: &[u32],
        orders: &[Seen],
    ) -> Result<(), Fault> {
        let line = self.line;
        self.findings.checked(Rule::Keys);
        if requests.len() != orders.len() {
            let (asked, answered) = (requests.len(), orders.len());
            self.findings.found(Violation::CountDiffers { line, asked, answered });
        }
        for (request, seen) in requests.iter().zip(orders) {
            self.findings.checked(Rule::Keys);
            let index = self.findings.orders.index(seen.id)?;
            let known_at = self.findings.orders.at(index).known_at();
            let assigned = self.requests.assign(*request, index, &mut self.findings.orders);
            self.show(index, seen);
            match assigned {
                Assigned::First { known } => {
                    self.findings.checked(Rule::Numbers);
                    if seen.number <= known {
                        let (order, number) = (seen.id, seen.number);
                        self.findings.found(Violation::NumberTooLow { line, order, number, known });
                    }
                }
                Assigned::Again => {}
                Assigned::KeyHad(before) => {
                    let before = self.findings.orders.at(before).id;
                    let (key, order) = (key.unwrap_or_default().into(), seen.id);
                    self.findings.found(Violation::KeyChanged { line, key, order, before });
                }
                Assigned::OrderTaken => {
                    let order = seen.id;
                    self.findings.found(Violation::OrderGivenTwice { line, order, known_at });
                }
            }
        }
        Ok(())
    }

    /// Takes in the answer to a read that was sent at `sent_at` and must find the orders that were known then.
    fn found(&mut self, asked: &[u32], orders: &[Seen], sent_at: u64) -> Result<(), Fault> {
        let line = self.line;
        let mut found = HashSet::with_capacity(orders.len());
        for seen in orders {
            let index = self.findings.orders.index(seen.id)?;
            found.insert(index);
            self.findings.checked(Rule::Statuses);
            if let Some(violation) = misplaced(self.findings.orders.at(index), seen, sent_at, line)
            {
                self.findings.found(violation);
            }
            self.show(index, seen);
            self.findings.orders.at(index).reach(seen.status, line);
        }
        for index in asked {
            let order = self.findings.orders.at(*index);
            let (order, known_at) = (order.id, order.known_at());
            if known_at < sent_at {
                self.findings.checked(Rule::Reads);
                if !found.contains(index) {
                    self.findings.found(Violation::Lost { line, order, known_at });
                }
            }
        }
        Ok(())
    }

    /// Notes that an answer showed an order.
    fn show(&mut self, index: u32, seen: &Seen) {
        let (line, order, number) = (self.line, seen.id, seen.number);
        self.findings.checked(Rule::Numbers);
        if let Some(before) = self.findings.orders.at(index).show(number, line) {
            self.findings.found(Violation::NumberChanged { line, order, number, before });
        }
        self.highest_number = self.highest_number.max(number);
    }

    fn stock(&mut self, stock: &[Shelf]) {
        let line = self.line;
        for Shelf { ingredient, on_hand } in stock {
            self.findings.checked(Rule::Stock);
            if *on_hand < 0 {
                let (ingredient, on_hand) = (*ingredient, *on_hand);
                self.findings.found(Violation::NegativeStock { line, ingredient, on_hand });
            }
        }
    }
}

/// Returns why an order can't be where a read, sent at `sent_at`, saw it.
fn misplaced(order: &Order, seen: &Seen, sent_at: u64, line: u64) -> Option<Violation> {
    let (id, status) = (seen.id, seen.status);
    match (order.ended(), order.before(sent_at)) {
        // There is one final status, whichever read was sent first.
        (Some((ended, known_at)), _) if status.is_end() && status != ended => {
            Some(Violation::FollowedFinal { line, order: id, status, ended, known_at })
        }
        (_, Some(Progress::Ended { at, status: ended })) if status != ended => {
            Some(Violation::FollowedFinal { line, order: id, status, ended, known_at: at })
        }
        (_, Some(Progress::Moved { at })) if status == OrderStatus::Placed => {
            Some(Violation::MovedBack { line, order: id, status, known_at: at })
        }
        _ => None,
    }
}
