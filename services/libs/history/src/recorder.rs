//! Writes a history.

use std::io::{self, Write};

use contracts::Timestamp;
use serde::Deserialize;

use crate::line::{Ask, Begin, Line, Outcome, Seen, Shelf, VERSION};

/// Writes what clients ask and are answered, each line by one `write_all`.
///
/// Calls may overlap. Clients on several threads share a recorder behind a lock.
#[derive(Debug)]
pub struct Recorder<W> {
    writer: W,
    next_call: u64,
    line: Vec<u8>,
}

/// A request that was recorded and has no answer yet.
#[derive(Debug)]
#[must_use = "the answer is recorded with it"]
pub struct Call {
    number: u64,
    kind: Kind,
}

/// What the body of an answer holds.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Orders,
    Order,
    Stock,
}

#[derive(Deserialize)]
struct OrdersBody {
    orders: Vec<Seen>,
}

#[derive(Deserialize)]
struct StockBody {
    stock: Vec<Shelf>,
}

impl<W: Write> Recorder<W> {
    /// Begins a run.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn begin(writer: W) -> io::Result<Self> {
        let mut recorder = Self { writer, next_call: 0, line: Vec::new() };
        recorder.write(&Line::Begin(Begin { version: VERSION, at: Timestamp::now() }))?;
        Ok(recorder)
    }

    /// Records a request. It must be sent afterwards, never before.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn invoke(&mut self, ask: Ask) -> io::Result<Call> {
        let kind = match &ask {
            Ask::Place { .. } | Ask::Read { .. } | Ask::List => Kind::Orders,
            Ask::Cancel { .. } => Kind::Order,
            Ask::Stock => Kind::Stock,
        };
        let number = self.next_call;
        self.next_call += 1;
        self.write(&Line::Invoke { call: number, at: Timestamp::now(), ask })?;
        Ok(Call { number, kind })
    }

    /// Records an answer that has arrived: its HTTP status and its body. The body counts only if the status is a success.
    /// A success with a body that can't be read is recorded as unknown.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn answered(&mut self, call: &Call, status: u16, body: &[u8]) -> io::Result<()> {
        let outcome = match status {
            200..=299 => call.kind.read(status, body).unwrap_or_else(|error| Outcome::Unknown {
                why: format!("the body of the answer ({status}) can't be read: {error}"),
            }),
            _ => Outcome::Http { status, orders: Vec::new(), stock: Vec::new() },
        };
        self.write(&Line::Answer { call: call.number, at: Timestamp::now(), outcome })
    }

    /// Records that no answer will come, and why.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn unanswered(&mut self, call: &Call, why: String) -> io::Result<()> {
        let outcome = Outcome::Unknown { why };
        self.write(&Line::Answer { call: call.number, at: Timestamp::now(), outcome })
    }

    /// Flushes the writer.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    /// Returns the writer.
    pub const fn writer(&self) -> &W {
        &self.writer
    }

    /// Ends the recording and returns the writer.
    pub fn into_writer(self) -> W {
        self.writer
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.writer.write_all(&self.line)
    }
}

impl Kind {
    fn read(self, status: u16, body: &[u8]) -> serde_json::Result<Outcome> {
        let (orders, stock) = match self {
            // A read of one order is answered by that order alone.
            Self::Orders => match serde_json::from_slice::<OrdersBody>(body) {
                Ok(OrdersBody { orders }) => (orders, Vec::new()),
                Err(error) => match serde_json::from_slice(body) {
                    Ok(order) => (vec![order], Vec::new()),
                    Err(_) => return Err(error),
                },
            },
            Self::Order => (vec![serde_json::from_slice(body)?], Vec::new()),
            Self::Stock => (Vec::new(), serde_json::from_slice::<StockBody>(body)?.stock),
        };
        Ok(Outcome::Http { status, orders, stock })
    }
}
