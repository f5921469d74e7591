//! What the relay does in the table, on the writer's own thread.

use std::{ops::Range, sync::Arc};

use store::{Row, StoreError, Tx, Work, params};

use super::{AT, BEFORE, BEHIND, Stored, cursor::Cursor, read_stored, relay::Relay};

/// How many `seqs` between [`Cursor::seen`] and [`Cursor::last`] are searched after each commit. While a transaction hangs
/// there may be many more: the poll searches those.
const LATE_MAX: i64 = 5_000;

const TRANSACTIONS: &str = "SELECT CAST(CAST(pg_snapshot_xmin(now) AS TEXT) AS BIGINT),
         CAST(CAST(pg_snapshot_xmax(now) AS TEXT) AS BIGINT)
     FROM pg_current_snapshot() AS now";

/// Reads the rows that are only in the table, on the writer's thread, between two commits.
pub(super) struct CatchUp {
    relay: Arc<Relay>,
    /// Whether it searches more than [`LATE_MAX`] `seqs`, too.
    thorough: bool,
    round: u64,
    cursor: Cursor,
    rows: Vec<Stored>,
    complete: bool,
}

impl CatchUp {
    pub(super) fn new(relay: Arc<Relay>, thorough: bool) -> Self {
        let (round, cursor) = (0, Cursor::default());
        Self { relay, thorough, round, cursor, rows: Vec::new(), complete: false }
    }

    /// Returns the `seqs` before the last one whose transactions committed after those of greater ones.
    fn late(&self, tx: &mut Tx<'_>, cursor: Cursor) -> Result<Vec<i64>, StoreError> {
        if cursor.seen() == cursor.last() {
            return Ok(Vec::new());
        }
        let between = params![cursor.seen(), cursor.last()];
        let found: Vec<i64> = tx.query(BEFORE, &between, |row| row.get(0))?;
        let state = self.relay.lock();
        Ok(found.into_iter().filter(|seq| !state.offered.contains(seq)).collect())
    }
}

impl Work for CatchUp {
    fn gather(&mut self) -> usize {
        1
    }

    fn run(&mut self, tx: &mut Tx<'_>, _: Range<usize>) -> Result<(), StoreError> {
        let room = {
            let state = self.relay.lock();
            (self.round, self.cursor) = (state.round, state.cursor);
            state.room()
        };
        let is_alone = tx.is_sqlite();
        let mut cursor = self.cursor;
        let looks_through =
            !is_alone && (self.thorough || cursor.last() - cursor.seen() <= LATE_MAX);
        let ended = match looks_through && cursor.is_waiting() {
            true => Some(transactions(tx)?.0),
            false => None,
        };
        let late = if looks_through { self.late(tx, cursor)? } else { Vec::new() };
        let read = |row: &Row<'_>| read_stored(self.relay.service(), row);
        let some = late.iter().take(room).map(|seq| params![*seq]);
        self.rows = tx.query_all(&AT, some, read)?;
        self.complete = false;
        if late.len() > room {
            return Ok(());
        }
        let room = room - late.len();
        let limit = i64::try_from(room).unwrap_or(0);
        let mut rows = tx.query(BEHIND, &params![cursor.last(), limit], read)?;
        let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
        if is_alone {
            cursor.go_on(&seqs);
        } else if cursor.read(&seqs, ended) {
            cursor.wait_for(transactions(tx)?.1);
        }
        self.complete = rows.len() < room;
        self.rows.append(&mut rows);
        self.cursor = cursor;
        Ok(())
    }

    fn settle(&mut self, _: Range<usize>, outcome: Result<(), StoreError>) {
        let mut state = self.relay.lock();
        state.catching_up = false;
        if outcome.is_err() {
            return;
        }
        if state.round != self.round || state.resting {
            drop(state);
            self.relay.changed.notify_one();
            return;
        }
        state.cursor = self.cursor;
        state.forget_seen();
        state.behind = !self.complete;
        self.relay.offer(state, std::mem::take(&mut self.rows));
    }
}

/// Returns below which number all transactions of PostgreSQL have ended, and from which on none has begun.
fn transactions(tx: &mut Tx<'_>) -> Result<(i64, i64), StoreError> {
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let found = tx.query_one(TRANSACTIONS, &[], read)?;
    found.ok_or_else(|| StoreError::engine("the database does not know its transactions"))
}
