//! Up to where a relay has seen the outbox.
//!
//! PostgreSQL draws a `seq` before the commit, so with several writers a row with a smaller `seq` may appear after one with a
//! greater. Two events about one subject never do: a transaction locks the subject's row before it draws the `seq`, and holds
//! the lock until its commit. So rows that one query read are in order of `seq`, and the relay may offer a commit of its own
//! process without reading the table only if no `seq` before it is missing.

/// Up to where the outbox is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The greatest `seq` that the relay has seen.
    last: i64,
    /// The relay has seen every row up to this `seq`; a `seq` below it without a row was rolled back.
    seen: i64,
    /// `(seq, xid)`: once every transaction below `xid` has ended, a fresh read sees every row up to `seq`.
    awaited: Option<(i64, i64)>,
}

impl Cursor {
    /// Returns the greatest `seq` that the relay has seen.
    pub(super) const fn last(&self) -> i64 {
        self.last
    }

    /// Returns the `seq` up to which the relay has seen every row.
    pub(super) const fn seen(&self) -> i64 {
        self.seen
    }

    /// Returns whether no row can be missing before this commit. `seqs` are sorted.
    pub(super) fn continues_with(&self, seqs: &[i64]) -> bool {
        self.seen == self.last && follow(self.last, seqs)
    }

    /// Advances past a commit for which [`Cursor::continues_with`] is true.
    pub(super) fn go_on(&mut self, seqs: &[i64]) {
        self.last = seqs.last().copied().unwrap_or(self.last);
        self.seen = self.last;
    }

    /// Returns whether the next read needs to know which transactions have ended.
    pub(super) const fn is_waiting(&self) -> bool {
        self.awaited.is_some()
    }

    /// Notes the `seqs` that a query found above [`Cursor::last`]. Before the query, all transactions below `ended` had ended.
    /// Returns whether the cursor must wait for the transactions that run now: [`Cursor::wait_for`].
    pub(super) fn read(&mut self, seqs: &[i64], ended: Option<i64>) -> bool {
        if self.continues_with(seqs) {
            self.go_on(seqs);
            return false;
        }
        if let (Some((upto, number)), Some(ended)) = (self.awaited, ended)
            && ended >= number
        {
            self.seen = upto;
            self.awaited = None;
        }
        self.last = seqs.last().copied().unwrap_or(self.last);
        self.seen < self.last && self.awaited.is_none()
    }

    /// Waits until all transactions below this number have ended: the relay has not seen the rows that they wrote up to `last`.
    pub(super) const fn wait_for(&mut self, number: i64) {
        self.awaited = Some((self.last, number));
    }

    /// Returns a cursor that has seen every row up to `seq`.
    pub(super) const fn behind(seq: i64) -> Self {
        Self { last: seq, seen: seq, awaited: None }
    }
}

/// Returns whether `seqs` are `last + 1`, `last + 2` and so on.
fn follow(last: i64, seqs: &[i64]) -> bool {
    let count = i64::try_from(seqs.len()).unwrap_or(i64::MAX);
    match (seqs.first(), seqs.last()) {
        (Some(first), Some(end)) => *first == last + 1 && *end == last + count,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::Cursor;

    fn complete(upto: i64) -> Cursor {
        let mut cursor = Cursor::default();
        cursor.go_on(&[upto]);
        cursor
    }

    /// Reads these `seqs` while transactions from `ended` on, and below `begun`, run.
    fn read(cursor: &mut Cursor, seqs: &[i64], ended: i64, begun: i64) {
        if cursor.read(seqs, Some(ended)) {
            cursor.wait_for(begun);
        }
    }

    #[test]
    fn commits_without_a_gap_are_offered_at_once() {
        let mut cursor = complete(7);
        assert!(cursor.continues_with(&[8, 9]));
        cursor.go_on(&[8, 9]);
        assert_eq!(cursor, complete(9));
    }

    #[test]
    fn a_seq_of_another_writer_is_waited_for_until_its_transaction_has_ended() {
        let mut cursor = complete(7);
        // Another writer has 8, and has not committed.
        assert!(!cursor.continues_with(&[9]));
        read(&mut cursor, &[9], 100, 103);
        assert_eq!((cursor.last(), cursor.seen()), (9, 7));
        assert!(!cursor.continues_with(&[10]), "8 may come before it");
        read(&mut cursor, &[10], 101, 104);
        assert_eq!((cursor.last(), cursor.seen()), (10, 7), "101 is still under way");
        read(&mut cursor, &[], 103, 105);
        assert_eq!((cursor.last(), cursor.seen()), (10, 9), "whatever 8 was, it was read now");
        read(&mut cursor, &[], 105, 105);
        assert!(cursor.continues_with(&[11]));
    }

    #[test]
    fn several_writers_at_work_do_not_keep_it_from_advancing() {
        let mut cursor = complete(0);
        for step in 1..100 {
            // Another writer has every second `seq`, and some transaction always runs.
            read(&mut cursor, &[2 * step], step, step + 3);
        }
        assert!(cursor.seen() > 150, "{cursor:?}");
    }
}
