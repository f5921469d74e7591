//! Up to where a relay has seen the outbox.
//!
//! Places are given out before commits, so with several writers a smaller place may appear after a greater one. Two events
//! about one subject never do: who changes a subject holds its row until the commit, and gets its places after that. So
//! rows that are read together and offered by their places are in order, and a commit of one's own may be offered without
//! reading only if no place before it is missing.

/// Up to where the outbox is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The greatest place that was seen.
    last: i64,
    /// Every place up to here was seen, or never will be.
    seen: i64,
    /// Every place up to the first is seen by who reads after all transactions with numbers below the second have ended.
    awaited: Option<(i64, i64)>,
}

impl Cursor {
    /// Returns the greatest place that was seen.
    pub(super) const fn last(&self) -> i64 {
        self.last
    }

    /// Returns the place up to which every place was seen, or never will be.
    pub(super) const fn seen(&self) -> i64 {
        self.seen
    }

    /// Returns whether nothing can be missing before this commit, whose places are sorted.
    pub(super) fn continues_with(&self, places: &[i64]) -> bool {
        self.seen == self.last && follow(self.last, places)
    }

    /// Goes on behind a commit with which it continues.
    pub(super) fn go_on(&mut self, places: &[i64]) {
        self.last = places.last().copied().unwrap_or(self.last);
        self.seen = self.last;
    }

    /// Returns whether it has to be known which transactions have ended before it reads on.
    pub(super) const fn is_waiting(&self) -> bool {
        self.awaited.is_some()
    }

    /// Notes what was read of the places behind the last one; before that, all transactions with numbers below `ended` had
    /// ended. Returns whether it has to wait for those that are under way now: [`Cursor::wait_for`].
    pub(super) fn read(&mut self, places: &[i64], ended: Option<i64>) -> bool {
        if self.continues_with(places) {
            self.go_on(places);
            return false;
        }
        if let (Some((upto, number)), Some(ended)) = (self.awaited, ended)
            && ended >= number
        {
            self.seen = upto;
            self.awaited = None;
        }
        self.last = places.last().copied().unwrap_or(self.last);
        self.seen < self.last && self.awaited.is_none()
    }

    /// Waits for all transactions with numbers below this one: what they wrote up to the last place is not seen yet.
    pub(super) const fn wait_for(&mut self, number: i64) {
        self.awaited = Some((self.last, number));
    }

    /// Returns one that begins behind a place, all up to which is seen.
    pub(super) const fn behind(place: i64) -> Self {
        Self { last: place, seen: place, awaited: None }
    }
}

/// Returns whether these places come right behind `last`, and none is missing among them.
fn follow(last: i64, places: &[i64]) -> bool {
    let count = i64::try_from(places.len()).unwrap_or(i64::MAX);
    match (places.first(), places.last()) {
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

    /// Reads these places while transactions from `ended` on, and below `begun`, are under way.
    fn read(cursor: &mut Cursor, places: &[i64], ended: i64, begun: i64) {
        if cursor.read(places, Some(ended)) {
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
    fn a_place_of_another_is_waited_for_until_its_transaction_has_ended() {
        let mut cursor = complete(7);
        // 8 is another's, who has not committed.
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
        for turn in 1..100 {
            // Every second place is another's, and someone is always under way.
            read(&mut cursor, &[2 * turn], turn, turn + 3);
        }
        assert!(cursor.seen() > 150, "{cursor:?}");
    }
}
