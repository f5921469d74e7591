//! Orders in flight, and when to ask for their states.
//!
//! A million orders may be in flight, so each is kept in sixteen bytes, in groups that were accepted together and are
//! asked for together.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::{Duration, Instant},
};

use uuid::Uuid;

/// The most orders of one request, the limit of the API.
pub(super) const ASKED_MAX: usize = contracts::api::orders::ORDERS_PER_REQUEST_MAX;
/// Orders that were accepted within this time are one group.
const GROUP_SPAN: Duration = Duration::from_millis(5);
/// The shortest time from the acceptance of an order to the first request.
const FIRST_WAIT_MIN: Duration = Duration::from_millis(3);
/// The longest time to the first request, however long orders took lately.
const FIRST_WAIT_MAX: Duration = Duration::from_secs(10);
/// The shortest time between two requests.
const NEXT_WAIT_MIN: Duration = Duration::from_millis(5);
/// The longest time between two requests.
const NEXT_WAIT_MAX: Duration = Duration::from_secs(1);

/// Orders that were accepted together.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    accepted: Instant,
    ids: Vec<Uuid>,
}

/// A batch of orders to ask for now.
#[derive(Debug, Default)]
pub(super) struct Batch {
    groups: Vec<Group>,
}

impl Batch {
    /// Returns the orders.
    pub(super) fn ids(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.groups.iter().flat_map(|group| group.ids.iter().copied())
    }

    /// Returns how many they are.
    pub(super) fn len(&self) -> usize {
        self.groups.iter().map(|group| group.ids.len()).sum()
    }
}

/// The orders that may not be at their end.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    /// Orders that were never asked for, in the order of acceptance.
    fresh: VecDeque<Group>,
    /// Orders that were asked for, by the time of the next request.
    again: BinaryHeap<Reverse<(Instant, Group)>>,
    /// How long orders took lately.
    usual: Duration,
    len: usize,
}

impl InFlight {
    /// Returns how many there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Adds an order that was accepted now.
    pub(super) fn accepted(&mut self, id: Uuid, now: Instant) {
        self.len += 1;
        match self.fresh.back_mut() {
            Some(group)
                if group.ids.len() < ASKED_MAX
                    && now.duration_since(group.accepted) < GROUP_SPAN =>
            {
                group.ids.push(id);
            }
            _ => self.fresh.push_back(Group { accepted: now, ids: vec![id] }),
        }
    }

    /// Notes how long a delivery took. The first request about later orders waits about that long.
    pub(super) fn took(&mut self, delivery: Duration) {
        self.usual = (self.usual * 63 + delivery) / 64;
    }

    /// Returns the time of the next request; `None` if no order is in flight.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let fresh = self.fresh.front().map(|group| self.first_due(group));
        let again = self.again.peek().map(|Reverse((due, _))| *due);
        fresh.into_iter().chain(again).min()
    }

    /// Takes the orders to ask for now. Return them by [`InFlight::asked`].
    pub(super) fn take_due(&mut self, now: Instant) -> Batch {
        let mut batch = Batch::default();
        let mut room = ASKED_MAX;
        while room > 0 {
            let Some(mut group) = self.pop_due(now) else { break };
            if group.ids.len() > room {
                let rest = Group { accepted: group.accepted, ids: group.ids.split_off(room) };
                self.again.push(Reverse((now, rest)));
            }
            room -= group.ids.len();
            batch.groups.push(group);
        }
        batch
    }

    /// Returns a batch after a request; drops the orders that are at their end, which must be sorted.
    pub(super) fn asked(&mut self, batch: Batch, ended: &[Uuid], now: Instant) {
        for mut group in batch.groups {
            let before = group.ids.len();
            group.ids.retain(|id| ended.binary_search(id).is_err());
            self.len -= before - group.ids.len();
            if !group.ids.is_empty() {
                group.ids.shrink_to_fit();
                let wait =
                    (now.duration_since(group.accepted) / 4).clamp(NEXT_WAIT_MIN, NEXT_WAIT_MAX);
                self.again.push(Reverse((now + wait, group)));
            }
        }
    }

    /// Returns up to `limit` of them.
    pub(super) fn some(&self, limit: usize) -> Vec<Uuid> {
        let again = self.again.iter().map(|Reverse((_, group))| group);
        again.chain(&self.fresh).flat_map(|group| group.ids.iter().copied()).take(limit).collect()
    }

    fn first_due(&self, group: &Group) -> Instant {
        group.accepted + GROUP_SPAN + self.usual.clamp(FIRST_WAIT_MIN, FIRST_WAIT_MAX)
    }

    fn pop_due(&mut self, now: Instant) -> Option<Group> {
        if self.again.peek().is_some_and(|Reverse((due, _))| *due <= now) {
            return self.again.pop().map(|Reverse((_, group))| group);
        }
        if self.fresh.front().is_some_and(|group| self.first_due(group) <= now) {
            return self.fresh.pop_front();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[test]
    fn orders_are_asked_for_in_turn_until_they_end() {
        let start = Instant::now();
        let mut in_flight = InFlight::default();
        for number in 0..2_500 {
            in_flight.accepted(id(number), start);
        }
        assert_eq!(in_flight.take_due(start).len(), 0, "they have only just been accepted");

        let later = start + Duration::from_secs(1);
        let (first, second, third) =
            (in_flight.take_due(later), in_flight.take_due(later), in_flight.take_due(later));
        assert_eq!([first.len(), second.len(), third.len()], [1_000, 1_000, 500]);
        assert_eq!(in_flight.take_due(later).len(), 0);

        let ended: Vec<Uuid> = first.ids().collect();
        in_flight.asked(first, &ended, later);
        in_flight.asked(second, &ended, later);
        in_flight.asked(third, &[], later);
        assert_eq!(in_flight.len(), 1_500);
        assert_eq!(in_flight.take_due(later).len(), 0, "the next question comes after a while");
        assert!(in_flight.next_due().is_some_and(|due| due > later));

        let mut left: Vec<Uuid> = Vec::new();
        while let Some(due) = in_flight.next_due() {
            let batch = in_flight.take_due(due);
            let mut ids: Vec<Uuid> = batch.ids().collect();
            ids.sort_unstable();
            in_flight.asked(batch, &ids, due);
            left.extend(ids);
        }
        left.sort_unstable();
        assert_eq!(left, (1_000..2_500).map(id).collect::<Vec<_>>());
        assert_eq!(in_flight.len(), 0);
    }

    #[test]
    fn the_first_question_comes_after_the_usual_time() {
        let start = Instant::now();
        let mut in_flight = InFlight::default();
        for _ in 0..1_000 {
            in_flight.took(Duration::from_millis(400));
        }
        in_flight.accepted(id(1), start);
        let due = in_flight.next_due().unwrap() - start;
        assert!(due > Duration::from_millis(390) && due < Duration::from_millis(420), "{due:?}");
    }

    #[test]
    fn a_full_group_is_sixteen_bytes_an_order() {
        let start = Instant::now();
        let mut in_flight = InFlight::default();
        for number in 0..100_000 {
            in_flight.accepted(id(number), start);
        }
        let kept: usize =
            in_flight.fresh.iter().map(|group| group.ids.capacity() * size_of::<Uuid>()).sum();
        assert!(kept <= 100_000 * 17, "{kept} bytes");
    }
}
